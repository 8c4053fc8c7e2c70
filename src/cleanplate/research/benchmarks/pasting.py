"""Real clips with a figure pasted in, so that the true mask is known to the pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.tracking.camera import Camera
from cleanplate.research.benchmarks.actors import ACTORS, Actor, Tailor, draw
from cleanplate.research.data.clips import VideoClip
from cleanplate.video import open_reader

Field = npt.NDArray[np.float32]
_OPEN = 2
"""Samples per frame while the shutter is open, for motion blur."""


@dataclass(frozen=True)
class Scene:
    """A clip and the truth; frames uint8 RGB (t, h, w, 3), masks bool (t, h, w) of what shows."""

    kind: str
    clip: str
    event: str
    frames: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    twins: npt.NDArray[np.bool_] | None = None
    """Where a second figure of the same looks shows, which is not to be followed."""


@dataclass(frozen=True)
class _Path:
    """The figure's path over time 0 (first frame) to 1: centre in pixels, size, direction."""

    start: npt.NDArray[np.float64]
    end: npt.NDArray[np.float64]
    sway: float
    heights: tuple[float, float]
    cycles: float
    facing: float

    def pose(self, moment: float) -> npt.NDArray[np.float64]:
        """Units of the figure to pixels, (3, 3)."""
        x, y = self.start + moment * (self.end - self.start)
        y += self.sway * np.sin(2 * np.pi * 2 * self.cycles * moment)
        zoom = (self.heights[0] + moment * (self.heights[1] - self.heights[0])) / 100
        return np.array([[zoom * self.facing, 0, x], [0, zoom, y], [0, 0, 1]])

    def reversed(self) -> _Path:
        """The same path walked the other way."""
        return replace(self, start=self.end, end=self.start, facing=-self.facing)


class MemoryClip:
    """Frames of a video in memory, with the interface of the tracker's clip."""

    def __init__(self, frames: npt.NDArray[np.uint8]) -> None:
        self.frames = frames
        self.shape = (frames.shape[1], frames.shape[2])

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        return np.asarray(self.frames[index])


def read_frames(path: Path, length: int) -> npt.NDArray[np.uint8]:
    """The first `length` frames of a video, uint8 RGB (t, h, w, 3)."""
    frames = []
    with open_reader(path) as reader:
        for picture in reader:
            frames.append(picture.rgb)
            if len(frames) == length:
                break
    return np.stack(frames)


def read_start(path: Path, count: int, side: int) -> npt.NDArray[np.uint8]:
    """The first `count` frames (t, h, w, 3), none of whose sides is longer than `side`."""
    frames = list(islice(VideoClip(path), count))
    height, width = frames[0].shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def make_scene(
    kind: str, path: Path, photos: Sequence[npt.NDArray[np.uint8]], seed: int, length: int
) -> Scene:
    """Paste a figure of `kind` into the clip at `path`; the same seed makes the same scene."""
    random = np.random.default_rng(seed)
    frames = _pan(read_frames(path, length), random)
    tailor = Tailor(photos, random)
    actor = ACTORS[kind](tailor)
    event = str(random.choice(["clear", "occluded", "leaves"], p=[0.4, 0.4, 0.2]))
    way = _choose_path(random, (frames.shape[1], frames.shape[2]), len(frames), event)
    bars = _Bars(MemoryClip(frames), way, tailor, random) if event == "occluded" else None
    light = float(random.uniform(0.75, 1.15))
    return Scene(kind, path.stem, event, *_paste_all(frames, actor, way, bars, light))


def make_crossing(
    kind: str, path: Path, photos: Sequence[npt.NDArray[np.uint8]], seed: int, length: int
) -> Scene:
    """Paste two figures of the same looks that cross; the one behind or in front is followed."""
    random = np.random.default_rng([seed, 3])
    frames = _pan(read_frames(path, length), random)
    actor = ACTORS[kind](Tailor(photos, random))
    way = _choose_path(random, (frames.shape[1], frames.shape[2]), len(frames), "clear")
    span = np.array([0.25 * frames.shape[2] * np.sign(way.end[0] - way.start[0]), 0])
    middle = 0.5 * (way.start + way.end)
    way = replace(way, start=middle - span, end=middle + span)
    light, behind = float(random.uniform(0.75, 1.15)), bool(random.random() < 0.5)
    back, below = _paste_all(frames, actor, way, None, light)
    front, above = _paste_all(back, actor, way.reversed(), None, light)
    shown = below & ~above
    masks, twins = (shown, above) if behind else (above, shown)
    return Scene(kind, path.stem, "crossing", front, masks, twins)


def _pan(frames: npt.NDArray[np.uint8], random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Crop half of the clips by a window that moves sideways, as a panning camera."""
    if random.random() < 0.5:
        return frames
    height, width = frames.shape[1:3]
    high, wide = int(0.9 * height), int(random.uniform(0.6, 0.8) * width)
    left = np.linspace(0, width - wide, len(frames)).round().astype(int)
    if random.random() < 0.5:
        left = left[::-1]
    top = int(random.integers(height - high + 1))
    return np.stack([f[top : top + high, x : x + wide] for f, x in zip(frames, left, strict=True)])


def _choose_path(
    random: np.random.Generator, shape: tuple[int, int], count: int, event: str
) -> _Path:
    height, width = shape
    tall = random.uniform(0.25, 0.55) * height
    facing = float(random.choice([-1, 1]))
    y = random.uniform(0.45, 0.65, 2) * height
    x = np.sort(random.uniform(0.2, 0.8, 2)) * width
    if event == "leaves":
        x = np.array([random.uniform(0.2, 0.5), 1.3]) * width
    if facing < 0:
        x = width - x
    heights = (tall, tall * random.uniform(0.75, 1.3))
    start, end = (np.array([x[k], y[k]]) for k in (0, 1))
    return _Path(
        start, end, random.uniform(0, 0.04) * tall, heights, count / random.uniform(14, 30), facing
    )


class _Bars:
    """Static posts that occlude the figure."""

    def __init__(
        self, clip: MemoryClip, way: _Path, tailor: Tailor, random: np.random.Generator
    ) -> None:
        self._camera, self._shape = Camera(clip), clip.shape
        height, _ = clip.shape
        self._posts = []
        for moment in random.uniform(0.25, 0.85, 2):
            index = int(moment * (len(clip) - 1))
            wide = int(random.uniform(0.06, 0.3) * way.heights[0]) + 3
            cloth = tailor.cloth(2 * height, wide)
            self._posts.append((index, float(way.pose(moment)[0, 2]), cloth))

    def draw(self, index: int) -> Field:
        """Premultiplied RGB and alpha (h, w, 4) of frame `index`."""
        canvas = np.zeros((*self._shape, 4), np.float32)
        for home, x, cloth in self._posts:
            picture = np.dstack([cloth, np.ones(cloth.shape[:2], np.float32)])
            shift = np.array([[1, 0, x], [0, 1, -0.5 * self._shape[0]], [0, 0, 1]])
            way = self._camera.between(home, index) @ shift
            laid = cv2.warpPerspective(picture, way, self._shape[::-1])
            canvas = laid + canvas * (1 - laid[..., 3:])
        return canvas


def _paste_all(
    frames: npt.NDArray[np.uint8], actor: Actor, way: _Path, bars: _Bars | None, light: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """All frames with the figure pasted in, and the masks of its visible part."""
    pasted = [_paste(frames, index, actor, way, bars, light) for index in range(len(frames))]
    return np.stack([frame for frame, _ in pasted]), np.stack([mask for _, mask in pasted])


def _paste(
    frames: npt.NDArray[np.uint8],
    index: int,
    actor: Actor,
    way: _Path,
    bars: _Bars | None,
    light: float,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Frame `index` with the figure pasted in, and the mask of its visible part."""
    count, shape = len(frames), (frames.shape[1], frames.shape[2])
    moments = [(index + 0.5 * k / _OPEN) / count for k in range(_OPEN)]
    figure = np.zeros((*shape, 4), np.float32)
    rows, columns = _surround(way, moments[0], shape)
    part = (rows.stop - rows.start, columns.stop - columns.start)
    if min(part) > 0:
        shift = np.array([[1, 0, -columns.start], [0, 1, -rows.start], [0, 0, 1]])
        drawn = [draw(actor, m * way.cycles, shift @ way.pose(m), part) for m in moments]
        figure[rows, columns] = np.mean(drawn, axis=0)
    alpha = figure[..., 3:]
    picture = light * figure[..., :3] + frames[index] * (1 - alpha)
    if bars is not None:
        post = bars.draw(index)
        picture = post[..., :3] + picture * (1 - post[..., 3:])
        alpha = alpha * (1 - post[..., 3:])
    return np.clip(np.round(picture), 0, 255).astype(np.uint8), alpha[..., 0] > 0.5


def _surround(way: _Path, moment: float, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that hold the figure, clipped to the frame."""
    pose = way.pose(moment)
    reach = 100 * pose[1, 1]
    ends = [(int(pose[k, 2] - reach), int(pose[k, 2] + reach)) for k in (1, 0)]
    rows, columns = (
        slice(min(max(low, 0), length), max(min(high, length), 0))
        for (low, high), length in zip(ends, shape, strict=True)
    )
    return rows, columns
