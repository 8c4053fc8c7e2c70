"""3x3 convolutions of stride 1 on channels-last maps, with fewer products where that is faster.

On a CPU they are computed by minimal filtering (Winograd 1980; Lavin and Gray 2016): tiles are
transformed, multiplied by transformed weights as one matrix product a position, and transformed
back. Tiles of 4x4 need a quarter of the products, of 2x2 the 2.25th part. On other devices their
own libraries choose the algorithm.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cleanplate.model.buffers import Buffers

_POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    # Nearer to one than the usual 1 and 2: half their rounding error in float32.
    4: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
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
    # Half precision has not the digits for the larger tiles: 40 instead of 51 dB in the end.
    return Winograd(layer, buffers, 4 if buffers.dtype == torch.float32 else 2)


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
    """Minimal filtering on tiles of `size` x `size` results."""

    def __init__(self, layer: nn.Module, buffers: Buffers, size: int) -> None:
        weight, bias, self._dilation = _take(layer)
        back, kernel, forth = (x.to(buffers.device) for x in transforms(size))
        spread = torch.einsum("ia,jb,ocab->ijco", kernel, kernel, weight.double())
        self._weight = spread.flatten(0, 1).to(buffers.dtype).contiguous()
        self._bias = bias.to(buffers.device, buffers.dtype)
        self._forth = torch.kron(forth, forth).to(buffers.dtype)
        self._back = torch.kron(back, back).to(buffers.dtype)
        self._size, self._buffers = size, buffers

    def __call__(self, maps: Tensor) -> Tensor:
        """The convolution with its bias, without activation; a new tensor."""
        n, height, width, _ = maps.shape
        rows, columns = (self._count(side) for side in (height, width))
        tiles = self._cut(maps, rows, columns)
        outputs = self._weight.shape[-1]
        products = self._buffers.take("products", (len(tiles), tiles.shape[1], outputs))
        torch.bmm(tiles, self._weight, out=products)
        results = self._buffers.take("tiles", (len(self._back), tiles.shape[1] * outputs))
        torch.mm(self._back, products.flatten(1), out=results)
        return self._join(results, (n, rows, columns))[:, :height, :width]

    def _count(self, side: int) -> int:
        """Tiles along one side; with dilation the map falls into as many maps, each every other."""
        return -(-side // (self._size * self._dilation))

    def _cut(self, maps: Tensor, rows: int, columns: int) -> Tensor:
        """Transformed tiles, `(positions, tiles, channels)`."""
        size, step, wide = self._size, self._dilation, self._size + _TAPS - 1
        height, width, channels = maps.shape[1:]
        below = step * (rows * size + 1) - height
        right = step * (columns * size + 1) - width
        padded = F.pad(maps, (0, 0, step, right, step, below))
        apart = rearrange(padded, "n (h a) (w b) c -> n h a w b c", a=step, b=step)
        cut = rearrange(
            apart.unfold(1, wide, size).unfold(3, wide, size), "n h a w b c i j -> i j n h a w b c"
        )
        spread = self._buffers.take("spread", cut.shape)
        if size == 2:
            _spread_by_sums(cut, spread, self._buffers)
        else:
            gathered = self._buffers.take("tiles", cut.shape).copy_(cut).view(wide * wide, -1)
            torch.mm(self._forth, gathered, out=spread.view(wide * wide, -1))
        return spread.view(wide * wide, -1, channels)

    def _join(self, results: Tensor, counts: tuple[int, int, int]) -> Tensor:
        """Maps from results `(size * size, tiles * channels)`, and the bias."""
        n, rows, columns = counts
        size, step = self._size, self._dilation
        parts = results.view(size, size, n, rows, step, columns, step, -1)
        made = results.new_empty(n, rows, size, step, columns, size, step, parts.shape[-1])
        torch.add(rearrange(parts, "i j n h a w b c -> n h i a w j b c"), self._bias, out=made)
        return rearrange(made, "n h i a w j b c -> n (h i a) (w j b) c")


def _spread_by_sums(tiles: Tensor, out: Tensor, buffers: Buffers) -> None:
    """`transforms(2)` of tiles `(4, 4, …)` by sums alone: faster than as a product."""
    half = buffers.take("tiles", tiles.shape)
    for source, target in ((tiles, half), (half.transpose(0, 1), out.transpose(0, 1))):
        torch.sub(source[2], source[0], out=target[0])
        torch.add(source[1], source[2], out=target[1])
        torch.sub(source[2], source[1], out=target[2])
        torch.sub(source[3], source[1], out=target[3])


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
    """Weight, bias and dilation of a convolution that this module can do."""
    assert isinstance(layer, nn.Conv2d)
    same = layer.padding == layer.dilation and layer.dilation[0] == layer.dilation[1]
    if layer.kernel_size != (3, 3) or layer.stride != (1, 1) or layer.groups != 1 or not same:
        raise ValueError(f"{layer} is not a 3x3 convolution of stride 1 that keeps the size")
    assert layer.bias is not None
    return layer.weight.detach(), layer.bias.detach(), layer.dilation[0]
