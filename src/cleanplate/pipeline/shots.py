"""Where one shot ends and the next begins: nothing is carried across a cut."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

_THUMBNAIL = (64, 36)
_CHANGED = 30.0
"""Levels that a cut changes the picture by, at the least."""
_SURPRISE = 3.0
"""Times the change seen lately that a cut stands out by, so that fast motion is no cut."""


class ShotDetector:
    """Tells for each frame whether it begins a new shot. Frames come in order."""

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
    """Mean absolute difference in levels, after the small motion that fits best is taken out."""
    gray = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (one, other)]
    (dx, dy), _ = cv2.phaseCorrelate(gray[0], gray[1], None)
    if abs(dx) > 16 or abs(dy) > 9:
        dx = dy = 0.0
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    moved = cv2.warpAffine(one, shift, _THUMBNAIL, borderMode=cv2.BORDER_REPLICATE)
    return float(min(np.abs(moved - other).mean(), np.abs(one - other).mean()))
