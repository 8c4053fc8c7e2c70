"""Training samples: a few frames of one clip, cropped and scaled, with holes.

A clip is a crop of footage, or a camera that moves over a photograph. The host draws random numbers
and crops uint8 pixels from the cache (`Draft`). Scaling, motion, colours and holes are rendered on
the network's device (`Draft.render`). Sample `number` of a data set depends only on the seed and
its number: a resumed or distributed run sees the same samples in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cleanplate.errors import InputError
from cleanplate.research import holes as outlines
from cleanplate.research.data.clips import Clip, Frames
from cleanplate.research.holes import Outlines, contour

Picture = npt.NDArray[np.uint8]
"""uint8 RGB `(h, w, 3)`."""
_Matrices = npt.NDArray[np.float64]
"""`(t, 2, 3)`: affine maps from pixels x, y of the picture to pixels of each frame."""


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


class Renderable(Protocol):
    """Description of a sample that can be rendered on a device."""

    def render(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Render frames, uint8 `(t, h, w, 3)` without holes, and masks, bool `(t, h, w)`."""


class Sample(NamedTuple):
    """Sample: `frames` uint8 `(t, h, w, 3)` without holes, `masks` bool `(t, h, w)`."""

    frames: Frames
    masks: npt.NDArray[np.bool_]

    def render(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Convert to tensors on `device`."""
        frames = torch.from_numpy(np.ascontiguousarray(self.frames))
        return frames.to(device), torch.from_numpy(self.masks).to(device)


class Crop(NamedTuple):
    """Crop of a clip, uint8 `(t, h, w, 3)`, to be scaled."""

    frames: Frames

    def paint(self, size: tuple[int, int], device: torch.device | str) -> Tensor:
        """Scale the frames to `size` (height, width): `(t, 3, h, w)` in [0, 255]."""
        frames = torch.from_numpy(self.frames).to(device).permute(0, 3, 1, 2)
        if frames.device.type != "cpu":  # devices whose filter supports floats only
            frames = frames.float()
        return F.interpolate(frames, size, mode="bilinear", antialias=True).float()


@dataclass(frozen=True, slots=True)
class Stencil:
    """Holes as pixels, uint8 `(t, h, w)` with 255 = hole, to be scaled to `size`."""

    size: tuple[int, int]
    holes: npt.NDArray[np.uint8]

    def draw(self, device: torch.device | str = "cpu") -> Tensor:
        """Scale to masks, bool `(t, h, w)` of `size`; a pixel that is mostly hole is a hole."""
        holes = torch.from_numpy(self.holes).to(device)[:, None].float()
        return F.interpolate(holes, self.size, mode="bilinear", antialias=True)[:, 0] > 127


@dataclass(frozen=True, slots=True)
class Draft:
    """Random choices of a sample, with its pixels."""

    content: Crop | CameraMove
    holes: Outlines | Stencil
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gains of red, green and blue, for all frames."""
    shift: float = 0.0
    """Offset of all colours, in levels."""
    mirrored: bool = False

    def render(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Render frames, uint8 `(t, h, w, 3)`, and masks, bool `(t, h, w)`, on `device`."""
        frames = self.content.paint(self.holes.size, device)
        if self.mirrored:
            frames = frames.flip(-1)
        frames.mul_(torch.tensor(self.gain, device=device).view(3, 1, 1)).add_(self.shift)
        pixels = frames.round_().clamp_(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1), self.holes.draw(device)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of sampling."""

    size: tuple[int, int] = (128, 192)
    """Height and width of a sample, in pixels."""
    frames: int = 5
    """Frames per sample; half are close to each other, the others anywhere within reach."""
    reach: int = 40
    """Maximum distance between two frames of a sample, in frames."""
    zoom: float = 1.7
    """Maximum size of a crop relative to the sample, before it is downscaled."""
    photographs: float = 0.25
    """Fraction of samples made from photographs."""
    carried: float = 0.0
    """Fraction of samples whose holes were filled by propagation as far as possible."""
    released: bool = False
    """Sample as STTN's released trainer: whole frames scaled to the size, consecutive or from
    anywhere in the clip, randomly mirrored, with the paper's holes only."""


class Sampler:
    """Sampler of clips and photographs; raises InputError if no clip is long enough."""

    def __init__(
        self,
        clips: Sequence[Clip],
        photographs: Sequence[Picture],
        sampling: Sampling,
        seed: int,
        carried: Sequence[Clip] = (),
    ) -> None:
        self.sampling, self.seed = sampling, seed
        self._clips = [clip for clip in clips if len(clip) >= sampling.frames]
        self._carried = [clip for clip in carried if len(clip) >= sampling.frames]
        self._photographs = [] if sampling.released else photographs
        if not self._clips and not self._photographs:
            raise InputError(
                f"no clip has the {sampling.frames} frames that a sample takes; give longer clips"
            )
        weights = np.sqrt([len(clip) for clip in self._clips])
        self._weights = weights / weights.sum() if len(weights) else weights

    def __call__(self, number: int) -> Draft:
        """Draw sample `number`, ready to render."""
        rng = np.random.default_rng((self.seed, number))
        if self.sampling.released:
            return self._draw_as_released(rng)
        if self._carried and rng.random() < self.sampling.carried:
            return self._draw_carried(rng)
        of_photographs = len(self._photographs) > 0 and (
            not self._clips or rng.random() < self.sampling.photographs
        )
        draw = self._move if of_photographs else self._cut
        content, times = draw(rng, backwards=rng.random() < 0.5)
        red, green, blue = rng.uniform(0.92, 1.08, 3) * rng.uniform(0.85, 1.15)
        return Draft(
            content,
            outlines.mixed(self.sampling.size, times, rng),
            gain=(red, green, blue),
            shift=rng.uniform(-10, 10),
            mirrored=rng.random() < 0.5,
        )

    def _draw_as_released(self, rng: np.random.Generator) -> Draft:
        clip = self._clips[int(rng.integers(len(self._clips)))]
        count = self.sampling.frames
        if rng.random() < 0.5:
            times = sorted(rng.choice(len(clip), count, replace=False).tolist())
        else:
            first = int(rng.integers(0, len(clip) - count + 1))
            times = list(range(first, first + count))
        holes = outlines.paper(self.sampling.size, times, rng)
        return Draft(Crop(clip.read(times)), holes, mirrored=rng.random() < 0.5)

    def _draw_carried(self, rng: np.random.Generator) -> Draft:
        """Draw a crop of a `cache.CarriedClip`, with the unknown pixels as its hole."""
        clip = self._carried[int(rng.integers(len(self._carried)))]
        count, reach = self.sampling.frames, self.sampling.reach
        frames = self._crop(clip.read(pick_frames(len(clip), count, reach, rng)), rng).frames
        frames = frames[:, :, ::-1] if rng.random() < 0.5 else frames
        content = Crop(np.ascontiguousarray(frames[..., :3]))
        return Draft(content, Stencil(self.sampling.size, np.ascontiguousarray(frames[..., 3])))

    def _cut(self, rng: np.random.Generator, *, backwards: bool) -> tuple[Crop, list[int]]:
        """A part of a clip."""
        clip = self._clips[int(rng.choice(len(self._clips), p=self._weights))]
        indices = pick_frames(len(clip), self.sampling.frames, self.sampling.reach, rng)
        indices, times = _order(indices, backwards)
        return self._crop(clip.read(indices), rng), times

    def _move(self, rng: np.random.Generator, *, backwards: bool) -> tuple[CameraMove, list[int]]:
        """Draw a camera that moves over a photograph."""
        count, reach = self.sampling.frames, self.sampling.reach
        indices, times = _order(pick_frames(reach, count, reach, rng), backwards)
        objects = int(rng.integers(0, 3)) if count > 1 else 0
        chosen = rng.integers(0, len(self._photographs), 1 + objects)
        first, *others = (self._photographs[int(index)] for index in chosen)
        return camera_move(first, others, indices, self.sampling.size, rng), times

    def _crop(self, frames: Frames, rng: np.random.Generator) -> Crop:
        height, width = self.sampling.size
        largest = min(frames.shape[1] / height, frames.shape[2] / width)
        zoom = min(rng.uniform(min(0.9, largest), self.sampling.zoom), largest)
        high, wide = int(height * zoom), int(width * zoom)
        top = int(rng.integers(0, frames.shape[1] - high + 1))
        left = int(rng.integers(0, frames.shape[2] - wide + 1))
        return Crop(np.ascontiguousarray(frames[:, top : top + high, left : left + wide]))


def pick_frames(length: int, count: int, reach: int, rng: np.random.Generator) -> list[int]:
    """Choose `count` different frames of a clip in order: half evenly spaced, half random.

    As in the paper, but neighbours are one to three frames apart, and no frame is farther than
    `reach` from the first.
    """
    reach = min(reach, length)
    start = int(rng.integers(0, length - reach + 1))
    near = (count + 1) // 2
    step = int(rng.integers(1, 4))
    step = max(1, min(step, (reach - 1) // max(near - 1, 1)))
    first = start + int(rng.integers(0, reach - step * (near - 1)))
    chosen = [first + step * index for index in range(near)]
    rest = np.setdiff1d(np.arange(start, start + reach), chosen)
    chosen += [int(index) for index in rng.choice(rest, count - near, replace=False)]
    return sorted(chosen)


def _order(indices: list[int], backwards: bool) -> tuple[list[int], list[int]]:
    """Order frames for display, with increasing times for the holes."""
    if not backwards:
        return indices, indices
    return indices[::-1], [indices[-1] - index for index in reversed(indices)]


def draw_overview(samples: Sequence[Renderable]) -> Picture:
    """Draw a picture: one row per sample, its frames side by side, holes in magenta."""
    colour = torch.tensor([255, 0, 255], dtype=torch.uint8)
    rendered = [sample.render("cpu") for sample in samples]
    rows = [np.hstack(list(frames.where(~masks[..., None], colour))) for frames, masks in rendered]
    return np.asarray(np.vstack(rows), np.uint8)
