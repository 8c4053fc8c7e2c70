"""Batches for the loop: threads draw samples ahead, and the device renders them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import torch
from einops import rearrange
from torch import Tensor

from cleanplate.datasets.sampling import Renderable
from cleanplate.training.distributed import rank, world
from cleanplate.training.objective import Batch

Draw = Callable[[int], Renderable]
"""Gives sample `number`; the same number gives the same sample."""
_AHEAD, _THREADS = 3, 4
_Orders = list[list[Future[Renderable]]]


class Feed:
    """Endless batches from step `step` on; each process gets its share.

    Args:
        sources: what to draw from and how many samples a step takes of it, over all processes.
        step: the first step; sample numbers follow from it.
        device: where samples are rendered.
    """

    def __init__(
        self, sources: Sequence[tuple[Draw, int]], step: int, device: torch.device
    ) -> None:
        self.waited = 0.0
        """Seconds in which the device had nothing to do but wait for samples."""
        self._sources, self._step, self._device = sources, step, device
        self._pool = ThreadPoolExecutor(_THREADS, "samples")
        self._waiting: deque[_Orders] = deque()

    def __enter__(self) -> Self:
        for _ in range(_AHEAD):
            self._order()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def next(self) -> list[Batch]:
        """A batch from each source; raises what happened while a sample was drawn."""
        began = time.monotonic()
        batches = [
            to_network(*stack([future.result() for future in futures], self._device))
            for futures in self._waiting.popleft()
        ]
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # to know how long rendering takes
        self.waited += time.monotonic() - began
        self._order()
        return batches

    def _order(self) -> None:
        """Let the threads draw one more step's samples."""
        self._waiting.append(
            [
                [
                    self._pool.submit(draw, self._step * batch + index)
                    for index in range(rank(), batch, world())
                ]
                for draw, batch in self._sources
            ]
        )
        self._step += 1


def stack(samples: Sequence[Renderable], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Samples of one size as uint8 `(b, t, h, w, 3)` and bool `(b, t, h, w)` tensors."""
    frames, masks = zip(*(sample.render(device) for sample in samples), strict=True)
    return torch.stack(frames), torch.stack(masks)


def to_network(frames: Tensor, masks: Tensor) -> Batch:
    """Frames `(b, t, 3, h, w)` in [-1, 1] and masks `(b, t, 1, h, w)`, 1 = hole, of `stack`'s."""
    return (
        rearrange(frames, "b t h w c -> b t c h w").float() / 127.5 - 1,
        rearrange(masks, "b t h w -> b t 1 h w").float(),
    )
