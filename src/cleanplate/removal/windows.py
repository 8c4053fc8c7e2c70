"""Fill windows of frames with a network, and blend overlapping windows."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import Tensor, nn

from cleanplate.arguments import show
from cleanplate.errors import CleanplateError, InputError
from cleanplate.machine import adapt_to_fork
from cleanplate.network import SttnNetwork
from cleanplate.network.light import LightNetwork
from cleanplate.network.runner import SttnRunner
from cleanplate.options import Blend
from cleanplate.removal.networks import Window, crossfade_weight, schedule_windows
from cleanplate.removal.regions import Region, find_box, find_region
from cleanplate.types import Box, Size


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


Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_FEWEST = 2
"""Frames that the network gets at least: one to fill, one that helps."""

PAPER_SIZE = Size(432, 240)


class WindowFiller:
    """Fills holes with a network, window by window (section 3.1 of the paper).

    The references are every tenth frame of all, or those `spread` frames away from the window's
    centre: their number is then bounded.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        blend: Blend = "crossfade",
        spread: tuple[int, ...] = (),
    ) -> None:
        self._network = network
        self._device = torch.device(device)
        self._dtype = dtype
        self._blend: Blend = blend
        self._spread = spread
        self._most: int | None = None

    def region(self, holes: Sequence[Mask], size: Size) -> Region | None:
        """Part of pictures of `size` that the network looks at, at about the paper's 432x240."""
        if self._blend == "released":
            return Region(Box(0, 0, size.width, size.height), size)
        pixels = PAPER_SIZE.width * PAPER_SIZE.height
        return find_region(holes, size, margin=0.5, least=PAPER_SIZE, pixels=pixels)

    def fill(
        self,
        frames: Sequence[Frame],
        masks: Sequence[Mask],
        wanted: range | None = None,
        windows: range | None = None,
    ) -> npt.NDArray[np.float32]:
        """Frames (t, h, w, 3) in [0, 255] whose holes are the network's; the rest is the source's.

        `frames` are uint8 RGB (h, w, 3), `masks` bool (h, w). What a frame shows inside its hole
        is never looked at. Only the `wanted` frames are given back (all by default), and windows
        in which none of them has a hole are skipped. `windows` are numbers of the windows that are
        run at all, for measuring.
        """
        adapt_to_fork()
        wanted = range(len(frames)) if wanted is None else wanted
        holes = np.stack(masks)
        blender: _Crossfade | _Released = (_Released if self._blend == "released" else _Crossfade)(
            np.stack(frames), holes
        )
        tasks = self._plan(holes, wanted, windows)
        with torch.inference_mode():
            made = self._make(frames, holes, tasks)
            for task, levels in zip(tasks, _arrive(made), strict=True):
                blender.add(task.window, task.targets, levels)
        return blender.finish()[wanted.start : wanted.stop]

    def _plan(self, holes: Mask, wanted: range, numbers: range | None) -> list[_Task]:
        """The windows that fill something."""
        tasks = []
        for number, window in enumerate(schedule_windows(len(holes), spread=self._spread)):
            if numbers is not None and number not in numbers:
                continue
            targets = [at for at in window.neighbours if at in wanted and holes[at].any()]
            if targets:
                others = [at for at in window.frames if at not in targets]
                box = find_box(holes[targets])
                assert box is not None
                tasks.append(_Task(window, targets, others, box))
        return tasks

    def _make(self, frames: Sequence[Frame], holes: Mask, tasks: list[_Task]) -> Iterator[Tensor]:
        """What the network makes for each task, levels `(n, h, w, 3)` on its device."""
        if not tasks:
            return
        last = {at: number for number, task in enumerate(tasks) for at in task.frames}
        clip = self._open(*self._upload(frames, holes))
        for number, task in enumerate(tasks):
            made = self._ask(clip, task)
            yield (rearrange(made, "t c h w -> t h w c").float() + 1) / 2 * 255
            clip.forget(at for at, final in last.items() if final == number)

    def _ask(self, clip: OpenClip, task: _Task) -> Tensor:
        """One window, in parts as small as the device's memory asks for."""
        while True:
            try:
                parts = task.split(self._most)
                return torch.cat(
                    [clip.fill(part + rest, len(part), task.box) for part, rest in parts]
                )
            except torch.cuda.OutOfMemoryError:
                present = min(self._most or len(task.frames), len(task.frames))
                if present <= _FEWEST:
                    raise CleanplateError(
                        f"{self._device} has too little memory for {present} frames at once;"
                        " use `device='cpu'`, or a smaller `max_memory` or video"
                    ) from None
                self._most = max(_FEWEST, present // 2)
                torch.cuda.empty_cache()

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self._device

    @property
    def notes(self) -> tuple[str, ...]:
        """What a report should say about how it went."""
        if self._most is None:
            return ()
        return (f"memory ran out on {self._device}: the network got {self._most} frames at a time",)

    @cached_property
    def _open(self) -> Opener:
        return prepare(self._network, self._device, self._dtype)

    def _upload(self, frames: Sequence[Frame], holes: Mask) -> tuple[Tensor, Tensor]:
        """Images (t, 3, h, w) in [-1, 1] with holes 0, and masks (t, 1, h, w)."""
        pictures, marked = (
            (part.pin_memory() if self._device.type == "cuda" else part).to(
                self._device, non_blocking=True
            )
            for part in (torch.from_numpy(np.stack(frames)), torch.from_numpy(holes))
        )
        images = rearrange(pictures, "t h w c -> t c h w").float() / 255 * 2 - 1
        masks = rearrange(marked, "t h w -> t 1 h w")
        return images * ~masks, masks.float()


@dataclass(frozen=True)
class _Task:
    """What the network does for one window."""

    window: Window
    targets: list[int]
    others: list[int]
    box: Box

    @property
    def frames(self) -> list[int]:
        return self.targets + self.others

    def split(self, most: int | None) -> list[tuple[list[int], list[int]]]:
        """Frames to fill and frames that help, in parts of `most` frames together at most."""
        if most is None or len(self.frames) <= most:
            return [(self.targets, self.others)]
        size = max(1, most // 2)
        parts = [self.targets[at : at + size] for at in range(0, len(self.targets), size)]
        return [(part, self._choose(part, most - len(part))) for part in parts]

    def _choose(self, part: list[int], count: int) -> list[int]:
        """`count` helpers of `part`, spread evenly."""
        rest = sorted(at for at in self.frames if at not in part)
        count = min(count, len(rest))
        return [rest[(2 * k + 1) * len(rest) // (2 * count)] for k in range(count)]


def _arrive(made: Iterable[Tensor]) -> Iterator[npt.NDArray[np.float32]]:
    """Bring results to the host; from a GPU, each while the next one is being computed."""
    sent: deque[_Download] = deque()
    for levels in made:
        sent.append(_Download(levels))
        if len(sent) > 1:
            yield sent.popleft().wait()
    for download in sent:
        yield download.wait()


class _Download:
    """A tensor on its way to the host."""

    def __init__(self, levels: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._host = levels
        if levels.device.type == "cuda":
            self._host = torch.empty(levels.shape, dtype=levels.dtype, pin_memory=True)
            self._host.copy_(levels, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def wait(self) -> npt.NDArray[np.float32]:
        """The numbers, once they are there."""
        if self._event is not None:
            self._event.synchronize()
        return np.asarray(self._host.cpu().numpy(), np.float32)


class _Crossfade:
    """Weighted mean of all windows that made a frame; it does not depend on their order."""

    def __init__(self, frames: Frame, holes: Mask) -> None:
        self._frames, self._holes = frames, holes
        self._sum = np.zeros(frames.shape, np.float32)
        self._weight = np.zeros(len(frames), np.float32)

    def add(self, window: Window, targets: list[int], made: npt.NDArray[np.float32]) -> None:
        for frame, picture in zip(targets, made, strict=True):
            weight = crossfade_weight(frame, window)
            self._sum[frame] += weight * picture
            self._weight[frame] += weight

    def finish(self) -> npt.NDArray[np.float32]:
        weight = np.maximum(self._weight, 1e-6)[:, None, None, None]
        return np.where(self._holes[..., None], self._sum / weight, self._frames).astype(np.float32)


class _Released:
    """As the released code: every window's result truncated, then half old, half new, in order."""

    def __init__(self, frames: Frame, holes: Mask) -> None:
        self._holes = holes
        self._result = frames.astype(np.float32)
        self._made = [False] * len(frames)

    def add(self, window: Window, targets: list[int], made: npt.NDArray[np.float32]) -> None:
        for frame, picture in zip(targets, made, strict=True):
            hole = self._holes[frame]
            new = np.trunc(picture[hole])
            old = self._result[frame][hole]
            self._result[frame][hole] = (old + new) / 2 if self._made[frame] else new
            self._made[frame] = True

    def finish(self) -> npt.NDArray[np.float32]:
        return np.trunc(self._result)
