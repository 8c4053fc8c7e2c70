"""What of a frame is not in the background that other frames show: the thing that moves.

Neighbouring frames are laid over a frame: first by the camera's motion (a homography), then by flow
that is completed inside the object from around it, so that parallax is followed. Where most of them
disagree with the frame, something stands there that moves against the background; its shadow too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow.estimate import DisFlow
from cleanplate.flow.motion import grid
from cleanplate.flow.smooth import pull_push
from cleanplate.masks.source import Mask
from cleanplate.masks.tracking.segmenter import Frames

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Homography = npt.NDArray[np.float64]

_NOISE = 3.0
"""Levels of difference that mean nothing."""
_EDGE = 0.08
"""Part of the local contrast that a small misplacement makes up for."""

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
        first, second = (_halve(_gray(picture)) for picture in (frame, after))
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


class Plate:
    """The background behind one frame, as others show it."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._dis = DisFlow("fast")

    def compare(
        self,
        index: int,
        others: Sequence[int],
        hole: Mask,
        window: tuple[slice, slice],
        hidden: Mapping[int, Mask] | None = None,
    ) -> Field | None:
        """How much frame `index` differs from the background, float32 (h, w) of `window`.

        1 is what noise and misplacement explain. `hole`, bool (h, w) of the frame, holds the object
        with some room; `hidden` says of other frames, as far as it is known, where they show the
        object and not the background. The lower median over `others` counts; None when no two of
        them show it.
        """
        frame = self._camera.frames[index][window]
        gray = _gray(frame)
        smooth = cv2.GaussianBlur(frame, (0, 0), 0.8).astype(np.float32)
        away = hidden or {}
        layers = [
            self._layer(index, other, gray, smooth, hole[window], window, away.get(other))
            for other in others
        ]
        known = [layer for layer in layers if np.isfinite(layer).mean() > 0.3]
        if len(known) < 2:
            return None
        ordered = np.sort(np.stack(known), axis=0)
        count = np.isfinite(ordered).sum(0)
        middle = np.maximum((count - 1) // 2, 0)[None]
        difference = np.take_along_axis(ordered, middle, 0)[0]
        difference[count < 2] = np.nan
        kernel = np.ones((3, 3), np.uint8)
        contrast = (cv2.dilate(gray, kernel) - cv2.erode(gray, kernel)).astype(np.float32)
        return np.asarray(difference / (_NOISE + _EDGE * contrast), np.float32)

    def _layer(
        self,
        index: int,
        other: int,
        gray: npt.NDArray[np.uint8],
        smooth: Field,
        hole: Mask,
        window: tuple[slice, slice],
        hidden: Mask | None,
    ) -> Field:
        """Difference from one other frame laid over this one, levels (h, w); inf where unseen."""
        rows, columns = window
        place = np.array([[1, 0, columns.start], [0, 1, rows.start], [0, 0, 1]], np.float64)
        way = self._camera.between(index, other) @ place
        size = gray.shape[::-1]
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        source = self._camera.frames[other]
        laid = cv2.warpPerspective(source, way, size, flags=flags)
        shown = np.full(source.shape[:2], 255, np.uint8)
        if hidden is not None:
            shown[hidden] = 0
        seen = cv2.warpPerspective(shown, way, size, flags=flags) == 255
        if min(gray.shape) < 2 * _SMALLEST or seen.mean() < 0.3:
            return _subtract(smooth, np.asarray(laid, np.float32), seen)
        shift = self._align(gray, laid, hole, seen)
        x, y = grid(*gray.shape)
        laid = cv2.remap(laid, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR)
        laid = cv2.GaussianBlur(laid, (0, 0), 0.8).astype(np.float32)
        return _subtract(smooth, np.asarray(laid, np.float32), seen)

    def _align(self, gray: npt.NDArray[np.uint8], laid: Frame, hole: Mask, seen: Mask) -> Field:
        """What is left of the background's motion, (h, w, 2), completed inside the hole."""
        first, second = _halve(gray), _halve(_gray(laid))
        size = first.shape[::-1]
        flow = self._dis.flow(first, second)
        hidden = cv2.resize(hole.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        known = cv2.resize(seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        trust = ((cv2.dilate(hidden, np.ones((5, 5))) == 0) & (known > 0)).astype(np.float32)
        completed = pull_push(np.asarray(flow, np.float32), trust)
        return np.asarray(2 * cv2.resize(completed, gray.shape[::-1]), np.float32)


def _subtract(frame: Field, laid: Field, seen: Mask) -> Field:
    """Largest difference of the channels, float32 (h, w); inf where not `seen`."""
    apart = cv2.absdiff(frame, laid)
    most = np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2])
    return np.where(seen, most, np.float32(np.inf))


def _gray(frame: Frame) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.uint8)


def _halve(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    size = (max(gray.shape[1] // 2, 1), max(gray.shape[0] // 2, 1))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
