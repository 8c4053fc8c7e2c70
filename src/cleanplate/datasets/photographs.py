"""Photographs as clips: a moving camera, parallax, objects in front that move apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.datasets.clip import Frames
from cleanplate.masks.synthetic import contour
from cleanplate.video.images import list_images, read_image

Picture = npt.NDArray[np.uint8]
"""uint8 RGB `(h, w, 3)`."""


def list_photographs(folder: Path) -> tuple[Path, ...]:
    """The images of a folder; raises InputError when there is none."""
    return list_images(folder)


def read_photograph(path: Path, short_side: int = 288) -> Picture:
    """One photograph, scaled down to a short side of `short_side`; raises InputError."""
    picture = read_image(path)
    scale = short_side / min(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def camera_move(
    picture: Picture,
    others: Sequence[Picture],
    times: Sequence[int],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Frames:
    """A clip of `size` (height, width) in which a camera moves over `picture`.

    Cut-outs of `others` lie in front: they move against the background (parallax) and on their
    own. `times` are the frames' numbers; the motion is smooth in them.
    """
    layers = [_Layer(picture, None, size, rng, roaming=rng.choice([0.0, 0.3, 1.0]))]
    for other in others:
        shape = contour(rng, corners=int(rng.integers(5, 10)), roughness=rng.uniform(0.1, 0.6))
        layers.append(_Layer(other, shape, size, rng, roaming=1.0))
    frames = np.empty((len(times), *size, 3), np.uint8)
    for frame, time in zip(frames, times, strict=True):
        canvas = layers[0].colours(time)
        for layer in layers[1:]:
            alpha = layer.alpha(time)[..., None]
            canvas = canvas * (1 - alpha) + layer.colours(time) * alpha
        frame[:] = np.clip(np.rint(canvas), 0, 255)
    return frames


class _Layer:
    """One picture with its own smooth motion; `shape` cuts an object out of it."""

    def __init__(
        self,
        picture: Picture,
        shape: npt.NDArray[np.float64] | None,
        size: tuple[int, int],
        rng: np.random.Generator,
        roaming: float,
    ) -> None:
        self.picture, self.size = picture, size
        height, width = picture.shape[:2]
        fit = max(size[0] / height, size[1] / width)
        self.zoom = fit * rng.uniform(1.05, 1.5) if shape is None else fit * rng.uniform(0.6, 1.2)
        self.speed = rng.normal(0, 0.006 * size[0], 2) * roaming
        self.swing = rng.normal(0, 0.04 * size[0], 2) * roaming
        self.pace = rng.uniform(0.05, 0.3, 2)
        self.growth, self.spin = rng.normal(0, 0.002) * roaming, rng.normal(0, 0.003) * roaming
        self.centre = np.array([width, height]) * rng.uniform(0.4, 0.6, 2)
        self.target = np.array([size[1], size[0]]) * (
            0.5 if shape is None else rng.uniform(0.1, 0.9, 2)
        )
        self.cut: npt.NDArray[np.uint8] | None = None
        if shape is not None:
            self.cut = np.zeros((height, width), np.uint8)
            radius = rng.uniform(0.1, 0.25) * min(size) / self.zoom
            points = shape * radius * [rng.uniform(0.6, 1.3), 1.0] + self.centre
            cv2.fillPoly(self.cut, [np.rint(points).astype(np.int32)], 255)
            self.cut = cv2.GaussianBlur(self.cut, (3, 3), 0)

    def _matrix(self, time: float) -> npt.NDArray[np.float64]:
        zoom = self.zoom * np.exp(self.growth * time)
        turn = self.spin * time
        linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        place = self.target + self.speed * time + self.swing * np.sin(self.pace * time)
        return np.hstack([linear, (place - linear @ self.centre)[:, None]])

    def colours(self, time: float) -> npt.NDArray[np.float32]:
        """The moved picture; its rim is mirrored."""
        moved = cv2.warpAffine(
            self.picture,
            self._matrix(time),
            (self.size[1], self.size[0]),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(moved, np.float32)

    def alpha(self, time: float) -> npt.NDArray[np.float32]:
        """How much of the layer covers each pixel, 0 to 1."""
        assert self.cut is not None
        moved = cv2.warpAffine(self.cut, self._matrix(time), (self.size[1], self.size[0]))
        return np.asarray(moved / np.float32(255), np.float32)
