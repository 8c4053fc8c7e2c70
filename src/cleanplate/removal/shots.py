"""Shots: where they begin, and what all of their frames show."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.plates import KeyframeChooser, MemoryShelf, ShotMemory

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_THUMBNAIL = (64, 36)
_CHANGED = 30.0
"""Levels that a cut changes the picture by, at the least."""
_BRIGHTNESS = (0.6, 1.7)
"""Range of the gain between two frames that is taken out before they are compared."""
_SURPRISE = 3.0
"""Times the change seen lately that a cut stands out by, so that fast motion is no cut."""


class ShotDetector:
    """Detect cuts; call with the frames in order."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.float32] | None = None
        self._usual = 0.0

    def begins_shot(self, frame: npt.NDArray[np.uint8]) -> bool:
        """True when `frame` uint8 (h, w, 3) follows a cut; the first frame does not."""
        small = cv2.resize(frame, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, small
        if last is None:
            return False
        change = _change(last, small)
        cut = change > _CHANGED and change > _SURPRISE * self._usual
        self._usual = 0.0 if cut else 0.8 * self._usual + 0.2 * change
        return cut


def _change(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Mean absolute difference in levels, without a small motion and a change of brightness.

    So that fast motion, flicker and a flash are no cuts.
    """
    gain = np.clip((one.mean() + 1) / (other.mean() + 1), *_BRIGHTNESS)
    # The darker one becomes brighter, so that the difference is in the levels of the brighter.
    one, other = one * np.float32(max(1, 1 / gain)), other * np.float32(max(1, gain))
    gray = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (one, other)]
    (dx, dy), _ = cv2.phaseCorrelate(gray[0], gray[1], None)
    if abs(dx) > 16 or abs(dy) > 9:
        dx = dy = 0.0
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    moved = cv2.warpAffine(one, shift, _THUMBNAIL, borderMode=cv2.BORDER_REPLICATE)
    return float(min(np.abs(moved - other).mean(), np.abs(one - other).mean()))


class Memories(Protocol):
    """Knows what each shot of a video shows."""

    def find(self, number: int) -> ShotMemory | None:
        """Return the memory of the shot of a frame, by its number from 0; numbers never fall."""


class ArrayMemories:
    """Memories of a clip that is held as an array.

    Args:
        frames: uint8 (t, h, w, 3).
        masks: bool (t, h, w).
        split_shots: a cut ends a shot; else all frames are one.
    """

    def __init__(
        self, frames: Sequence[Frame], masks: Sequence[Mask], *, split_shots: bool
    ) -> None:
        self._frames, self._masks, self._split = frames, masks, split_shots
        self._shots: list[range] | None = None
        self._memories: dict[range, ShotMemory] = {}

    def find(self, number: int) -> ShotMemory | None:
        """See `Memories.find`."""
        if self._shots is None:
            self._shots = self._find_shots()
        shot = next(shot for shot in self._shots if number in shot)
        if shot not in self._memories:
            chooser = KeyframeChooser(MemoryShelf())
            for t in shot:
                chooser.add(t, self._frames[t], self._masks[t])
            self._memories = {shot: ShotMemory(chooser.finish())}
        return self._memories[shot]

    def _find_shots(self) -> list[range]:
        detector = ShotDetector()
        first = [t for t, frame in enumerate(self._frames) if detector.begins_shot(frame)]
        edges = [0, *(first if self._split else []), len(self._frames)]
        return [range(a, b) for a, b in itertools.pairwise(edges)]
