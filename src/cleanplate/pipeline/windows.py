"""The paper's pipeline: a network fills the frames of a window at once, and windows are blended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import Tensor, nn

from cleanplate.model import SttnNetwork
from cleanplate.model.light import LightNetwork
from cleanplate.model.matching import Features
from cleanplate.pipeline.regions import Region, find_region
from cleanplate.pipeline.schedule import Blend, Window, crossfade_weight, schedule_windows
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_Run = Callable[[list[int], int], Tensor]
"""From the numbers of frames, and how many of them to fill, to the first ones filled."""

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
        self._network = network.to(device=device, dtype=dtype).eval()
        self._device = torch.device(device)
        self._dtype = dtype
        self._blend: Blend = blend
        self._spread = spread

    def region(self, holes: Sequence[Mask], size: Size) -> Region | None:
        """Part of pictures of `size` that the network looks at, at about the paper's 432x240."""
        if self._blend == "released":
            return Region(Box(0, 0, size.width, size.height), size)
        pixels = PAPER_SIZE.width * PAPER_SIZE.height
        return find_region(holes, size, margin=0.5, least=PAPER_SIZE, pixels=pixels)

    def fill(
        self, frames: Sequence[Frame], masks: Sequence[Mask], wanted: range | None = None
    ) -> npt.NDArray[np.float32]:
        """Frames (t, h, w, 3) in [0, 255] whose holes are the network's; the rest is the source's.

        `frames` are uint8 RGB (h, w, 3), `masks` bool (h, w). What a frame shows inside its hole
        is never looked at. Only the `wanted` frames are given back (all by default), and windows
        in which none of them has a hole are skipped.
        """
        wanted = range(len(frames)) if wanted is None else wanted
        holes = np.stack(masks)
        blender: _Crossfade | _Released = (_Released if self._blend == "released" else _Crossfade)(
            np.stack(frames), holes
        )
        with torch.inference_mode():
            run = self._prepare(*self._upload(frames, holes))
            for window in schedule_windows(len(frames), spread=self._spread):
                targets = [at for at in window.neighbours if at in wanted and holes[at].any()]
                if targets:
                    others = [at for at in window.frames if at not in targets]
                    made = run(targets + others, len(targets))
                    blender.add(window, targets, _to_levels(made[0]))
        return blender.finish()[wanted.start : wanted.stop]

    def _prepare(self, images: Tensor, masks: Tensor) -> _Run:
        """A function that runs the network on some of the frames and gives the first of them.

        What the network knows of a frame by itself is computed once for all windows.
        """
        network, (height, width) = self._network, masks.shape[-2:]
        if isinstance(network, LightNetwork):
            known: Features = network.encode(images, masks)
            return lambda chosen, count: network.decode(
                network.transform(known.pick(chosen), count), (height, width)
            )
        if isinstance(network, SttnNetwork):
            features = network.encode(images)
            return lambda chosen, count: network.decode(
                network.transform(features[:, chosen], masks[:, chosen])[:, :count]
            )[..., :height, :width]
        return lambda chosen, count: network(images[:, chosen], masks[:, chosen])[:, :count]

    def _upload(self, frames: Sequence[Frame], holes: Mask) -> tuple[Tensor, Tensor]:
        """Images (1, t, 3, h, w) in [-1, 1] with holes 0, and masks (1, t, 1, h, w)."""
        pictures = torch.from_numpy(np.stack(frames)).to(self._device)
        images = rearrange(pictures, "t h w c -> 1 t c h w").to(self._dtype) / 255 * 2 - 1
        masks = rearrange(torch.from_numpy(holes).to(self._device), "t h w -> 1 t 1 h w")
        return images * ~masks, masks.to(self._dtype)


def _to_levels(made: Tensor) -> npt.NDArray[np.float32]:
    """From [-1, 1] `(t, 3, h, w)` to [0, 255] `(t, h, w, 3)`."""
    levels = (rearrange(made, "t c h w -> t h w c").float() + 1) / 2 * 255
    return np.asarray(levels.cpu().numpy(), np.float32)


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
