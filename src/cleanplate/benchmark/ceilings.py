"""What the machine can do at most: a matrix product, a convolution, a copy of memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

_SIDE = 2048
_CHANNELS, _HEIGHT, _WIDTH = 256, 60, 108
"""The maps of the paper's network at 432x240."""
_COPY = 2**26


def measure_ceilings(device: torch.device, repeats: int = 3) -> dict[str, float]:
    """The best of some tries: GFLOP/s of products and 3x3 convolutions by type, GB/s of a copy.

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
    """Seconds that `work` takes; on CUDA by its own events."""
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
