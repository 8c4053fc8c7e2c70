"""Devices, processors and memory of the machine that this process may use."""

from __future__ import annotations

import ctypes
import logging
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
"""glibc's number of the option M_ARENA_MAX, see mallopt(3)."""
_HEAPS = 2

_log = logging.getLogger(__name__)


def _is_fork_worker() -> bool:
    """Whether multiprocessing forked this process; False without multiprocessing."""
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and type(processes.current_process()).__name__ == "ForkProcess"


# Torch's thread pool does not survive a fork, so remember whether the parent had loaded torch.
# If this module is imported after the fork, only multiprocessing's workers can be recognised.
_inherits_torch = "torch" in sys.modules and _is_fork_worker()


def _note_fork() -> None:
    global _inherits_torch
    _inherits_torch = "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def adapt_to_fork() -> None:
    """Keep torch to one thread in a process that was forked after torch was loaded.

    A forked child has none of the parent's threads, and OpenMP would wait for them forever. Call it
    before torch computes, in the thread that computes. In other processes it does nothing.
    """
    if not _inherits_torch:
        return
    import torch

    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        _log.warning(
            "this process was forked after torch was loaded, so networks run in one thread;"
            ' start processes with multiprocessing\'s "spawn" method to use more'
        )


def count_processors() -> int:
    """Count the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_heaps() -> None:
    """Limit this process to two glibc arenas for all threads; do nothing without glibc.

    By default glibc keeps a per-thread arena at its high-water mark, so memory grows over a long
    run until every thread has had its peak. Call it before threads are started.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)


def check_device(device: Any) -> str:
    """Check a device, text or a torch.device; return its name such as "cuda:1"; "auto" stays.

    Does not check that it is available, and does not load torch. Raises InputError.
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
    """Choose torch's name of the device; "auto" prefers CUDA, then Apple's MPS, then the CPU."""
    name = check_device(device)
    if name == "cpu":
        return name
    import torch

    if name != "mps" and torch.cuda._is_in_bad_fork():
        raise InputError(
            "CUDA cannot be used in a process that was forked after its parent used CUDA; start"
            " processes with multiprocessing's \"spawn\" method, or use `device='cpu'`"
        )
    mps = int(torch.backends.mps.is_available())
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {"cuda": cuda, "mps": mps}
    if name == "auto":
        return next((kind for kind, count in there.items() if count), "cpu")
    kind, _, number = name.partition(":")
    if int(number or 0) >= there[kind]:
        raise InputError(f"device '{name}' is not available here; use `device='cpu'`")
    return name
