"""Memory that is used again: fresh memory costs a page fault for every few kilobytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


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
