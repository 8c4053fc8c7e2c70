"""The networks behind one protocol: a clip is opened once, then windows of it are filled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from cleanplate.arguments import show
from cleanplate.errors import InputError
from cleanplate.model import SttnNetwork
from cleanplate.model.light import LightNetwork
from cleanplate.model.runner import SttnRunner
from cleanplate.types import Box


class OpenClip(Protocol):
    """A clip and what a network knows of its frames."""

    def fill(self, frames: Sequence[int], count: int, box: Box) -> Tensor:
        """The first `count` of `frames` filled with the help of all, `(count, 3, h, w)`.

        In [-1, 1]; what is outside `box`, which holds all holes of them, does not matter.
        """

    def forget(self, frames: Iterable[int]) -> None:
        """`frames` are not asked for again."""


Opener = Callable[[Tensor, Tensor], OpenClip]
"""From images `(t, 3, h, w)` in [-1, 1], 0 inside holes, and masks `(t, 1, h, w)`, both float32."""


def prepare(network: nn.Module, device: torch.device, dtype: torch.dtype) -> Opener:
    """Get `network` ready on a device, with numbers of `dtype`; the caller's own stays as it is."""
    if isinstance(network, SttnNetwork):
        runner = SttnRunner(network, device, dtype)
        return lambda images, masks: runner.open(images.to(dtype), masks.to(dtype))
    same = all(p.device == device and p.dtype == dtype for p in network.parameters())
    same &= not any(part.training for part in network.modules())
    ours = (network if same else copy.deepcopy(network).to(device=device, dtype=dtype)).eval()
    if isinstance(ours, LightNetwork):
        return lambda images, masks: _LightClip(ours, images, masks)
    return lambda images, masks: _AnyClip(ours, images.to(dtype), masks.to(dtype))


class _LightClip:
    """Looks at each frame once for all windows."""

    def __init__(self, network: LightNetwork, images: Tensor, masks: Tensor) -> None:
        self._network, self._size = network, (images.shape[-2], images.shape[-1])
        # In full precision: pixels are copied as they are, and only convolutions use less.
        self._known = network.encode(images[None], masks[None])

    def fill(self, frames: Sequence[int], count: int, box: Box) -> Tensor:
        mixed = self._network.transform(self._known.pick(list(frames)), count)
        return self._network.decode(mixed, self._size)[0]

    def forget(self, frames: Iterable[int]) -> None:
        pass


class _AnyClip:
    """For a network whose parts nobody knows."""

    def __init__(self, network: nn.Module, images: Tensor, masks: Tensor) -> None:
        self._network, self._images, self._masks = network, images, masks

    def fill(self, frames: Sequence[int], count: int, box: Box) -> Tensor:
        chosen = list(frames)
        made = self._network(self._images[None, chosen], self._masks[None, chosen])
        shape = (1, len(chosen), *self._images.shape[1:])
        if not isinstance(made, Tensor) or tuple(made.shape) != shape:
            raise InputError(
                f"`model` must make a tensor {shape} (b, t, c, h, w), not {show(made)}"
            )
        return made[0, :count]

    def forget(self, frames: Iterable[int]) -> None:
        pass
