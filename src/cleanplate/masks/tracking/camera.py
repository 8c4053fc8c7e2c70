"""The camera's motion, as homographies between frames."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.tracking.segmenter import Frames
from cleanplate.motion.flow import DisFlow, grid

Frame = npt.NDArray[np.uint8]
Homography = npt.NDArray[np.float64]

_SMALLEST = 16
"""Sides, in pixels, under which no flow is estimated."""


class Camera:
    """The camera's motion between neighbouring frames, estimated when first asked for."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self._steps: dict[int, Homography] = {}
        self._dis = DisFlow("fast")

    def between(self, first: int, second: int) -> Homography:
        """Where points x, y of frame `first` are in frame `second`, (3, 3)."""
        low, high = sorted((first, second))
        chain = np.eye(3)
        for index in range(low, high):
            chain = self._step(index) @ chain
        return chain if first <= second else np.asarray(np.linalg.inv(chain), np.float64)

    def _step(self, index: int) -> Homography:
        if index not in self._steps:
            self._steps[index] = self._estimate(self.frames[index], self.frames[index + 1])
        return self._steps[index]

    def _estimate(self, frame: Frame, after: Frame) -> Homography:
        """A homography fitted to flow at half the size; no motion where none fits."""
        first, second = (halve(to_gray(picture)) for picture in (frame, after))
        if min(first.shape) < _SMALLEST:
            return np.eye(3)
        flow = self._dis.flow(first, second)
        x, y = grid(*first.shape)
        samples = (slice(2, None, 5), slice(2, None, 5))
        here = np.stack([x[samples], y[samples]], -1).reshape(-1, 2)
        there = here + flow[samples].reshape(-1, 2)
        # Cells of half the size: centres of pixels lie at 2 x + 0.5 of the full one.
        fitted, _ = cv2.findHomography(2 * here + 0.5, 2 * there + 0.5, cv2.USAC_MAGSAC, 1.5)
        usable = fitted is not None and abs(np.linalg.det(fitted)) > 0.1
        return np.asarray(fitted) if usable else np.eye(3)


def to_gray(frame: Frame) -> npt.NDArray[np.uint8]:
    """Lightness of an RGB frame (h, w, 3), uint8 (h, w)."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.uint8)


def halve(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`gray` (h, w) at half the size."""
    size = (max(gray.shape[1] // 2, 1), max(gray.shape[0] // 2, 1))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
