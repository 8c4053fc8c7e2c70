"""3x3 convolutions of stride 1 on channels-last maps, with reused buffers (Winograd)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class Buffers:
    """Named scratch tensors of one device and type; asking for a name again gives the same memory.

    For one thread. What a tensor held before is undefined, and it is valid until its name is
    asked for again.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int]) -> Tensor:
        """A contiguous tensor of `shape`."""
        count = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.numel() < count:
            self._kept.pop(name, None)  # first give back what was too small
            kept = self._kept[name] = torch.empty(count, device=self.device, dtype=self.dtype)
        return kept[:count].view(*shape)


_POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    # Nearer to one than the usual 1 and 2, which halves the rounding error, and all coefficients
    # of two dimensions are exact in bfloat16, which is worth ten decibels there.
    4: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
    6: (Fraction(0), *(Fraction(x, 2) for x in (1, -1, 2, -2, 4, -4))),
}
_TAPS = 3


class Convolution(Protocol):
    """Maps `(n, h, w, inputs)` to `(n, h, w, outputs)`."""

    def __call__(self, maps: Tensor) -> Tensor:
        """The convolution with its bias, without activation; a new tensor."""


def prepare(layer: nn.Module, buffers: Buffers) -> Convolution:
    """A 3x3 `layer` of stride 1 that keeps the size, in the type and on the device of `buffers`."""
    if buffers.device.type != "cpu":
        return Direct(layer, buffers)
    # Half precision has not the digits for larger tiles.
    return Winograd(layer, buffers, (6, 6) if buffers.dtype == torch.float32 else (4, 4))


class Direct:
    """The device's own convolution."""

    def __init__(self, layer: nn.Module, buffers: Buffers) -> None:
        weight, bias, self._dilation = _take(layer)
        where = {"device": buffers.device, "dtype": buffers.dtype}
        self._weight = weight.to(**where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._bias = bias.to(**where)  # type: ignore[call-overload]

    def __call__(self, maps: Tensor) -> Tensor:
        """The convolution with its bias, without activation; a new tensor."""
        made = F.conv2d(
            rearrange(maps, "n h w c -> n c h w"),
            self._weight,
            self._bias,
            padding=self._dilation,
            dilation=self._dilation,
        )
        return rearrange(made, "n c h w -> n h w c")


class Winograd:
    """Minimal filtering on tiles of `size` results, rows and columns."""

    def __init__(self, layer: nn.Module, buffers: Buffers, size: tuple[int, int]) -> None:
        weight, bias, self._dilation = _take(layer)
        (back, kernel, forth), (across, spread, along) = (transforms(side) for side in size)
        positions = torch.einsum("ia,jb,ocab->ijco", kernel, spread, weight.cpu().double())
        to = buffers.device, buffers.dtype
        self._weight = positions.flatten(0, 1).to(*to).contiguous()
        self._bias = bias.to(*to)
        self._forth = torch.kron(forth, along).to(*to)
        self._back = torch.kron(back, across).to(*to)
        self._size, self._buffers = size, buffers

    def __call__(self, maps: Tensor) -> Tensor:
        """The convolution with its bias, without activation; a new tensor."""
        n, height, width, _ = maps.shape
        step = self._dilation
        counts = -(-height // (self._size[0] * step)), -(-width // (self._size[1] * step))
        tiles = self._cut(self._pad(maps, counts))
        count, outputs = len(tiles), self._weight.shape[-1]
        products = self._buffers.take("products", (len(self._weight), count, outputs))
        torch.bmm(tiles.transpose(0, 1), self._weight, out=products)
        results = self._buffers.take("tiles", (count, len(self._back), outputs))
        torch.matmul(self._back, products.transpose(0, 1), out=results)
        return self._join(results, (n, *counts))[:, :height, :width]

    def _pad(self, maps: Tensor, counts: tuple[int, int]) -> Tensor:
        """Zeros around, so that whole tiles fit: `counts` of them down and across.

        With dilation the map falls into as many maps, each every other row and column.
        """
        n, height, width, channels = maps.shape
        step = self._dilation
        high, wide = (
            step * (count * size + _TAPS - 1)
            for count, size in zip(counts, self._size, strict=True)
        )
        padded = self._buffers.take("padded", (n, high, wide, channels))
        rows, columns = slice(step, step + height), slice(step, step + width)
        padded[:, :step] = padded[:, rows.stop :] = 0
        padded[:, rows, :step] = padded[:, rows, columns.stop :] = 0
        padded[:, rows, columns] = maps
        return padded

    def _cut(self, padded: Tensor) -> Tensor:
        """Transformed tiles, `(tiles, positions, channels)`: one is transformed in the cache."""
        step, (rows, columns) = self._dilation, self._size
        apart = rearrange(padded, "n (h a) (w b) c -> n h a w b c", a=step, b=step)
        cut = rearrange(
            apart.unfold(1, rows + _TAPS - 1, rows).unfold(3, columns + _TAPS - 1, columns),
            "n h a w b c i j -> n h a w b i j c",
        )
        gathered = self._buffers.take("tiles", cut.shape).copy_(cut)
        gathered = gathered.view(-1, len(self._forth), padded.shape[-1])
        spread = self._buffers.take("spread", gathered.shape)
        return torch.matmul(self._forth, gathered, out=spread)

    def _join(self, results: Tensor, counts: tuple[int, int, int]) -> Tensor:
        """Maps from results `(tiles, positions, channels)`, and the bias."""
        (n, down, across), step, (rows, columns) = counts, self._dilation, self._size
        parts = results.view(n, down, step, across, step, rows, columns, -1)
        made = results.new_empty(n, down, rows, step, across, columns, step, parts.shape[-1])
        torch.add(rearrange(parts, "n h a w b i j c -> n h i a w j b c"), self._bias, out=made)
        return rearrange(made, "n h i a w j b c -> n (h i a) (w j b) c")


def transforms(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of results, weights and inputs: `back @ ((kernel @ g) * (forth @ d))`, float64.

    That gives `size` results of a filter g with 3 taps from `size + 2` inputs d (Cook and Toom:
    polynomials are multiplied by their values at points, one of them at infinity).
    """
    points = _POINTS[size]
    count = size + _TAPS - 1
    back = [[float(p**k) for p in points] + [float(k == size - 1)] for k in range(size)]
    kernel, forth = [], []
    for at, point in enumerate(points):
        others = [p for k, p in enumerate(points) if k != at]
        divisor = Fraction(1)
        for other in others:
            divisor *= point - other
        kernel.append([float(point**k / divisor) for k in range(_TAPS)])
        forth.append([*map(float, _expand(others)), 0.0])
    kernel.append([0.0] * (_TAPS - 1) + [1.0])
    forth.append([*map(float, _expand(list(points)))])
    assert len(forth) == count
    return tuple(torch.tensor(x, dtype=torch.float64) for x in (back, kernel, forth))  # type: ignore[return-value]


def _expand(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients of the polynomial with these roots, the constant first."""
    found = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *found]
        found = [a - root * b for a, b in zip(shifted, [*found, Fraction(0)], strict=True)]
    return found


def _take(layer: nn.Module) -> tuple[Tensor, Tensor, int]:
    """Copies of weight and bias, and the dilation, of a convolution that this module can do."""
    assert isinstance(layer, nn.Conv2d)
    same = layer.padding == layer.dilation and layer.dilation[0] == layer.dilation[1]
    if layer.kernel_size != (3, 3) or layer.stride != (1, 1) or layer.groups != 1 or not same:
        raise ValueError(f"{layer} is not a 3x3 convolution of stride 1 that keeps the size")
    assert layer.bias is not None
    return layer.weight.detach().clone(), layer.bias.detach().clone(), layer.dilation[0]
