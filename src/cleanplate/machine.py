"""What this process may use of the machine."""

from __future__ import annotations

import ctypes
import os
import platform

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
