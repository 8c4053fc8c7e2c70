"""Measure hardware limits, and the product's network against a plain version of STTN's code."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cleanplate.errors import InputError
from cleanplate.network import SttnConfig, SttnNetwork
from cleanplate.removal.networks import schedule_windows
from cleanplate.removal.windows import WindowFiller
from cleanplate.research.evaluation.metric import to_decibels

_SIDE = 2048
_CHANNELS, _HEIGHT, _WIDTH = 256, 60, 108
"""Feature map size of the paper's network at 432x240."""
_COPY = 2**26


def measure_ceilings(device: torch.device, repeats: int = 3) -> dict[str, float]:
    """Measure GFLOP/s of matrix products and 3x3 convolutions by type, and GB/s of a copy.

    A copy's bytes count twice, read and written. Takes some seconds on a CPU.
    """
    found: dict[str, float] = {}
    with torch.inference_mode():
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            one = torch.randn(_SIDE, _SIDE, device=device).to(dtype)
            seconds = _best(lambda one=one: one @ one, device, repeats)  # type: ignore[misc]
            found[f"matrix_{name}_gflops"] = 2 * _SIDE**3 / seconds / 1e9
            maps = torch.randn(4, _CHANNELS, _HEIGHT, _WIDTH, device=device).to(dtype)
            maps = maps.contiguous(memory_format=torch.channels_last)
            weight = torch.randn(_CHANNELS, _CHANNELS, 3, 3, device=device).to(dtype)
            weight = weight.contiguous(memory_format=torch.channels_last)
            seconds = _best(
                lambda m=maps, w=weight: F.conv2d(m, w, padding=1),  # type: ignore[misc]
                device,
                repeats,
            )
            work = 2 * maps.numel() * _CHANNELS * 9
            found[f"convolution_{name}_gflops"] = work / seconds / 1e9
        source = torch.ones(_COPY, device=device)
        target = torch.empty_like(source)
        seconds = _best(lambda: target.copy_(source), device, repeats)
        found["copy_gb_per_second"] = 2 * 4 * _COPY / seconds / 1e9
    return {name: round(value, 1) for name, value in found.items()}


def clock(work: Callable[[], object], device: torch.device) -> float:
    """Time `work` in seconds; on CUDA with events."""
    if device.type != "cuda":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    first.record()
    work()
    last.record()
    torch.cuda.synchronize(device)
    return float(first.elapsed_time(last)) / 1000


def _best(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    work()
    return min(clock(work, device) for _ in range(repeats))


_STEP, _RADIUS, _REFERENCES = 5, 5, 10


def run_plain(
    network: SttnNetwork,
    frames: npt.NDArray[np.uint8],
    masks: npt.NDArray[np.bool_],
    windows: range | None = None,
) -> npt.NDArray[np.uint8]:
    """Fill the holes of a clip as the released code does (STTN, Section 3.1), in float32.

    Args:
        network: its weights are used; `config.masked` is ignored, as the released code ignores
            its mask inside the attention.
        frames: `(t, h, w, 3)` RGB; height and width must divide by 4 times every scale.
        masks: `(t, h, w)`, True = hole.
        windows: numbers of the windows to run, by default all; there is one around every fifth
            frame. Frames outside these windows are returned unchanged.

    Returns:
        `(t, h, w, 3)`. A frame in several windows is the mean of the earlier result and the new
        one, in order.
    """
    state = {name: value.detach().float() for name, value in network.state_dict().items()}
    shown = torch.from_numpy(np.where(masks[..., None], 127.5, frames)).float() / 127.5 - 1
    result: list[npt.NDArray[np.float32] | None] = [None] * len(frames)
    with torch.inference_mode():
        features = _encode(state, shown.permute(0, 3, 1, 2).contiguous())
        centres = range(0, len(frames), _STEP)
        for number in range(len(centres)) if windows is None else windows:
            near = [k for k in range(len(frames)) if abs(k - centres[number]) <= _RADIUS]
            far = [k for k in range(0, len(frames), _REFERENCES) if k not in near]
            mixed = _transform(state, features[near + far], network.config)
            made = torch.tanh(_decode(state, mixed[: len(near)])).permute(0, 2, 3, 1)
            levels = ((made + 1) / 2 * 255).numpy().astype(np.uint8)
            for k, picture in zip(near, levels, strict=True):
                new = np.where(masks[k][..., None], picture, frames[k]).astype(np.float32)
                old = result[k]
                result[k] = new if old is None else old * 0.5 + new * 0.5
    pairs = zip(result, frames, strict=True)
    return np.stack([(old if new is None else new).astype(np.uint8) for new, old in pairs])


def _conv(state: Mapping[str, Tensor], name: str, x: Tensor, **options: int) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)


def _act(state: Mapping[str, Tensor], name: str, x: Tensor, **options: int) -> Tensor:
    return F.leaky_relu_(_conv(state, name, x, **options), 0.2)


def _encode(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    for layer, stride in ((0, 2), (2, 1), (4, 2), (6, 1)):
        x = _act(state, f"encoder.{layer}", x, stride=stride, padding=1)
    return x


def _transform(state: Mapping[str, Tensor], x: Tensor, config: SttnConfig) -> Tensor:
    for block in range(config.blocks):
        name = f"transformer.{block}."
        x = x + _attention(state, name + "attention.", x, config.scales)
        y = _act(state, name + "feed_forward.conv.0", x, padding=2, dilation=2)
        x = x + _act(state, name + "feed_forward.conv.2", y, padding=1)
    return x


def _attention(
    state: Mapping[str, Tensor], name: str, x: Tensor, scales: tuple[int, ...]
) -> Tensor:
    embedded = (_conv(state, f"{name}{part}_embedding", x) for part in ("query", "key", "value"))
    parts = (part.chunk(len(scales), 1) for part in embedded)
    heads = []
    for scale, *head in zip(scales, *parts, strict=True):
        t, c, h, w = head[0].shape
        cut = (t, c, scale, h // scale, scale, w // scale)
        query, key, value = (
            part.reshape(cut).permute(0, 2, 4, 1, 3, 5).reshape(t * scale * scale, -1)
            for part in head
        )
        mixed = (query @ key.T / query.shape[1] ** 0.5).softmax(-1) @ value
        mixed = mixed.view(t, scale, scale, c, h // scale, w // scale)
        heads.append(mixed.permute(0, 3, 1, 4, 2, 5).reshape(t, c, h, w))
    return _act(state, name + "output_linear.0", torch.cat(heads, 1), padding=1)


def _decode(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    x = _act(state, "decoder.0.conv", _double(x), padding=1)
    x = _act(state, "decoder.2", x, padding=1)
    x = _act(state, "decoder.4.conv", _double(x), padding=1)
    return _conv(state, "decoder.6", x, padding=1)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Plain:
    """Result of the plain version with the released windows, in float32 on the CPU.

    Attributes:
        windows: numbers of the windows that were run.
        count: number of windows of the clip.
        seconds: time of all windows; scaled by the number of frames for those not run.
        measured_seconds: time of the windows that were run and of encoding all frames.
        processor_seconds: as `seconds`, over all cores; other programs disturb it less.
        made: the result `(t, h, w, 3)`.
        masks: `(t, h, w)`, True = hole filled by all windows that contain the frame.
    """

    windows: range
    count: int
    seconds: float
    measured_seconds: float
    processor_seconds: float
    made: Frames
    masks: Masks

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "windows": self.count,
            "measured": len(self.windows),
            "plain_seconds": round(self.seconds, 3),
            "plain_measured_seconds": round(self.measured_seconds, 3),
            "plain_processor_seconds": round(self.processor_seconds, 3),
        }


@dataclass(frozen=True)
class Ours:
    """Result of the product on the same windows.

    Attributes:
        network_seconds: time of all windows, scaled like the plain version's.
        network_ratio: time of the plain version divided by it.
        processor_ratio: the same in processor time; None on a GPU.
        decibels: PSNR in the hole against the plain version.
        within_one_level: fraction of values in the hole that differ by at most one level.
    """

    network_seconds: float
    network_ratio: float
    processor_ratio: float | None
    decibels: float
    within_one_level: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def choose_windows(length: int, count: int | None) -> range:
    """Choose the middle `count` windows of a clip, or all for None."""
    windows = sum(1 for _ in schedule_windows(length))
    count = windows if count is None else min(count, windows)
    first = (windows - count) // 2
    return range(first, first + count)


def time_plain(network: SttnNetwork, frames: Frames, masks: Masks, windows: range) -> Plain:
    """Run the plain version; raise InputError if it does not support this size."""
    unit = 4 * math.lcm(*network.config.scales)
    height, width = frames.shape[1:3]
    if height % unit or width % unit:
        raise InputError(
            f"the plain version works at sizes that divide by {unit}, not {width}x{height};"
            " name another `size`"
        )
    cpu = torch.device("cpu")
    began = time.process_time()
    encoding = clock(lambda: run_plain(network, frames, masks, range(0)), cpu)
    encoded = time.process_time()
    made: list[Frames] = []
    seconds = clock(lambda: made.append(run_plain(network, frames, masks, windows)), cpu)
    share, first = _share(len(frames), windows), encoded - began
    total = encoding + max(0.0, seconds - encoding) / share
    processor = first + max(0.0, time.process_time() - encoded - first) / share
    scheduled = list(schedule_windows(len(frames)))
    near = {at for number in windows for at in scheduled[number].neighbours}
    marked = masks & np.isin(np.arange(len(masks)), list(near))[:, None, None]
    return Plain(windows, len(scheduled), total, seconds, processor, made[0], marked)


def time_ours(plain: Plain, filler: WindowFiller, frames: Frames, masks: Masks) -> Ours:
    """Run the same windows with `filler`, which has the same network and the released blend."""
    shown, marked = list(frames), list(masks)
    made: list[npt.NDArray[np.float32]] = []
    filler.fill(shown[:2], marked[:2])  # packs the weights
    began = time.process_time()
    seconds = clock(
        lambda: made.append(filler.fill(shown, marked, windows=plain.windows)), filler.device
    )
    share = _share(len(frames), plain.windows)
    total, processor = seconds / share, (time.process_time() - began) / share
    apart = made[0][plain.masks].astype(np.float64) - plain.made[plain.masks]
    error = max(float(np.square(apart).mean()), 1e-10)
    return Ours(
        round(total, 3),
        round(plain.seconds / total, 2),
        round(plain.processor_seconds / processor, 2) if filler.device.type == "cpu" else None,
        round(to_decibels(error, math.inf), 2),
        round(float((np.abs(apart) <= 1).mean()), 5),
    )


def _share(length: int, windows: range) -> float:
    """Compute the fraction of all work in these windows, by number of frames."""
    sizes = [len(window.frames) for window in schedule_windows(length)]
    return sum(sizes[number] for number in windows) / sum(sizes)
