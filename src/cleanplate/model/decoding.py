"""The decoder as it is run: around the holes only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from cleanplate.model.block import split
from cleanplate.model.buffers import Buffers
from cleanplate.model.convolution import Direct, prepare
from cleanplate.model.generator import SLOPE, SttnNetwork
from cleanplate.model.spans import Part


class Decoder:
    """Makes a part of the picture from a part of the features."""

    def __init__(self, network: SttnNetwork, buffers: Buffers) -> None:
        layers = network.decoder
        self._quarter = prepare(layers[0].get_submodule("conv"), buffers)
        self._half = prepare(layers[2], buffers)
        self._full = prepare(layers[4].get_submodule("conv"), buffers)
        self._last = Direct(layers[6], buffers)

    def needs(self, part: Part, size: tuple[int, int]) -> Part:
        """Which features of a map of `size` make the `part` of its picture, four times as large."""
        return _Plan(part, size).features

    def __call__(self, features: Tensor, part: Part, size: tuple[int, int]) -> Tensor:
        """The `part` `(n, 3, h, w)` of pictures in [-1, 1]; features `(n, *needs, c)`."""
        plan = _Plan(part, size)
        return torch.cat([self._make(features[some], plan) for some in split(features)])

    def _make(self, features: Tensor, plan: _Plan) -> Tensor:
        maps = _double(features, plan.features, plan.quarter, plan.sizes[0])
        maps = F.leaky_relu_(self._quarter(maps), SLOPE)
        maps = F.leaky_relu_(self._half(maps), SLOPE)
        maps = maps[:, *plan.half.inside(plan.quarter)]
        maps = _double(maps, plan.half, plan.full, plan.sizes[1])
        maps = F.leaky_relu_(self._full(maps), SLOPE)
        maps = torch.tanh_(self._last(maps))[:, *plan.part.inside(plan.full)]
        return rearrange(maps, "n h w c -> n c h w")


class _Plan:
    """The part of each layer's input that is needed, from the picture back to the features.

    Each convolution reads one more at each side; convolving a part that is one wider than needed
    leaves the needed part right.
    """

    def __init__(self, part: Part, size: tuple[int, int]) -> None:
        height, width = size
        self.sizes = [size, (2 * height, 2 * width), (4 * height, 4 * width)]
        self.part = part
        self.full = part.grow(2, self.sizes[2])
        self.half = self.full.halve(self.sizes[1])
        self.quarter = self.half.grow(2, self.sizes[1])
        self.features = self.quarter.halve(self.sizes[0])


def _double(maps: Tensor, known: Part, wanted: Part, size: tuple[int, int]) -> Tensor:
    """The `wanted` part of a map of `size` at twice the resolution, corners on corners.

    `maps` `(n, h, w, c)` is the `known` part of that map; bilinear.
    """
    for axis in (0, 1):
        places = torch.arange(*wanted[axis], device=maps.device, dtype=torch.float64)
        places = places * (size[axis] - 1) / max(1, 2 * size[axis] - 1)
        before = places.floor().long()
        shape = [-1 if k == axis + 1 else 1 for k in range(maps.dim())]
        share = (places - before).to(maps.dtype).view(shape)
        first = before - known[axis].start
        second = (before + 1).clamp_max(size[axis] - 1) - known[axis].start
        maps = torch.lerp(
            maps.index_select(axis + 1, first), maps.index_select(axis + 1, second), share
        )
    return maps
