"""The interface of metrics; PSNR and SSIM."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Metric(Protocol):
    """Metric of one sequence; each sequence gets a new instance."""

    @property
    def name(self) -> str:
        """Name of the column, such as `psnr`."""
        ...

    @property
    def gap(self) -> str | None:
        """Reason why nothing is measured, such as missing weights; None if it is measured."""
        ...

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """Add the next frame of the sequence.

        Args:
            made: the composited result, uint8 RGB `(h, w, 3)`: known pixels are the truth's.
            truth: the ground truth, of the same size; None if it is not known.
            mask: bool (h, w), True = hole.

        Returns:
            This frame's value for a curve over time, in the unit of `result`; None without a hole,
            for a frame that is not sampled, or without anything to compare with.
        """
        ...

    def result(self) -> float | None:
        """Value of the sequence so far; None if nothing was measured."""
        ...


@dataclass(frozen=True)
class Features:
    """Features of one sequence for a metric over all sequences: one row per sample.

    `made` and `true` are float64 (n, d), n samples (one a sequence) of d features.
    """

    made: npt.NDArray[np.float64]
    true: npt.NDArray[np.float64]


@runtime_checkable
class PooledMetric(Protocol):
    """Metric that is defined only over all sequences: `result` is None for each of them.

    Store `features()` of every sequence and pass all of them to `pool`, which needs nothing else.
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
        """Return the features of this sequence, `(1, d)` each; None if there are none."""
        ...


@dataclass(frozen=True)
class Missing:
    """Placeholder of a metric that cannot be measured, with the reason for the report."""

    name: str
    gap: str | None

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """None."""
        return None

    def result(self) -> float | None:
        """None."""
        return None


HIGHEST = 100.0
"""PSNR in dB for a frame or hole equal to the ground truth, instead of infinity."""


def measure_squared_error(made: Frame, truth: Frame) -> float:
    """Sum the squared differences of two uint8 arrays of the same shape."""
    return float(cv2.norm(made, truth, cv2.NORM_L2SQR))


def to_decibels(error: float, highest: float = HIGHEST) -> float:
    """Convert a mean squared error of 8-bit values to PSNR in decibels, at most `highest`."""
    if error <= 0:
        return highest
    return min(10 * math.log10(255**2 / error), highest)


def measure_psnr(made: Frame, truth: Frame) -> float:
    """Compute the PSNR in decibels of two uint8 arrays of the same shape, at most HIGHEST."""
    return to_decibels(measure_squared_error(made, truth) / made.size)


class Psnr:
    """Mean over frames of the PSNR of the whole frame, as reported in the field's papers.

    Frames without a hole are copies of the truth, and are left out. A frame with a hole that equals
    the truth counts as HIGHEST.
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
    """PSNR of the pixels inside holes, with the squared error pooled over all frames.

    A large hole counts more than a small one, and a frame without error needs no special case.
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
    """Compute SSIM in percent by the field's convention: uniform 65x65 window, sample covariance.

    `made` and `truth` are uint8 `(h, w, 3)`, no side below 65.
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
    """Compute SSIM in percent with the original Gaussian window: 11x11, sigma 1.5.

    Wang et al. 2004. `made` and `truth` are uint8 `(h, w, 3)`, no side below 11.
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
    """Average SSIM in percent over all windows; compute only those that contain a difference.

    Most of a composited frame is a copy of the truth, where SSIM is 1.
    """
    changed = made != truth
    rows, columns = (_find_range(changed.any(axis), side) for axis in ((1, 2), (0, 2)))
    losses = 1 - compare(made[rows, columns], truth[rows, columns])
    windows = (made.shape[0] - side + 1) * (made.shape[1] - side + 1) * made.shape[2]
    return float(100 * (1 - losses.sum() / windows))


def _find_range(changed: npt.NDArray[np.bool_], side: int) -> slice:
    """Find the range, along one axis, of the windows of `side` that contain a change."""
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
    """Compute the map of SSIM (Equation 13 of the paper); `average` takes the mean over windows."""
    mean_a, mean_b = average(a), average(b)
    product = mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    covariance = correction * (average(a * b) - product)
    variances = correction * (average(a * a) + average(b * b) - squares)
    likeness = (2 * product + _C1) * (2 * covariance + _C2)
    likeness /= (squares + _C1) * (variances + _C2)
    return likeness


class Ssim:
    """Mean SSIM over sampled frames with a hole."""

    def __init__(
        self, name: str, measure: Callable[[Frame, Frame], float], side: int, every: int
    ) -> None:
        """`measure` returns the percent of two frames, whose sides must be at least `side`."""
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
