"""Fast convolutions and transformer block of STTN: fused, without temporary copies.

They compute what the modules of `cleanplate.network.sttn` define, for inference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cleanplate.network.sttn import SLOPE, TransformerBlock


class Buffers:
    """Named scratch tensors of one device and type; the same name reuses the same memory.

    For one thread. A tensor starts with undefined values and is valid until its name is taken
    again.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return a contiguous tensor of `shape`."""
        count = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.numel() < count:
            self._kept.pop(name, None)  # free the smaller tensor first
            kept = self._kept[name] = torch.empty(count, device=self.device, dtype=self.dtype)
        return kept[:count].view(*shape)


_POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    # Closer to one than the usual points 1 and 2, which halves the rounding error. All coefficients
    # of two dimensions are exact in bfloat16, which gains ten decibels there.
    4: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
    6: (Fraction(0), *(Fraction(x, 2) for x in (1, -1, 2, -2, 4, -4))),
}
_TAPS = 3


class Convolution(Protocol):
    """Maps `(n, h, w, inputs)` to `(n, h, w, outputs)`."""

    def __call__(self, maps: Tensor) -> Tensor:
        """Convolve and add the bias, without activation; return a new tensor."""


def prepare(layer: nn.Module, buffers: Buffers) -> Convolution:
    """Convert a 3x3 `layer` of stride 1 that keeps the size to the type and device of `buffers`."""
    if buffers.device.type != "cpu":
        return Direct(layer, buffers)
    # Half precision has too few digits for larger tiles.
    return Winograd(layer, buffers, (6, 6) if buffers.dtype == torch.float32 else (4, 4))


class Direct:
    """Convolution by the device's library."""

    def __init__(self, layer: nn.Module, buffers: Buffers) -> None:
        weight, bias, self._dilation = _take(layer)
        where = {"device": buffers.device, "dtype": buffers.dtype}
        self._weight = weight.to(**where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._bias = bias.to(**where)  # type: ignore[call-overload]

    def __call__(self, maps: Tensor) -> Tensor:
        """Convolve and add the bias, without activation; return a new tensor."""
        made = F.conv2d(
            rearrange(maps, "n h w c -> n c h w"),
            self._weight,
            self._bias,
            padding=self._dilation,
            dilation=self._dilation,
        )
        return rearrange(made, "n c h w -> n h w c")


class Winograd:
    """Convolution by minimal filtering on tiles of `size` (rows, columns) results.

    Winograd's method (Lavin and Gray 2016): transform tiles and weights, multiply, transform back.
    A tile of 4x4 results needs 36 multiplications per channel pair instead of 144.
    """

    def __init__(self, layer: nn.Module, buffers: Buffers, size: tuple[int, int]) -> None:
        weight, bias, self._dilation = _take(layer)
        (back, kernel, forth), (across, spread, along) = (transforms(side) for side in size)
        # Weights are transformed once, in float64, and rounded once.
        positions = torch.einsum("ia,jb,ocab->ijco", kernel, spread, weight.cpu().double())
        to = buffers.device, buffers.dtype
        self._weight = positions.flatten(0, 1).to(*to).contiguous()
        self._bias = bias.to(*to)
        # The Kronecker product makes one product per tile of the two over rows and columns.
        self._forth = torch.kron(forth, along).to(*to)
        self._back = torch.kron(back, across).to(*to)
        self._size, self._buffers = size, buffers

    def __call__(self, maps: Tensor) -> Tensor:
        """Convolve and add the bias, without activation; return a new tensor."""
        n, height, width, _ = maps.shape
        step = self._dilation
        counts = -(-height // (self._size[0] * step)), -(-width // (self._size[1] * step))
        tiles = self._cut(self._pad(maps, counts))
        count, outputs = len(tiles), self._weight.shape[-1]
        products = self._buffers.take("products", (len(self._weight), count, outputs))
        # One matrix product over channels per position in the tile: this is where the time goes.
        torch.bmm(tiles.transpose(0, 1), self._weight, out=products)
        results = self._buffers.take("tiles", (count, len(self._back), outputs))
        torch.matmul(self._back, products.transpose(0, 1), out=results)
        return self._join(results, (n, *counts))[:, :height, :width]

    def _pad(self, maps: Tensor, counts: tuple[int, int]) -> Tensor:
        """Pad with zeros to `counts` whole tiles down and across.

        With dilation, the map splits into several maps of every second (third, ...) row and column.
        """
        n, height, width, channels = maps.shape
        step = self._dilation
        high, wide = (
            step * (count * size + _TAPS - 1)
            for count, size in zip(counts, self._size, strict=True)
        )
        padded = self._buffers.take("padded", (n, high, wide, channels))
        rows, columns = slice(step, step + height), slice(step, step + width)
        # The buffer is reused, so clear the border, which holds values of an earlier map.
        padded[:, :step] = padded[:, rows.stop :] = 0
        padded[:, rows, :step] = padded[:, rows, columns.stop :] = 0
        padded[:, rows, columns] = maps
        return padded

    def _cut(self, padded: Tensor) -> Tensor:
        """Cut and transform tiles, `(tiles, positions, channels)`; each fits into the cache."""
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
        """Join results `(tiles, positions, channels)` to maps, and add the bias."""
        (n, down, across), step, (rows, columns) = counts, self._dilation, self._size
        parts = results.view(n, down, step, across, step, rows, columns, -1)
        made = results.new_empty(n, down, rows, step, across, columns, step, parts.shape[-1])
        torch.add(rearrange(parts, "n h a w b i j c -> n h i a w j b c"), self._bias, out=made)
        return rearrange(made, "n h i a w j b c -> n (h i a) (w j b) c")


def transforms(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Make the matrices of `back @ ((kernel @ g) * (forth @ d))`, in float64.

    This gives `size` results of a filter g with 3 taps from `size + 2` inputs d (Cook and Toom:
    multiply polynomials by their values at points, one of them at infinity).
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
    """Expand the polynomial with these roots to its coefficients, the constant first."""
    found = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *found]
        found = [a - root * b for a, b in zip(shifted, [*found, Fraction(0)], strict=True)]
    return found


def _take(layer: nn.Module) -> tuple[Tensor, Tensor, int]:
    """Copy the weight, bias and dilation of a convolution; ValueError if it is not supported."""
    assert isinstance(layer, nn.Conv2d)
    same = layer.padding == layer.dilation and layer.dilation[0] == layer.dilation[1]
    if layer.kernel_size != (3, 3) or layer.stride != (1, 1) or layer.groups != 1 or not same:
        raise ValueError(f"{layer} is not a 3x3 convolution of stride 1 that keeps the size")
    assert layer.bias is not None
    return layer.weight.detach().clone(), layer.bias.detach().clone(), layer.dilation[0]


class RowSpan(NamedTuple):
    """Rows or columns from `start` to before `stop`."""

    start: int
    stop: int

    def grow(self, by: int, limit: int) -> RowSpan:
        """Widen by `by` at both ends, within 0 to `limit`."""
        return RowSpan(max(0, self.start - by), min(limit, self.stop + by))

    def round(self, unit: int, limit: int) -> RowSpan:
        """Widen to multiples of `unit`, or to the end at `limit`."""
        return RowSpan(self.start // unit * unit, min(limit, -(-self.stop // unit) * unit))

    def halve(self, limit: int) -> RowSpan:
        """Find the values out of `limit` that upsampling by two reads (corners aligned)."""
        last = max(1, 2 * limit - 1)
        first = self.start * (limit - 1) // last
        return RowSpan(first, min(limit, (self.stop - 1) * (limit - 1) // last + 2))

    def inside(self, other: RowSpan) -> slice:
        """Return this span as a slice of the range of `other`."""
        return slice(self.start - other.start, self.stop - other.start)


class MapPart(NamedTuple):
    """A rectangle of a map."""

    rows: RowSpan
    columns: RowSpan

    def grow(self, by: int, size: tuple[int, int]) -> MapPart:
        """Widen by `by` on each side, within `size`."""
        return MapPart(self.rows.grow(by, size[0]), self.columns.grow(by, size[1]))

    def round(self, unit: int, size: tuple[int, int]) -> MapPart:
        """Widen to multiples of `unit`, or to the edges at `size`."""
        return MapPart(self.rows.round(unit, size[0]), self.columns.round(unit, size[1]))

    def halve(self, size: tuple[int, int]) -> MapPart:
        """Find the part of a map of `size` that upsampling by two reads (corners aligned)."""
        return MapPart(self.rows.halve(size[0]), self.columns.halve(size[1]))

    def inside(self, other: MapPart) -> tuple[slice, slice]:
        """Return this rectangle as slices of the rectangle `other`."""
        return self.rows.inside(other.rows), self.columns.inside(other.columns)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of the whole map."""
        return slice(*self.rows), slice(*self.columns)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def chain(scales: Iterable[int]) -> list[tuple[int, ...]]:
    """Group scales so that in each group every one divides the next; (1, 3, 6, 12) is one group."""
    groups: list[tuple[int, ...]] = []
    for scale in sorted(scales):
        for at, group in enumerate(groups):
            if scale % group[-1] == 0:
                groups[at] = (*group, scale)
                break
        else:
            groups.append((scale,))
    return groups


class Nesting:
    """Order of pixels in memory for one group of scales, the coarsest first.

    The patches of all scales of the group are then contiguous rows, so that none has to be copied.
    """

    def __init__(self, scales: tuple[int, ...]) -> None:
        self.scales = scales
        factors = [scale // coarser for coarser, scale in pairwise((1, *scales))]
        names = range(len(scales))
        rows = " ".join(f"r{k}" for k in names)
        columns = " ".join(f"c{k}" for k in names)
        both = " ".join(f"r{k} c{k}" for k in names)
        self._raster = f"n ({rows} p) ({columns} q) d"
        self._nested = f"n {both} p q d"
        self._cuts = {f"{axis}{k}": factor for k, factor in enumerate(factors) for axis in "rc"}

    def view(self, maps: Tensor) -> Tensor:
        """View maps `(n, h, w, d)` in this order, with many axes and without a copy."""
        return rearrange(maps, f"{self._raster} -> {self._nested}", **self._cuts)

    def order(self, maps: Tensor, out: Tensor) -> Tensor:
        """Copy maps `(n, h, w, d)` in this order to `out` `(n, h * w, d)`."""
        seen = self.view(maps)
        out.view(seen.shape).copy_(seen)
        return out

    def restore(self, ordered: Tensor, out: Tensor) -> None:
        """Copy `ordered` `(n, h * w, d)` back to maps `out` `(n, h, w, d)`."""
        seen = self.view(out)
        seen.copy_(ordered.reshape(seen.shape))

    def patches(self, scale: int) -> Tensor:
        """List the patches of `scale` in this order, as row-by-row numbers; `(scale**2,)`."""
        coarse = Nesting(tuple(one for one in self.scales if one <= scale))
        return coarse.view(torch.arange(scale * scale).view(1, scale, scale, 1)).flatten()


_REACH = 4
"""Cells that a block reads around a cell after attention: one, two and one by its convolutions."""
_NUMBERS = 2**22
"""Values of maps processed at once on a CPU, so that they stay in its cache."""


def split(maps: Tensor) -> Iterator[slice]:
    """Split the frames of `maps` `(n, h, w, c)` into groups to process at once."""
    few = max(1, _NUMBERS // maps[0].numel()) if maps.device.type == "cpu" else len(maps)
    return (slice(start, start + few) for start in range(0, len(maps), few))


class Block:
    """A `TransformerBlock` for maps `(t, h, w, c)` of one clip; h and w divide by every scale."""

    def __init__(self, block: TransformerBlock, buffers: Buffers) -> None:
        attention = block.attention
        self._buffers, self._scales = buffers, attention.scales
        heads = len(attention.scales)
        embeddings = attention.query_embedding, attention.key_embedding, attention.value_embedding
        # Queries, keys and values of all heads are 1x1 convolutions of the same maps: one product.
        weight = torch.cat([layer.weight.detach() for layer in embeddings])[:, :, 0, 0]
        bias = torch.cat([layer.bias.detach() for layer in embeddings])  # type: ignore[union-attr]
        weights, biases = (
            x.to(buffers.device, buffers.dtype).chunk(3 * heads) for x in (weight, bias)
        )
        self._groups = [
            _Group(Nesting(scales), attention.scales, weights, biases)
            for scales in chain(attention.scales)
        ]
        self._out = prepare(attention.output_linear[0], buffers)
        self._first = prepare(block.feed_forward.conv[0], buffers)
        self._second = prepare(block.feed_forward.conv[2], buffers)

    def space(self, maps: Tensor) -> Tensor:
        """Take memory for the projections of `maps`: `(3 * heads, t, h * w, c / heads)`."""
        t, height, width, channels = maps.shape
        heads = len(self._scales)
        return self._buffers.take("projected", (3 * heads, t, height * width, channels // heads))

    def project(self, maps: Tensor, out: Tensor) -> Tensor:
        """Compute queries, keys and values of all heads, patch after patch; see `space`."""
        for part in split(maps):
            for group in self._groups:
                group.project(maps[part], out[:, part], self._buffers)
        return out

    def __call__(self, maps: Tensor, projected: Tensor, biases: list[Tensor] | None) -> None:
        """Replace `maps` with the block's output; `biases` as in `MultiHeadAttention`."""
        attended = self._attend(projected, maps.shape, biases, None)
        # Attention sees all frames; what follows works on each frame on its own.
        for part in split(maps):
            some = maps[part]
            some += _activate(self._out(self._restore(attended[:, part], some)))
            some += _activate(self._second(_activate(self._first(some))))

    def finish(
        self, maps: Tensor, projected: Tensor, biases: list[Tensor] | None, part: MapPart
    ) -> Tensor:
        """Compute the block's output for the first frames and a part of them.

        `maps` are those first frames only; `projected` is that of all. Returns
        `(n, *part.size, c)`.
        """
        size = maps.shape[1], maps.shape[2]
        # Each convolution reads its neighbours: start wider, and crop after each step.
        wide, wider = part.grow(_REACH - 1, size), part.grow(_REACH, size)
        attended = self._attend(projected, maps.shape, biases, wider)
        made = maps.new_empty(len(maps), *part.size, maps.shape[-1])
        for frames in split(maps):
            mixed = self._restore(attended[:, frames], maps[frames])[:, *wider.slices]
            some = maps[frames][:, *wide.slices]
            some = some + _activate(self._out(mixed))[:, *wide.inside(wider)]
            fed = _activate(self._second(_activate(self._first(some))))
            inside = part.inside(wide)
            torch.add(some[:, *inside], fed[:, *inside], out=made[frames])
        return made

    def _attend(
        self,
        projected: Tensor,
        shape: torch.Size,
        biases: list[Tensor] | None,
        part: MapPart | None,
    ) -> Tensor:
        """Attend for maps of `shape`, the first frames; `(heads, n, h * w, c / heads)`.

        With `part`, only the patches that touch it are computed; the others are undefined.
        """
        heads, (count, height, width, _) = len(self._scales), shape
        made = self._buffers.take("attended", (heads, count, *projected.shape[2:]))
        for group in self._groups:
            for head in group.heads:
                scale = self._scales[head]
                order = group.patches[scale]
                chosen = None if part is None else _touch(part, (height, width), scale, order)
                bias = None if biases is None else _reorder(biases[head], order)
                self._mix(projected[head::heads], made[head], (scale, chosen), bias)
        return made

    def _mix(
        self,
        projected: Tensor,
        out: Tensor,
        chosen: tuple[int, Tensor | None],
        bias: Tensor | None,
    ) -> None:
        """Compute Equations 3 to 5 for one head from its queries, keys and values, `projected`."""
        scale, patches = chosen
        count, cut = len(out), scale * scale
        key, value = (part.view(len(part) * cut, -1) for part in projected[1:])
        query = projected[0, :count].view(count, cut, -1)
        if patches is not None:
            query = query.index_select(1, patches)
        tokens = query.flatten(0, 1)
        scores = self._buffers.take("scores", (len(tokens), len(key)))
        # The hole bias (Equation 4) and the scale (Equation 3) are part of the product; with
        # beta 0 the first argument is not read.
        added = scores if bias is None else bias
        factor = tokens.shape[1] ** -0.5
        torch.addmm(added, tokens, key.t(), beta=bias is not None, alpha=factor, out=scores)
        weights = torch.softmax(scores, -1)
        if patches is None:
            torch.mm(weights, value, out=out.view(count * cut, -1))
        else:
            out.view(count, cut, -1)[:, patches] = (weights @ value).view(query.shape)

    def _restore(self, attended: Tensor, like: Tensor) -> Tensor:
        """Restore maps `(n, h, w, c)` from the heads' values `(heads, n, h * w, c / heads)`."""
        maps = self._buffers.take("restored", like.shape)
        parts = maps.chunk(len(self._scales), -1)
        for group in self._groups:
            for head in group.heads:
                group.nesting.restore(attended[head], parts[head])
        return maps


class _Group:
    """Heads whose patches share one order of pixels."""

    def __init__(
        self,
        nesting: Nesting,
        scales: tuple[int, ...],
        weights: tuple[Tensor, ...],
        biases: tuple[Tensor, ...],
    ) -> None:
        self.nesting = nesting
        self.heads = [head for head, scale in enumerate(scales) if scale in nesting.scales]
        device = weights[0].device
        self.patches = {scale: nesting.patches(scale).to(device) for scale in nesting.scales}
        self._places = [part * len(scales) + head for part in range(3) for head in self.heads]
        self._weight = torch.cat([weights[at] for at in self._places]).t().contiguous()
        self._bias = torch.cat([biases[at] for at in self._places])

    def project(self, maps: Tensor, out: Tensor, buffers: Buffers) -> None:
        """Write this group's heads of `Block.project`."""
        n, height, width, channels = maps.shape
        ordered = self.nesting.order(maps, buffers.take("ordered", (n, height * width, channels)))
        flat = buffers.take("flat", (n * height * width, self._weight.shape[1]))
        torch.mm(ordered.flatten(0, 1), self._weight, out=flat)
        flat += self._bias  # separate: adding while copying is several times slower in bfloat16
        parts = rearrange(flat, "(n p) (j d) -> j n p d", n=n, j=len(self._places))
        for part, place in zip(parts, self._places, strict=True):
            out[place] = part


def _activate(maps: Tensor) -> Tensor:
    return F.leaky_relu_(maps, SLOPE)


def _reorder(bias: Tensor, order: Tensor) -> Tensor:
    """Reorder the patches of a bias of `exclude_holes`, `(1, 1, t * patches)`."""
    return bias.view(-1, len(order))[:, order].flatten()


def _touch(part: MapPart, size: tuple[int, int], scale: int, order: Tensor) -> Tensor | None:
    """List the patches, in their order, that share a cell with `part`; None for all."""
    rows, columns = (
        RowSpan(span.start * scale // side, -(-span.stop * scale // side))
        for span, side in zip(part, size, strict=True)
    )
    if rows == columns == RowSpan(0, scale):
        return None
    touched = torch.zeros(scale, scale, dtype=torch.bool, device=order.device)
    touched[slice(*rows), slice(*columns)] = True
    return touched.flatten()[order].nonzero().flatten()
