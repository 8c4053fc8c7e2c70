"""SSIM: structural similarity (Wang et al. 2004), for 8-bit RGB frames, in percent.

Both kinds take the mean over channels and over windows that lie wholly inside the frame, with
K1 = 0.01, K2 = 0.03 and a range of 255. They differ in the window and must not be compared:
`measure_ssim_uniform` is what the field's papers report, `measure_ssim_gaussian` is the original's
window. The same damaged frame scores far higher by the first. Both equal scikit-image's to 1e-9 in
a fraction of its time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.evaluation.metrics.metric import Frame, Mask

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
