"""Render photographs as clips under a moving camera; check a data set before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cleanplate.errors import InputError
from cleanplate.research.data.clips import Clip, find_empty, open_clips
from cleanplate.research.holes import Outlines, contour
from cleanplate.video.images import list_images, read_image

Picture = npt.NDArray[np.uint8]
"""uint8 RGB `(h, w, 3)`."""
_Matrices = npt.NDArray[np.float64]
"""`(t, 2, 3)`: affine maps from pixels x, y of the picture to pixels of each frame."""


def list_photographs(folder: Path) -> tuple[Path, ...]:
    """List the images of a folder; raise InputError if there are none."""
    return list_images(folder)


def read_photograph(path: Path, short_side: int = 288) -> Picture:
    """Read a photograph, downscaled to a short side of `short_side`; raise InputError."""
    picture = read_image(path)
    scale = short_side / min(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True, slots=True)
class Layer:
    """Picture and its motion through the frames; `shape` cuts an object out of it."""

    picture: Picture
    ways: _Matrices
    shape: npt.NDArray[np.float64] | None = None
    """Corners x, y of the object, in pixels of the picture; None takes the whole picture."""

    def paint(self, size: tuple[int, int], device: torch.device | str) -> Tensor:
        """Render the moved picture, `(t, 3, h, w)` in [0, 255], mirrored at its border."""
        source = torch.from_numpy(np.ascontiguousarray(self.picture)).to(device)
        source = source.permute(2, 0, 1)[None].float().expand(len(self.ways), -1, -1, -1)
        grid = _grid(self.ways, self.picture.shape[:2], size, device)
        return F.grid_sample(source, grid, padding_mode="reflection", align_corners=False)

    def cover(self, size: tuple[int, int], device: torch.device | str) -> Tensor | float:
        """Render the alpha of the layer, `(t, 1, h, w)`, 0 to 1, with a soft edge."""
        if self.shape is None:
            return 1.0
        corners = self.shape @ self.ways[:, :, :2].transpose(0, 2, 1) + self.ways[:, None, :, 2]
        twice = Outlines((2 * size[0], 2 * size[1]), len(self.ways), (2 * corners,))
        return F.avg_pool2d(twice.draw(device)[:, None].float(), 2)


@dataclass(frozen=True, slots=True)
class CameraMove:
    """Clip of a camera that moves over a picture, with cut-outs of others in front."""

    layers: tuple[Layer, ...]

    def paint(self, size: tuple[int, int], device: torch.device | str) -> Tensor:
        """Render the frames, `(t, 3, h, w)` in [0, 255]."""
        first, *others = self.layers
        canvas = first.paint(size, device)
        for layer in others:
            canvas = canvas.lerp(layer.paint(size, device), layer.cover(size, device))
        return canvas


def camera_move(
    picture: Picture,
    others: Sequence[Picture],
    times: Sequence[int],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> CameraMove:
    """Draw a clip of `size` (height, width) in which a camera moves over `picture`.

    Cut-outs of `others` are in front: they move against the background (parallax) and on their
    own. `times` are the frame numbers; motion is smooth in them.
    """
    height, width = picture.shape[:2]
    zoom = max(size[0] / height, size[1] / width) * rng.uniform(1.05, 1.5)
    ways = _move(picture, size, times, rng, zoom, (0.5, 0.5), rng.choice([0.0, 0.3, 1.0]))
    return CameraMove(
        (Layer(picture, ways), *(_cut_out(other, times, size, rng) for other in others))
    )


def _cut_out(
    picture: Picture, times: Sequence[int], size: tuple[int, int], rng: np.random.Generator
) -> Layer:
    """Cut out an object with a free-form outline that moves by itself."""
    height, width = picture.shape[:2]
    zoom = max(size[0] / height, size[1] / width) * rng.uniform(0.6, 1.2)
    ways = _move(picture, size, times, rng, zoom, rng.uniform(0.1, 0.9, 2), 1.0)
    shape = contour(rng, corners=int(rng.integers(5, 10)), roughness=rng.uniform(0.1, 0.6))
    radius = rng.uniform(0.1, 0.25) * min(size) / zoom
    centre = np.array([width, height]) / 2
    return Layer(picture, ways, shape * radius * [rng.uniform(0.6, 1.3), 1.0] + centre)


def _move(
    picture: Picture,
    size: tuple[int, int],
    times: Sequence[int],
    rng: np.random.Generator,
    zoom: float,
    target: Sequence[float] | npt.NDArray[np.float64],
    roaming: float,
) -> _Matrices:
    """Draw the motion of a picture: its centre is at `target`, 0 to 1, and moves away smoothly.

    `roaming` scales all motion; 0 is a static camera.
    """
    clock = np.asarray(times, np.float64)[:, None]
    speed, swing = (rng.normal(0, amount * size[0], 2) * roaming for amount in (0.006, 0.04))
    pace = rng.uniform(0.05, 0.3, 2)
    growth, spin = rng.normal(0, 0.002) * roaming, rng.normal(0, 0.003) * roaming
    centre = np.array([picture.shape[1], picture.shape[0]]) * rng.uniform(0.4, 0.6, 2)
    place = np.array([size[1], size[0]]) * target + speed * clock + swing * np.sin(pace * clock)
    scale, angle = zoom * np.exp(growth * clock[:, 0]), spin * clock[:, 0]
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    return np.concatenate([linear, (place - linear @ centre)[..., None]], -1)


def _grid(
    ways: _Matrices, source: Sequence[int], size: tuple[int, int], device: torch.device | str
) -> Tensor:
    """Compute the sampling grid of each frame into the picture, in the format of `grid_sample`."""
    back = np.linalg.inv(ways[:, :, :2])
    shift = -(back @ ways[:, :, 2:])[..., 0]
    # From [-1, 1] over the frame to [-1, 1] over the picture.
    half, whole = np.array([size[1], size[0]]) / 2, np.array([source[1], source[0]]) / 2
    linear = back * half / whole[:, None]
    offset = (back @ half + shift) / whole - 1
    theta = np.concatenate([linear, offset[..., None]], -1).astype(np.float32)
    return F.affine_grid(
        torch.from_numpy(theta).to(device), [len(ways), 1, *size], align_corners=False
    )


Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """One unusable file."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def check_data(
    clips: Path | None,
    split: str | None,
    photographs: Path | None,
    frames: int,
    size: tuple[int, int],
    progress: Progress | None = None,
) -> list[Problem]:
    """List the problems of a data set and a folder of photographs; either may be None.

    A sample needs `frames` frames of `size` (height, width).
    """
    problems: list[Problem] = []
    try:
        if clips is not None:
            problems += check_clips(open_clips(clips, split), frames, size, progress)
            strays = find_empty(clips) if split is None else []
            problems += [
                Problem(path.name, f"{path} holds no images; remove it") for path in strays
            ]
    except InputError as error:
        problems.append(Problem("clips", str(error)))
    try:
        if photographs is not None:
            problems += check_photographs(photographs)
    except InputError as error:
        problems.append(Problem("photographs", str(error)))
    return problems


def check_clips(
    clips: Sequence[Clip],
    frames: int,
    size: tuple[int, int],
    progress: Progress | None = None,
) -> Iterator[Problem]:
    """Read all clips; yield those unusable for training with `frames` of `size` (h, w)."""
    for index, clip in enumerate(clips):
        problem = _check_clip(clip, frames, size)
        if problem is not None:
            yield Problem(clip.name, problem)
        if progress is not None:
            progress(index + 1, len(clips))


def check_photographs(folder: Path) -> Iterator[Problem]:
    """Read every photograph; yield the unreadable ones."""
    for path in list_photographs(folder):
        try:
            read_photograph(path)
        except InputError as error:
            yield Problem(path.name, str(error))


def _check_clip(clip: Clip, frames: int, size: tuple[int, int]) -> str | None:
    """Check a clip; reads all of it, one frame in memory at a time."""
    count, shape = 0, None
    try:
        for frame in clip:
            count, shape = count + 1, shape or frame.shape
            if frame.shape != shape:
                return (
                    f"frame {count} is {_describe(frame.shape)} and the first {_describe(shape)}; "
                    "make them equal or leave it out"
                )
    except InputError as error:
        return str(error)
    if shape is None or count < frames:
        return f"has {count} frames, training takes {frames}; leave it out"
    if shape[0] < size[0] * 0.5 or shape[1] < size[1] * 0.5:
        return f"is {_describe(shape)}, less than half of {size[1]}x{size[0]}; leave it out"
    return None


def _describe(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
