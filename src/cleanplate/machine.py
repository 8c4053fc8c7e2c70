"""What this process may use of the machine."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from typing import TYPE_CHECKING, Any, Literal, get_args

from cleanplate.arguments import show, wrong
from cleanplate.errors import InputError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda", "mps"]

_DEVICE = re.compile(r"auto|(?P<kind>cpu|cuda|mps)(:\d{1,3})?")
_M_ARENA_MAX = -8
"""glibc's number for it, see mallopt(3)."""
_HEAPS = 2


def count_processors() -> int:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_heaps() -> None:
    """Let all threads of this process allocate from two heaps, with glibc; elsewhere do nothing.

    It gives each thread a heap of its own, which stays as large as it once was: over a long run
    every thread has had its largest moment, and memory grows until then. To be called before
    threads are started.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)


def check_device(device: Any) -> str:
    """Name of a device, such as "cuda:1", from text or a torch.device; "auto" stays.

    Says nothing about whether it is there, and does not load torch. Raises InputError.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(device, torch.device):
        device = str(device)
    if not isinstance(device, str):
        raise wrong("device", "a torch.device or one of auto, cpu, cuda, mps", device)
    found = _DEVICE.fullmatch(device)
    if found is None:
        raise InputError(f"`device` {show(device)} is unknown; use {', '.join(get_args(Device))}")
    return "cpu" if found["kind"] == "cpu" else device


def choose_device(device: Device | str | torch.device) -> str:
    """The device's name for torch; "auto" takes CUDA, else Apple's MPS, else the CPU."""
    name = check_device(device)
    if name == "cpu":
        return name
    import torch

    mps = int(torch.backends.mps.is_available())
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {"cuda": cuda, "mps": mps}
    if name == "auto":
        return next((kind for kind, count in there.items() if count), "cpu")
    kind, _, number = name.partition(":")
    if int(number or 0) >= there[kind]:
        raise InputError(f"device '{name}' is not available here; use `device='cpu'`")
    return name
