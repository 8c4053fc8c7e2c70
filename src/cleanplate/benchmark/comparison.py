"""The paper's network in our windows against the plain rendition, in one run."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cleanplate.benchmark.ceilings import clock
from cleanplate.benchmark.plain import run_plain
from cleanplate.errors import InputError
from cleanplate.model import SttnNetwork
from cleanplate.pipeline.schedule import schedule_windows
from cleanplate.pipeline.windows import WindowFiller

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Plain:
    """The plain rendition of a clip with the released windows, in float32 on the CPU.

    Attributes:
        windows: numbers of the windows that were run.
        count: how many the clip has.
        seconds: of all of them; those not run are scaled by the number of frames in a window.
        measured_seconds: of those that were run and of encoding all frames.
        processor_seconds: as `seconds`, of all cores together; other programs disturb it less.
        made: the result `(t, h, w, 3)`.
        masks: `(t, h, w)`, True = hole and made by all windows it belongs to.
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
    """The same windows as the product runs them.

    Attributes:
        network_seconds: of all windows, scaled as the plain ones.
        network_ratio: how many times as long the plain rendition takes.
        processor_ratio: the same in processor time; None on a GPU.
        decibels: PSNR in the hole against the plain rendition.
        within_one_level: share of values in the hole that differ by one level at most.
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
    """The middle `count` windows of a clip, or all for None."""
    windows = sum(1 for _ in schedule_windows(length))
    count = windows if count is None else min(count, windows)
    first = (windows - count) // 2
    return range(first, first + count)


def time_plain(network: SttnNetwork, frames: Frames, masks: Masks, windows: range) -> Plain:
    """Run the plain rendition; raises InputError where it cannot work at this size."""
    unit = 4 * math.lcm(*network.config.scales)
    height, width = frames.shape[1:3]
    if height % unit or width % unit:
        raise InputError(
            f"the plain rendition works at sizes that divide by {unit}, not {width}x{height};"
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
    """Run the same windows by `filler`, which has the same network and the released blend."""
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
        round(float(10 * np.log10(255**2 / error)), 2),
        round(float((np.abs(apart) <= 1).mean()), 5),
    )


def _share(length: int, windows: range) -> float:
    """The part of all work that is in these windows, by their frames."""
    sizes = [len(window.frames) for window in schedule_windows(length)]
    return sum(sizes[number] for number in windows) / sum(sizes)
