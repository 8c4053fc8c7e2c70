"""An archive: keyframes of earlier shots, for a shot that returns to the same place."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.plates.keyframes import Keyframe, Shelf
from cleanplate.plates.registration import register

Field = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ArchiveTuning:
    """Constants of the search for shots of the same place."""

    each: int = 3
    """Keyframes kept of a shot: its first, its middle one and its last."""
    pixels: int = 100_000_000
    """Most pixels in the archive; the oldest keyframes make room for new ones."""
    thumbnail: tuple[int, int] = (16, 9)
    """Width and height of the descriptor: tells framings apart, not people in them."""
    similar: float = 0.7
    """Least correlation of two descriptors, which spares registrations: it was 0.6 to 1 within
    clips and up to 0.9 between clips, of which registration took none for the same place."""
    tried: int = 8
    """Keyframes that are registered with a new shot at most."""
    visitors: int = 4
    """Keyframes of other shots that a shot uses at most."""


_TUNING = ArchiveTuning()


class KeyframeArchive:
    """Keeps a few keyframes of each shot, and finds those that show the place of a new one.

    Args:
        shelf: keeps their pictures.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._kept: deque[tuple[Keyframe, Field]] = deque()
        self._numbers = count()

    def add(self, keyframes: Sequence[Keyframe]) -> None:
        """Keep some keyframes of a shot that is over; none where the disk takes no more."""
        if not keyframes:
            return
        wanted = np.linspace(0, len(keyframes) - 1, min(_TUNING.each, len(keyframes)))
        for keyframe in (keyframes[round(at)] for at in wanted):
            with suppress(OSError):
                kept = self._keep(keyframe)
                self._kept.append((kept, _describe(kept)))
        allowed = max(_TUNING.each, _TUNING.pixels // keyframes[0].hole.size)
        while len(self._kept) > allowed:
            self._kept.popleft()

    def find(self, keyframes: Sequence[Keyframe]) -> list[Keyframe]:
        """The kept keyframes that show the place of a new shot, proved by registration.

        Args:
            keyframes: of the new shot.
        """
        if not keyframes or not self._kept:
            return []
        own = [_describe(keyframe) for keyframe in keyframes]
        alike = [[float((one * other).mean()) for one in own] for _, other in self._kept]
        best = sorted(range(len(alike)), key=lambda at: -max(alike[at]))
        found: list[Keyframe] = []
        for at in best[: _TUNING.tried]:
            if max(alike[at]) < _TUNING.similar or len(found) == _TUNING.visitors:
                break
            nearest = keyframes[int(np.argmax(alike[at]))]
            if register(nearest.small, self._kept[at][0].small) is not None:
                found.append(self._kept[at][0])
        return found

    def _keep(self, keyframe: Keyframe) -> Keyframe:
        """The same keyframe from this shelf, which its picture leaves with its last use."""
        number, shelf = next(self._numbers), self._shelf
        shelf.put(number, keyframe.load())
        kept = replace(keyframe, load=lambda: shelf.get(number))
        # The archive may drop it while the memory of a shot still uses it.
        weakref.finalize(kept, shelf.drop, number).atexit = False
        return kept


def _describe(keyframe: Keyframe) -> Field:
    """Descriptor of a framing: a tiny picture of mean 0 and variance 1."""
    small = cv2.resize(keyframe.small.colours, _TUNING.thumbnail, interpolation=cv2.INTER_AREA)
    apart = small.astype(np.float32) - np.float32(small.mean())
    return np.asarray(apart / max(float(apart.std()), 1.0), np.float32)
