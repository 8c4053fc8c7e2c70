"""What a case did besides its answer: memory it took, files it made, programs it started."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import Any

import cleanplate

RESERVE = 3 << 30
"""Bytes of address space that a child may take beyond what it has at its start."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_MAKING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")
_RUNNING = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
_PROGRAMS = {"cleanplate.page.worker", "uname"}
"""What may be started: the page's own process, and what Python's `platform` asks."""
_BYPASSES = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
_HARMLESS = ("/dev/null", "/proc/self/clear_refs")
_UNPICKLED = ("cleanplate.", "numba.", "copyreg", "builtins", "numpy")
"""Packages whose objects are unpickled: a batch's own processes send results, and Numba reads
compiled code from its cache."""
_CACHE = f"{Path(cleanplate.__file__).parent}/"
"""Numba writes compiled code into the folders `__pycache__` of the package, as Python does."""


class Ledger:
    """Notes by audit hook what reaches outside `root`: Python's own calls, in every thread."""

    def __init__(self, root: Path) -> None:
        self._root = f"{os.path.realpath(root)}/"
        self.escapes: list[str] = []
        sys.addaudithook(self._listen)

    def _listen(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._note(event, path)
        elif event == "os.mkdir" and os.path.isdir(arguments[0]):
            return  # nothing is made
        elif event in _MAKING:
            paths = [one for one in arguments if isinstance(one, str | bytes | os.PathLike)]
            for path in paths[-1:]:
                self._note(event, path)
        elif (
            event in _RUNNING
            or (event == "subprocess.Popen" and not set(arguments[1]) & _PROGRAMS)
            or (event == "pickle.find_class" and not arguments[0].startswith(_UNPICKLED))
        ):
            self.escapes.append(f"{event}{arguments!r:.200}")
        elif event == "socket.connect" and arguments[1][:1] != ("127.0.0.1",):
            self.escapes.append(f"{event} {arguments[1]!r:.200}")

    def _note(self, event: str, path: Any) -> None:
        if isinstance(path, int):
            return
        name = os.path.abspath(os.fsdecode(path))
        if name in _HARMLESS:
            return
        # All but `open` is about the entry itself, even if it is a link.
        real = os.path.realpath(name if event == "open" else os.path.dirname(name))
        if real.startswith(_CACHE) and "/__pycache__" in real:
            return
        if not f"{real}/".startswith(self._root):
            self.escapes.append(f"{event} {name}")


def limit_memory() -> None:
    """Let this process fail by MemoryError before it takes the machine down with it."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + RESERVE, taken + RESERVE))


def give_up_rights() -> None:
    """Be stopped by permissions like everybody else, also when this process is root's."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    system = ctypes.CDLL(None, use_errno=True)
    if system.capget(header, sets) == 0:
        sets[0] &= ~_BYPASSES  # effective
        sets[1] &= ~_BYPASSES  # permitted
        system.capset(header, sets)


def forget_peak() -> int:
    """Start measuring the largest memory anew; returns the bytes in use now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _status("VmRSS:")


def peak() -> int:
    """Largest number of bytes in use since `forget_peak`."""
    return _status("VmHWM:")


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything in `folder`, by its path within."""
    found = {}
    for path in folder.rglob("*"):
        state = path.lstat()
        found[str(path.relative_to(folder))] = (
            (0, 0) if path.is_dir() else (state.st_size, state.st_mtime_ns)
        )
    return found
