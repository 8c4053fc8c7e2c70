"""Metrics of the field: PSNR, SSIM, and flow-warping error between frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Metric(Protocol):
    """Measure one sequence; create a new instance for each."""

    @property
    def name(self) -> str:
        """The column's name, such as `psnr`."""
        ...

    @property
    def gap(self) -> str | None:
        """Why nothing is measured, such as weights that were not given; None if something is."""
        ...

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """Add the next frame of the sequence.

        Args:
            made: the composited result, uint8 RGB (h, w, 3): known pixels are the truth's.
            truth: what should be there, of the same size; None where nobody knows.
            mask: bool (h, w), True = hole.

        Returns:
            This frame's value for a curve over time, in the unit of `result`; None where there is
            none: no hole, a frame that is not sampled, or nothing to compare with.
        """
        ...

    def result(self) -> float | None:
        """The value of the sequence so far; None where there is nothing to measure."""
        ...


@dataclass(frozen=True)
class Features:
    """What a metric over all sequences keeps of one: a row for each sample.

    `made` and `true` are float64 (n, d), n samples (one a sequence) of d features.
    """

    made: npt.NDArray[np.float64]
    true: npt.NDArray[np.float64]


@runtime_checkable
class PooledMetric(Protocol):
    """A metric that is defined over all sequences only: `result` is None for each of them.

    Keep `features()` of every sequence and give them all to `pool`, which depends on nothing else.
    """

    @property
    def name(self) -> str:
        """See Metric.name."""
        ...

    @property
    def gap(self) -> str | None:
        """See Metric.gap."""
        ...

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add."""
        ...

    def result(self) -> float | None:
        """None: one sequence has no value."""
        ...

    def features(self) -> Features | None:
        """What is kept of this sequence, (1, d) each; None where there is nothing."""
        ...


@dataclass(frozen=True)
class Missing:
    """Placeholder for a metric that cannot be measured, with the reason."""

    name: str
    gap: str | None

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """None."""
        return None

    def result(self) -> float | None:
        """None."""
        return None


HIGHEST = 100.0
"""Decibels given to a frame or hole that is equal to the truth, whose PSNR would be infinite."""


def measure_squared_error(made: Frame, truth: Frame) -> float:
    """Sum of squared differences of two uint8 arrays of one shape."""
    return float(cv2.norm(made, truth, cv2.NORM_L2SQR))


def to_decibels(error: float) -> float:
    """PSNR of a mean squared error of 8-bit values, at most HIGHEST."""
    if error <= 0:
        return HIGHEST
    return min(10 * math.log10(255**2 / error), HIGHEST)


def measure_psnr(made: Frame, truth: Frame) -> float:
    """PSNR in decibels of two uint8 arrays of one shape, at most HIGHEST."""
    return to_decibels(measure_squared_error(made, truth) / made.size)


class Psnr:
    """Mean over frames of the PSNR of the whole frame, as the field's papers report it.

    Frames without any hole are copies of the truth and say nothing about a method: they are left
    out of the mean. A frame with a hole that is equal to the truth counts as HIGHEST.
    """

    name = "psnr"
    gap: str | None = None

    def __init__(self) -> None:
        self._total = 0.0
        self._frames = 0

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add; decibels of this frame."""
        if truth is None or not mask.any():
            return None
        value = measure_psnr(made, truth)
        self._total += value
        self._frames += 1
        return value

    def result(self) -> float | None:
        """Decibels."""
        return self._total / self._frames if self._frames else None


class HolePsnr:
    """PSNR of the pixels inside holes: their squared error is pooled over all frames first.

    A large hole counts more than a small one, and an equal frame needs no special case.
    """

    name = "hole_psnr"
    gap: str | None = None

    def __init__(self) -> None:
        self._error = 0.0
        self._values = 0

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add; decibels inside this frame's hole."""
        if truth is None or not mask.any():
            return None
        inside = made[mask]
        error = measure_squared_error(inside, truth[mask])
        self._error += error
        self._values += inside.size
        return to_decibels(error / inside.size)

    def result(self) -> float | None:
        """Decibels."""
        return to_decibels(self._error / self._values) if self._values else None


UNIFORM_SIDE = 65
GAUSSIAN_SIDE = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2

Map = npt.NDArray[np.float64]


def measure_ssim_uniform(made: Frame, truth: Frame) -> float:
    """SSIM in percent with a uniform window of 65x65 and sample covariance: the field's.

    `made` and `truth` are uint8 (h, w, 3), no side below 65.
    """
    values = UNIFORM_SIDE**2

    def average(image: npt.NDArray[Any]) -> Map:
        side = (UNIFORM_SIDE, UNIFORM_SIDE)
        sums = cv2.boxFilter(image, cv2.CV_32S, side, normalize=False)
        return _crop(np.asarray(sums), UNIFORM_SIDE) / values

    def compare(a: Frame, b: Frame) -> Map:
        whole = a.astype(np.uint16), b.astype(np.uint16)  # products of two bytes fit
        return _compare(*whole, average, values / (values - 1))

    return _measure_changed(made, truth, UNIFORM_SIDE, compare)


def measure_ssim_gaussian(made: Frame, truth: Frame) -> float:
    """SSIM in percent with the original's Gaussian window, 11x11 with a sigma of 1.5.

    `made` and `truth` are uint8 (h, w, 3), no side below 11.
    """

    def average(image: Map) -> Map:
        blurred = cv2.GaussianBlur(image, (GAUSSIAN_SIDE, GAUSSIAN_SIDE), _SIGMA)
        return _crop(np.asarray(blurred), GAUSSIAN_SIDE)

    def compare(a: Frame, b: Frame) -> Map:
        return _compare(a.astype(np.float64), b.astype(np.float64), average, 1.0)

    return _measure_changed(made, truth, GAUSSIAN_SIDE, compare)


def _crop(image: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    rim = side // 2
    return image[rim : image.shape[0] - rim, rim : image.shape[1] - rim]


def _measure_changed(
    made: Frame, truth: Frame, side: int, compare: Callable[[Frame, Frame], Map]
) -> float:
    """Mean in percent over all windows, of which only those that see a difference are compared.

    Most of a composited frame is a copy of the truth, where SSIM is 1.
    """
    changed = made != truth
    rows, columns = (_find_range(changed.any(axis), side) for axis in ((1, 2), (0, 2)))
    losses = 1 - compare(made[rows, columns], truth[rows, columns])
    windows = (made.shape[0] - side + 1) * (made.shape[1] - side + 1) * made.shape[2]
    return float(100 * (1 - losses.sum() / windows))


def _find_range(changed: npt.NDArray[np.bool_], side: int) -> slice:
    """Where windows of `side` lie that see a change along one axis."""
    (found,) = np.nonzero(changed)
    if not len(found):
        return slice(0, side)
    return slice(max(int(found[0]) - side + 1, 0), int(found[-1]) + side)


def _compare(
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    average: Callable[[npt.NDArray[Any]], Map],
    correction: float,
) -> Map:
    """The map of SSIM (equation 13 of the paper); `average` takes a mean over windows."""
    mean_a, mean_b = average(a), average(b)
    product = mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    covariance = correction * (average(a * b) - product)
    variances = correction * (average(a * a) + average(b * b) - squares)
    likeness = (2 * product + _C1) * (2 * covariance + _C2)
    likeness /= (squares + _C1) * (variances + _C2)
    return likeness


class Ssim:
    """Mean SSIM over the frames that are sampled and have a hole."""

    def __init__(
        self, name: str, measure: Callable[[Frame, Frame], float], side: int, every: int
    ) -> None:
        """`measure` gives the percent of two frames, whose sides must not be below `side`."""
        self.name = name
        self.gap: str | None = None
        self._measure = measure
        self._side = side
        self._every = every
        self._seen = 0
        self._values: list[float] = []

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add; percent of this frame."""
        sampled = self._seen % self._every == 0
        self._seen += 1
        if truth is None or not sampled or not mask.any():
            return None
        if min(mask.shape) < self._side:
            self.gap = f"frames are smaller than the window of {self._side}x{self._side} pixels"
            return None
        value = self._measure(made, truth)
        self._values.append(value)
        return value

    def result(self) -> float | None:
        """Percent."""
        return float(np.mean(self._values)) if self._values else None


Field = npt.NDArray[np.float32]

_RIM = 4
"""Pixels around a hole whose flow it spoils: dense inverse search compares patches of eight."""


@dataclass(frozen=True)
class Correspondence:
    """Correspondence of each pixel to the previous frame.

    `x`, `y`: float32 (h, w), in pixels of the frame before; `visible`: bool (h, w), True where
    that frame shows it and the motion can be trusted.
    """

    x: Field
    y: Field
    visible: Mask

    def warp(self, before: Frame) -> npt.NDArray[np.uint8]:
        """The frame before (h, w, 3), moved to where things are now; bilinear."""
        warped = cv2.remap(
            before, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(warped, np.uint8)


class Follower:
    """Track correspondences through a sequence, shared by all metrics.

    Args:
        estimator: the optical flow; dense inverse search unless a learned one is given.
    """

    def __init__(self, estimator: FlowEstimator) -> None:
        self._estimator = estimator
        self._index = -1
        self._before: tuple[Any, Mask | None] | None = None
        self._latest: Correspondence | None = None

    def follow(
        self, index: int, made: Frame, truth: Frame | None, mask: Mask
    ) -> Correspondence | None:
        """From frame `index` to the one before; None for the first.

        Motion is estimated on the truth, so that it is the same for all methods. Where there is
        none, it is estimated on the result, and inside holes completed from around them: a fill
        must not be its own witness. Frames are asked for in order; asking again for the latest
        costs nothing.
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
    """`flow` (h, w, 2) with a completion inside `hole` in place of what the fill shows."""
    there, fro = Flow(flow), Flow(back)
    model = fit_motion(take_samples(there, fro, hole, hole_there), hole.shape)
    return complete_flow(there, fro, hole, hole, hole_there, model).vectors


def _widen(mask: Mask) -> Mask:
    """The hole with the rim in which a flow of patches still sees it."""
    side = 2 * _RIM + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def find_correspondence(back: Field, forth: Field) -> Correspondence:
    """Correspondence from the flow `back` (h, w, 2) to the frame before, and `forth` from it.

    A pixel is not visible where it leaves the picture, where the two flows disagree (occlusion),
    or at an edge of motion, where flow is a blend of two motions. Limits are those of Ruder et al.
    (2016; the first is that of Sundaram et al. 2010), which Lai et al. (2018) use.
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
    """Squared gradient of both components (h, w), by differences to the right and below."""
    edges = np.zeros(flow.shape[:2], np.float32)
    edges[:, :-1] += square_length(flow[:, 1:] - flow[:, :-1])
    edges[:-1] += square_length(flow[1:] - flow[:-1])
    return edges


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
    """Flicker: excess change of the filled hole along the motion over the ground truth, in levels.

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
