"""Training samples: a few frames of one clip, cropped and scaled, with holes.

Sample `number` of a data set depends on nothing but the seed and its number: a run that is resumed,
or spread over several processes, sees the same samples in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from cleanplate.datasets.clip import Clip, Frames
from cleanplate.datasets.photographs import Picture, camera_move
from cleanplate.masks import synthetic


class Sample(NamedTuple):
    """`frames` uint8 `(t, h, w, 3)` without holes, `masks` bool `(t, h, w)`."""

    frames: Frames
    masks: synthetic.Masks


@dataclass(frozen=True, slots=True)
class Sampling:
    """How samples are drawn."""

    size: tuple[int, int] = (128, 192)
    """Height and width of a sample, pixels."""
    frames: int = 5
    """Frames of a sample; half are close to each other, the others anywhere in reach."""
    reach: int = 40
    """The longest way between two frames of a sample, frames."""
    zoom: float = 1.7
    """A crop is at most this many times larger than the sample, and then scaled down."""
    photographs: float = 0.25
    """The share of samples made from photographs."""


class Sampler:
    """Draws samples from clips and photographs."""

    def __init__(
        self, clips: Sequence[Clip], photographs: Sequence[Picture], sampling: Sampling, seed: int
    ) -> None:
        self.sampling, self.seed = sampling, seed
        self._clips = [clip for clip in clips if len(clip) >= sampling.frames]
        self._photographs = photographs
        weights = np.sqrt([len(clip) for clip in self._clips])
        self._weights = weights / weights.sum() if len(weights) else weights

    def __call__(self, number: int) -> Sample:
        """Sample `number`."""
        rng = np.random.default_rng((self.seed, number))
        of_photographs = len(self._photographs) > 0 and (
            not self._clips or rng.random() < self.sampling.photographs
        )
        frames, times = self._photograph(rng) if of_photographs else self._clip(rng)
        if rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        if rng.random() < 0.5:
            frames, times = frames[::-1], [times[-1] - time for time in reversed(times)]
        frames = _recolour(frames, rng)
        masks = synthetic.mixed(self.sampling.size, times, rng)
        return Sample(np.ascontiguousarray(frames), masks)

    def _clip(self, rng: np.random.Generator) -> tuple[Frames, list[int]]:
        clip = self._clips[int(rng.choice(len(self._clips), p=self._weights))]
        indices = pick_frames(len(clip), self.sampling.frames, self.sampling.reach, rng)
        return self._crop(clip.read(indices), rng), indices

    def _photograph(self, rng: np.random.Generator) -> tuple[Frames, list[int]]:
        times = pick_frames(self.sampling.reach, self.sampling.frames, self.sampling.reach, rng)
        objects = int(rng.integers(0, 3)) if self.sampling.frames > 1 else 0
        chosen = rng.integers(0, len(self._photographs), 1 + objects)
        first, *others = (self._photographs[int(index)] for index in chosen)
        return camera_move(first, others, times, self.sampling.size, rng), times

    def _crop(self, frames: Frames, rng: np.random.Generator) -> Frames:
        height, width = self.sampling.size
        largest = min(frames.shape[1] / height, frames.shape[2] / width)
        zoom = min(rng.uniform(min(0.9, largest), self.sampling.zoom), largest)
        high, wide = int(height * zoom), int(width * zoom)
        top = int(rng.integers(0, frames.shape[1] - high + 1))
        left = int(rng.integers(0, frames.shape[2] - wide + 1))
        crop = frames[:, top : top + high, left : left + wide]
        return np.stack(
            [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in crop]
        )


def pick_frames(length: int, count: int, reach: int, rng: np.random.Generator) -> list[int]:
    """`count` different frames of a clip in order: half consecutive at some step, half anywhere.

    The paper draws half of the frames as neighbours and half at random; here the neighbours are one
    to three frames apart, and nothing is farther than `reach` from the first.
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


def _recolour(frames: Frames, rng: np.random.Generator) -> Frames:
    """The same small change of brightness, contrast and colour for all frames."""
    gain, shift = rng.uniform(0.92, 1.08, 3) * rng.uniform(0.85, 1.15), rng.uniform(-10, 10)
    table = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)
    return np.stack([table[:, channel][frames[..., channel]] for channel in range(3)], -1)


def draw_overview(samples: Sequence[Sample]) -> Picture:
    """A picture for people: a row a sample, its frames side by side, holes in magenta."""
    colour = np.array([255, 0, 255], np.uint8)
    rows = [
        np.hstack(list(np.where(sample.masks[..., None], colour, sample.frames)))
        for sample in samples
    ]
    return np.asarray(np.vstack(rows), np.uint8)
