"""A folder that one process at a time may work in."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cleanplate.errors import OutputError
from cleanplate.files import is_mounted

if sys.platform != "win32":
    import fcntl

# Never through a link, which could lead to any file.
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


class LockedError(Exception):
    """Somebody else works there."""


class Lock:
    """Makes `folder` and holds it until `release`, or until the process ends, however it ends.

    Raises LockedError when another process, or another call in this one, holds it; OSError when
    the folder cannot be made. Where the system has no such locks (Windows, some network drives)
    nobody is kept out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "lock"
        while True:
            make_folder(folder)
            try:
                self._handle = os.open(self._path, _LOCK_FLAGS, 0o644)
            except FileNotFoundError:
                continue  # the one before removed the folder just now
            self._take()
            if self._is_there():
                return
            os.close(self._handle)

    def clear(self) -> None:
        """Remove all that is in the folder but the lock itself, as far as that goes."""
        with suppress(OSError):
            for entry in self._folder.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry != self._path:
                    entry.unlink()

    def release(self) -> None:
        """Let others in; removes the folder when nothing else is in it. Never raises."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._handle)
        with suppress(OSError):
            self._folder.rmdir()

    def _take(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise LockedError from None
        except OSError:
            return

    def _is_there(self) -> bool:
        """Whether what is held is what others will find, and not what was just removed."""
        with suppress(OSError):
            return os.path.samestat(os.stat(self._path), os.fstat(self._handle))
        return False


def make_folder(folder: Path) -> None:
    """Make a hidden folder, or take it as it is if this user made it.

    In a folder that many may write to, somebody else could have put a link there that leads to
    files of ours, which would then be cleared away. Raises OSError.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode):
            raise
        if sys.platform != "win32" and state.st_uid != os.geteuid():
            what = f"the hidden folder '{folder.name}' there is another user's; remove it"
            raise PermissionError(errno.EPERM, what) from None


def check_own(folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Raise OutputError unless `folder` is absent, or a folder in which only runs of ours wrote.

    What is in it will be removed. Links are never ours, nor is what another user, another file
    system or a name that is not `is_ours` brought there.
    """
    try:
        foreign = _find_foreign(folder, is_ours)
    except FileNotFoundError:
        return
    except OSError as error:
        foreign = f"cannot be read ({error.strerror}); remove it"
    if foreign is not None:
        raise OutputError(f"the folder '{folder}' {foreign}, or choose another output")


def remove_own(folder: Path, is_ours: Callable[[str], object]) -> None:
    """Remove a hidden folder of ours with all in it, as far as that goes; leave any other.

    See `check_own` for what is ours. Never raises.
    """
    with suppress(OutputError):
        check_own(folder, lambda name: bool(is_ours(name)))
        shutil.rmtree(folder, ignore_errors=True)


def _find_foreign(folder: Path, is_ours: Callable[[str], bool]) -> str | None:
    """What about `folder` is not ours, and what to do; None when all is."""
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode):
        return f"is {'a link' if stat.S_ISLNK(state.st_mode) else 'no folder'}; remove it"
    if sys.platform != "win32" and state.st_uid != os.geteuid():
        return "is another user's; remove it"
    if is_mounted(folder):
        return "is a mount point; unmount it"
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() or not is_ours(entry.name):
                kind = "the link " if entry.is_symlink() else ""
                return f"holds {kind}'{entry.name}', which no run made; move that elsewhere"
    return None
