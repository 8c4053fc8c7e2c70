"""PSNR: how near the made pixels are to the true ones, in decibels.

PSNR = 10 log10(255² / MSE), the mean squared error taken over pixels and channels. Two kinds are
kept apart: `psnr` by the field's convention over whole frames, most of whose pixels are copies of
the truth, and `hole_psnr` over the pixels that were made.
"""

from __future__ import annotations

import math

import cv2

from cleanplate.evaluation.metrics.metric import Frame, Mask

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
