"""Constant-velocity model of how an object moves against the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cleanplate.masks.tracking.evidence import Field


@dataclass(frozen=True)
class CourseTuning:
    """Constants of the velocity model."""

    pace: float = 0.2
    """Weight of the latest frame in the velocity: a step or a pedal stroke lasts several frames."""
    fade: float = 0.98
    """Factor of the velocity in each frame without a measurement: hidden objects rather slow
    down."""


_TUNING = CourseTuning()


class Course:
    """Velocity of an object in pixels per frame against the camera, (x, y).

    It points from this frame to the previous one, as backward flow does.
    """

    def __init__(self) -> None:
        self.speed = np.zeros(2)
        self._measured = 0

    def depart(self, own: Field) -> Field:
        """Difference of each pixel's motion `own` (h, w, 2) from the velocity, pixels (h, w)."""
        apart = own - self.speed.astype(np.float32)
        return np.asarray(np.hypot(apart[..., 0], apart[..., 1]), np.float32)

    def measure(self, seen: npt.NDArray[np.float32], slow: float = 1.0) -> None:
        """Take in the motion `seen` (k, 2) of the object's pixels; `slow` scales the pace."""
        self._measured += 1
        pace = max(slow * _TUNING.pace, 1 / self._measured)
        self.speed = self.speed + pace * (np.median(seen, axis=0) - self.speed)

    def coast(self) -> None:
        """Go on without a measurement."""
        self.speed = _TUNING.fade * self.speed
