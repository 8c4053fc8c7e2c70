"""Temporal consistency: flow warping error, and flicker inside holes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion import FlowEstimator
from cleanplate.motion.flow import (
    Flow,
    complete_flow,
    fit_motion,
    grid,
    square_length,
    take_samples,
)
from cleanplate.research.evaluation.metric import Frame, Mask

Field = npt.NDArray[np.float32]


_RIM = 4
"""Margin in pixels around a hole in which flow is unreliable: DIS matches 8x8 patches."""


@dataclass(frozen=True)
class Correspondence:
    """Backward correspondence: position of each pixel in the previous frame.

    `x`, `y`: float32 `(h, w)`, in pixels of the previous frame. `visible`: bool `(h, w)`, True if
    that frame shows the pixel and the motion is reliable.
    """

    x: Field
    y: Field
    visible: Mask

    def warp(self, before: Frame) -> npt.NDArray[np.uint8]:
        """Warp the previous frame (h, w, 3) to this one; bilinear."""
        warped = cv2.remap(
            before, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(warped, np.uint8)


class Follower:
    """Correspondence of consecutive frames, estimated once for all metrics.

    Args:
        estimator: estimator of optical flow; by default DIS.
    """

    def __init__(self, estimator: FlowEstimator) -> None:
        self._estimator = estimator
        self._index = -1
        self._before: tuple[Any, Mask | None] | None = None
        self._latest: Correspondence | None = None

    def follow(
        self, index: int, made: Frame, truth: Frame | None, mask: Mask
    ) -> Correspondence | None:
        """Return the correspondence of frame `index` to the previous one; None for the first.

        Motion is estimated on the ground truth, so that it is the same for all methods. Without
        ground truth it is estimated on the result and completed inside holes from around them, so
        that a fill cannot confirm itself. Request frames in order; the latest one is cached.
        """
        if index == self._index:
            return self._latest
        picture, hole = (made, _widen(mask)) if truth is None else (truth, None)
        before, self._before = self._before, (self._estimator.prepare(picture), hole)
        self._index = index
        self._latest = None if before is None else self._compare(self._before, before)
        return self._latest

    def _compare(
        self, now: tuple[Any, Mask | None], before: tuple[Any, Mask | None]
    ) -> Correspondence:
        back = self._estimator.flow(now[0], before[0])
        forth = self._estimator.flow(before[0], now[0])
        if now[1] is not None and before[1] is not None:
            back, forth = (
                _complete(back, forth, now[1], before[1]),
                _complete(forth, back, before[1], now[1]),
            )
        return find_correspondence(back, forth)


def _complete(flow: Field, back: Field, hole: Mask, hole_there: Mask) -> Field:
    """Replace `flow` `(h, w, 2)` inside `hole` with a completion from around it."""
    there, fro = Flow(flow), Flow(back)
    model = fit_motion(take_samples(there, fro, hole, hole_there), hole.shape)
    return complete_flow(there, fro, hole, hole, hole_there, model).vectors


def _widen(mask: Mask) -> Mask:
    """Dilate the hole by the margin in which flow patches overlap it."""
    side = 2 * _RIM + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def find_correspondence(back: Field, forth: Field) -> Correspondence:
    """Convert the flows `back` `(h, w, 2)` to the previous frame, and `forth` from it.

    A pixel is not visible if it leaves the picture, if forward and backward flow are inconsistent
    (occlusion), or at an edge of motion, where flow blends two motions. The limits are those of
    Ruder et al. (2016; the first is from Sundaram et al. 2010), which Lai et al. (2018) use.
    """
    height, width = back.shape[:2]
    x, y = grid(height, width)
    x, y = x + back[..., 0], y + back[..., 1]
    returned = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    length = square_length(back)
    visible = square_length(back + returned) <= 0.01 * (length + square_length(returned)) + 0.5
    visible &= _measure_edges(back) <= 0.01 * length + 0.002
    visible &= (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return Correspondence(x, y, np.asarray(visible, np.bool_))


def _measure_edges(flow: Field) -> Field:
    """Compute the squared gradient of both components `(h, w)` from forward differences."""
    edges = np.zeros(flow.shape[:2], np.float32)
    edges[:, :-1] += square_length(flow[:, 1:] - flow[:, :-1])
    edges[:-1] += square_length(flow[1:] - flow[:-1])
    return edges


_SURROUNDINGS = 16
"""Width in pixels of the ring around a hole that is used if there is no ground truth."""


class WarpingError:
    """E_warp (Lai et al., ECCV 2018), in percent of the squared range.

    For each pair of frames: the mean, over visible pixels and channels, of the squared difference
    between a frame and the previous one warped to it, in [0, 1]² times 100. Then the mean over
    pairs. Whole frames are compared, by the field's convention. Papers use FlowNet2, so values with
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
        """See Metric.add; percent between the previous frame and this one."""
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
    """Excess change of a filled hole along the motion over the ground truth, in levels.

    The root mean square, over the visible hole pixels of all frames, of the difference between a
    frame and the previous one warped to it, minus the same for the ground truth on the same pixels
    (without ground truth: for the known pixels around the hole). 0: as stable as real footage,
    which also has grain and moving objects. Above 0: it flickers. Below 0: more stable than real
    footage, such as a fill without grain. A wrong fill that moves with the scene does not flicker.
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
        """See Metric.add; levels between the previous frame and this one."""
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
    """Running root mean square."""

    def __init__(self) -> None:
        self.count = 0
        self._total = 0.0

    def take(self, squares: npt.NDArray[np.float32]) -> float:
        """Add squares; return the root of their mean."""
        total = float(squares.sum(dtype=np.float64))
        self._total += total
        self.count += squares.size
        return float(np.sqrt(total / squares.size))

    def root(self) -> float:
        return float(np.sqrt(self._total / self.count))


def measure_change(now: Frame, before: Frame, found: Correspondence) -> npt.NDArray[np.float32]:
    """Compute the squared change `(h, w)` along the motion, mean over channels, in levels²."""
    difference = now.astype(np.float32) - found.warp(before)
    return np.asarray(np.einsum("hwc,hwc->hw", difference, difference) / 3, np.float32)


def _find_surroundings(mask: Mask) -> Mask:
    """Mark known pixels `(h, w)` near the hole."""
    side = 2 * _SURROUNDINGS + 1
    near = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray((near > 0) & ~mask)
