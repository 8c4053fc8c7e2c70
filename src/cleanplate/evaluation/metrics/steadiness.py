"""Steadiness over time: the field's flow warping error, and flicker inside holes.

Both compare a frame with the frame before along the motion of the scene (`Follower`): that of the
truth, or, where there is none, that of the result with the motion inside holes completed from
around them. So the motion is the same for all methods, and no fill is its own witness.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.evaluation.metrics.correspondence import Correspondence, Follower
from cleanplate.evaluation.metrics.metric import Frame, Mask

_SURROUNDINGS = 16
"""Pixels around a hole that stand in for the truth inside it."""


class WarpingError:
    """E_warp (Lai et al., ECCV 2018), in percent of the squared range.

    For each pair of frames: the mean over visible pixels and channels of the squared difference
    between a frame and the one before warped to it, in [0, 1]² times 100; then the mean over pairs.
    Whole frames are compared, as the field does. Its papers use FlowNet2, so that numbers by
    another flow compare methods with each other but not with papers.
    """

    name = "e_warp"
    gap: str | None = None

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._before: Frame | None = None
        self._index = -1
        self._values: list[float] = []

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add; percent between the frame before and this one."""
        self._index += 1
        before, self._before = self._before, made.copy()
        found = self._follower.follow(self._index, made, truth, mask)
        if found is None or before is None or not found.visible.any():
            return None
        squares = measure_change(made, before, found)
        value = 100 * float(squares[found.visible].mean()) / 255**2
        self._values.append(value)
        return value

    def result(self) -> float | None:
        """Percent."""
        return float(np.mean(self._values)) if self._values else None


class Flicker:
    """How much more a filled hole changes along the motion than what is really there, in levels.

    The root mean square, over the visible hole pixels of all frames, of the difference between a
    frame and the one before warped to it; minus the same of the truth on the same pixels, or, where
    there is no truth, of the known pixels around the hole. 0: as steady as the real picture, whose
    grain and moving things change too. Above 0: it flickers. Below 0: steadier than real footage,
    such as a fill without grain. A wrong fill that moves along with the scene does not flicker.
    """

    name = "flicker"
    gap: str | None = None

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._before: tuple[Frame, Frame] | None = None
        self._index = -1
        self._made = _Mean()
        self._real = _Mean()

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add; levels between the frame before and this one."""
        self._index += 1
        real = made if truth is None else truth
        before, self._before = self._before, (made.copy(), real.copy())
        found = self._follower.follow(self._index, made, truth, mask)
        if found is None or before is None:
            return None
        around = mask if truth is not None else _find_surroundings(mask)
        hole, reference = mask & found.visible, around & found.visible
        if not hole.any() or not reference.any():
            return None
        change = self._made.take(measure_change(made, before[0], found)[hole])
        real_change = self._real.take(measure_change(real, before[1], found)[reference])
        return change - real_change

    def result(self) -> float | None:
        """Levels of 255."""
        return self._made.root() - self._real.root() if self._made.count else None


class _Mean:
    """Root mean square of values that come in parts."""

    def __init__(self) -> None:
        self.count = 0
        self._total = 0.0

    def take(self, squares: npt.NDArray[np.float32]) -> float:
        """Add squares and give the root of their own mean."""
        total = float(squares.sum(dtype=np.float64))
        self._total += total
        self.count += squares.size
        return float(np.sqrt(total / squares.size))

    def root(self) -> float:
        return float(np.sqrt(self._total / self.count))


def measure_change(now: Frame, before: Frame, found: Correspondence) -> npt.NDArray[np.float32]:
    """Squared change (h, w) along the motion, mean over channels, in levels²."""
    difference = now.astype(np.float32) - found.warp(before)
    return np.asarray(np.einsum("hwc,hwc->hw", difference, difference) / 3, np.float32)


def _find_surroundings(mask: Mask) -> Mask:
    """Known pixels (h, w) near the hole."""
    side = 2 * _SURROUNDINGS + 1
    near = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray((near > 0) & ~mask)
