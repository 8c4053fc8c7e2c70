"""Look through a video before a removal: where its shots begin, and how large its holes are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cleanplate.removal.preparation import Prepared
from cleanplate.removal.shots import ShotDetector

Progress = Callable[[int, int | None], None]
Areas = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Survey:
    """What one pass over all frames and masks found.

    Attributes:
        areas: pixels of the hole in each frame, int64 (t), before it grows.
        times: seconds of each frame.
        cuts: numbers of the frames that begin a shot, from 0 on.
    """

    areas: Areas
    times: tuple[Fraction, ...]
    cuts: tuple[int, ...]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.areas)

    @property
    def frames_with_hole(self) -> int:
        """Number of frames with a hole."""
        return int(np.count_nonzero(self.areas))

    @property
    def longest_shot(self) -> int:
        """Frames of the longest shot."""
        return max(stop - start for start, stop in pairwise((*self.cuts, self.frames)))

    def find_hardest(self, count: int) -> range:
        """Find `count` frames in a row with the largest holes; of equal ones the middle ones."""
        count = min(count, self.frames)
        sums = np.convolve(self.areas, np.ones(count, np.int64), "valid")
        best = np.flatnonzero(sums == sums.max())
        first = int(best[len(best) // 2])
        return range(first, first + count)

    def find_typical(self, count: int) -> range:
        """Find `count` frames in a row whose holes are closest to the mean of those with a hole."""
        count = min(count, self.frames)
        sums = np.convolve(self.areas, np.ones(count, np.int64), "valid")
        filled = np.convolve(self.areas > 0, np.ones(count, np.int64), "valid")
        mean = self.areas.sum() / max(1, self.frames_with_hole)
        # Frames without a hole take little time, so they say little about the others.
        apart = np.abs(sums - mean * count) + mean * (count - filled)
        best = np.flatnonzero(apart == apart.min())
        first = int(best[len(best) // 2])
        return range(first, first + count)


def look_through(prepared: Prepared, progress: Progress | None = None) -> Survey:
    """Read all frames and masks once; raises DecodeError or MaskError."""
    detector = ShotDetector()
    areas, times, cuts = [], [], [0]
    with prepared.open_reader() as reader:
        for number, picture in enumerate(reader):
            mask = prepared.source.mask(picture.index, picture.time)
            areas.append(int(np.count_nonzero(mask)))
            times.append(picture.time)
            if detector.begins_shot(picture.rgb):
                cuts.append(number)
            if progress is not None:
                progress(number + 1, prepared.info.frame_count)
    return Survey(np.asarray(areas, np.int64), tuple(times), tuple(cuts))
