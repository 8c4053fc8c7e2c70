"""An order of a map's pixels in which patches of several sizes lie one after the other.

Where each scale divides the next, a patch holds whole patches of the next scale. Ordered by the
largest patch, then the next within it, down to single pixels, every patch of every scale is one run
of memory, so that attention gets its tokens without copying them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor


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
    """The order of pixels for one group of scales, the coarsest first."""

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
        """Maps `(n, h, w, d)` seen in this order, many axes; nothing is copied."""
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
        """Numbers of the patches of `scale`, counted row by row, in this order; `(scale**2,)`."""
        coarse = Nesting(tuple(one for one in self.scales if one <= scale))
        return coarse.view(torch.arange(scale * scale).view(1, scale, scale, 1)).flatten()
