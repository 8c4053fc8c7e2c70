"""The paper's network as it is run to fill windows: the same results, less work and fewer copies.

`SttnNetwork` says what is computed, this how. What differs, without effect on the results but for
rounding:

* Maps are channels-last. Queries, keys and values of a block are one product, written so that the
  patches of all scales are rows in memory (`nesting`).
* 3x3 convolutions take fewer products on a CPU (`convolution`).
* What is known of a frame by itself, its features and its projections in the first block, is kept
  for further windows.
* In the last block only frames to fill ask, only patches around the hole, and what follows is
  computed around the hole only (`block`, `decoding`).
* Large intermediate results use the same memory again (`buffers`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence

import torch
from einops import rearrange
from torch import Tensor

from cleanplate.model.block import Block
from cleanplate.model.buffers import Buffers
from cleanplate.model.decoding import Decoder
from cleanplate.model.generator import STRIDE, SttnNetwork, pad
from cleanplate.model.spans import Part, Span
from cleanplate.types import Box

_UNIT = 4
"""Rectangles around holes are rounded to so many cells: few different sizes are computed with."""


class SttnRunner:
    """An `SttnNetwork` ready to fill windows, with its own copy of the weights.

    For inference, in one thread at a time; results are those of the network in eval mode.
    """

    def __init__(self, network: SttnNetwork, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.exclude = network.config, network.exclude
        self.buffers = Buffers(device, dtype)
        self.blocks = [Block(block, self.buffers) for block in network.transformer]  # type: ignore[arg-type]
        self.decoder = Decoder(network, self.buffers)
        encoder = copy.deepcopy(network.encoder).to(device=device, dtype=dtype)
        self._encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def open(self, images: Tensor, masks: Tensor) -> SttnClip:
        """A clip to fill: images `(t, 3, h, w)` in [-1, 1], 0 in holes, masks `(t, 1, h, w)`."""
        return SttnClip(self, images, masks)

    def encode(self, images: Tensor) -> Tensor:
        """Features `(t, ceil(h / 4), ceil(w / 4), c)` of images `(t, 3, h, w)`."""
        padded = pad(images, STRIDE).contiguous(memory_format=torch.channels_last)
        features: Tensor = self._encoder(padded)
        return rearrange(features, "t c h w -> t h w c")


class SttnClip:
    """One clip and what is known of its frames; see `SttnRunner.open`."""

    def __init__(self, runner: SttnRunner, images: Tensor, masks: Tensor) -> None:
        self._runner, self._images, self._masks = runner, images, masks
        self._features: dict[int, Tensor] = {}
        self._projected: dict[int, Tensor] = {}
        height, width = images.shape[-2:]
        self._size = -(-height // STRIDE), -(-width // STRIDE)
        unit = math.lcm(*runner.config.scales)
        rows, columns = self._size
        self._padded = rows + -rows % unit, columns + -columns % unit

    def fill(self, frames: Sequence[int], count: int, box: Box) -> Tensor:
        """The first `count` of `frames` filled with the help of all, `(count, 3, h, w)`.

        In [-1, 1], as the network makes them inside `box`; outside 0.
        """
        runner, (height, width) = self._runner, self._images.shape[-2:]
        part = Part(Span(box.y, box.y + box.height), Span(box.x, box.x + box.width))
        needed = runner.decoder.needs(part, self._size)
        wide = needed.round(_UNIT, self._size)
        maps = self._gather(frames)
        biases = self._exclude(frames)
        projected = self._project(frames, count, maps)
        for at, block in enumerate(runner.blocks):
            if at:
                projected = block.project(maps, block.space(maps))
            if at < len(runner.blocks) - 1:
                block(maps, projected, biases)
        made = runner.blocks[-1].finish(maps[:count], projected, biases, wide)
        pictures = self._images.new_zeros(count, 3, height, width)
        pictures[..., *part.slices] = runner.decoder(
            made[:, *needed.inside(wide)], part, self._size
        )
        return pictures

    def forget(self, frames: Iterable[int]) -> None:
        """Give back the memory of what is known of `frames`; it is found again when needed."""
        for frame in frames:
            self._features.pop(frame, None)
            self._projected.pop(frame, None)

    def _gather(self, frames: Sequence[int]) -> Tensor:
        """Features of `frames`, padded, `(t, h, w, c)`; to be written into."""
        new = [frame for frame in frames if frame not in self._features]
        for frame in new:
            self._features[frame] = self._runner.encode(self._images[frame][None])[0]
        (height, width), (rows, columns) = self._size, self._padded
        shape = len(frames), rows, columns, self._runner.config.channels
        maps = self._runner.buffers.take("maps", shape)
        for at, frame in enumerate(frames):
            maps[at, :height, :width] = self._features[frame]
        maps[:, height:] = maps[:, height - 1 : height]
        maps[:, :, width:] = maps[:, :, width - 1 : width]
        return maps

    def _project(self, frames: Sequence[int], count: int, maps: Tensor) -> Tensor:
        """What the first block projects of `frames`; of those that only give it is kept."""
        block = self._runner.blocks[0]
        projected = block.space(maps)
        for at, frame in enumerate(frames):
            if frame in self._projected:
                projected[:, at] = self._projected[frame]
                continue
            block.project(maps[at : at + 1], projected[:, at : at + 1])
            if at >= count:
                self._projected[frame] = projected[:, at].clone()
        return projected

    def _exclude(self, frames: Sequence[int]) -> list[Tensor] | None:
        if not self._runner.config.masked:
            return None
        return self._runner.exclude(self._masks[None, list(frames)], self._padded)
