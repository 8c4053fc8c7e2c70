"""Atomic outputs: build hidden beside the target, lock, move into place."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Literal

from cleanplate.errors import OccupiedError, OutputError
from cleanplate.storage.paths import check_local, name_kind, shorten

Kind = Literal["a file", "a folder"]

_OCTAL = re.compile(r"\\([0-7]{3})")


def find_place(path: Path, kind: Kind, *, overwrite: bool) -> Path:
    """The path without links at which an output for `path` will be put; nothing is changed.

    A link at `path` itself is followed: it stays, and what it leads to is replaced.

    Raises:
        OutputError: the output cannot be put there. The path is an address or no name for a file;
            its folder is missing or read-only; a link leads nowhere; something else than `kind`
            is there, such as a device; it is a mount point, write-protected, or the folder that
            the process runs in; or it is there, is no empty folder, and `overwrite` is not given.
    """
    check_local(path, OutputError, "output ")
    _check_name(path)
    place = Path(os.path.realpath(path))
    if path.is_symlink() and not os.path.exists(place):
        raise OutputError(
            f"output '{path}' is a link to '{place}', which does not exist; remove the link, or"
            " name that path itself"
        )
    if os.path.isfile(place.parent):
        raise OutputError(f"'{place.parent}' is a file, not a folder; choose another name")
    if not os.path.isdir(place.parent):
        raise OutputError(f"the folder '{place.parent}' does not exist; create it first")
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder '{place.parent}' may not be written to; choose another one")
    if os.path.exists(place):
        _check_existing(path, place, kind, overwrite)
    return place


def _check_existing(path: Path, place: Path, kind: Kind, overwrite: bool) -> None:
    """Raise OutputError when what is at `place` must not, or cannot, be replaced."""
    if (found := name_kind(place.stat())) != kind:
        raise OutputError(f"output '{path}' exists and is {found}; choose another name")
    is_folder = kind == "a folder"
    if is_folder and _is_worked_in(place):
        raise OutputError(
            f"output '{path}' is the folder that this runs in, and would be replaced as a whole;"
            " name a new folder in it"
        )
    if is_mounted(place):
        raise OutputError(
            f"output '{path}' is a mount point, which cannot be replaced as a whole;"
            f" {'name a new folder in it' if is_folder else 'choose another name'}"
        )
    if is_folder and _is_empty(path, place):
        return
    if not overwrite:
        raise OutputError(f"output '{path}' exists; use `overwrite=True` to replace it")
    if not os.access(place, os.W_OK):
        raise OutputError(f"output '{path}' is write-protected; choose another name")


def _is_empty(path: Path, folder: Path) -> bool:
    """Whether the folder at `path` is empty; raises OutputError if it cannot be read."""
    try:
        return not any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"output '{path}' is a folder that cannot be read: {error.strerror}; choose another"
            " name"
        ) from None


def _check_name(path: Path) -> None:
    """Raise OutputError for a name that no file can have: too long, or with a NUL."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"output '{path}' cannot be used: {reason}; choose another name"
        ) from None


def _is_worked_in(folder: Path) -> bool:
    """Whether the working directory is `folder` or in it: replaced, it would vanish."""
    with suppress(OSError):
        return Path.cwd().is_relative_to(folder)
    return False


def is_mounted(place: Path) -> bool:
    """Whether a file system is mounted at `place`, a path without links: it cannot be renamed."""
    if os.path.ismount(place):
        return True
    try:
        # A bind mount within one file system has the device of its parent.
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    points = (line.split(" ")[4] for line in table.splitlines())
    return str(place) in (_OCTAL.sub(lambda code: chr(int(code[1], 8)), point) for point in points)


@contextmanager
def build_file(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Yield an empty hidden file next to `path`; move it to `path` when the block ends.

    When the block raises, nothing is left and `path` is as it was. See `find_place` for links; it
    also tells beforehand whether a file is in the way.

    Raises:
        OutputError: no file can be put at `path`.
        OccupiedError: without `overwrite`, a file is there by now; the new one has another name,
            which the message says.
        OSError: the disk does not take it.
    """
    place = find_place(Path(path), "a file", overwrite=True)
    partial = place.with_name(f".{shorten(place.name)}.{os.getpid()}.part")
    try:
        # Only a new file will do: a link of that name could lead anywhere.
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield partial
        flush(partial)
        if overwrite:
            os.replace(partial, place)
        else:
            _move_or_put_aside(partial, place)
        flush_folder(place.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _move_or_put_aside(partial: Path, place: Path) -> None:
    try:
        move_new(partial, place)
    except FileExistsError:
        aside = move_aside(partial, place)
        raise OccupiedError(
            f"'{place}' appeared meanwhile and was not replaced; the new file is '{aside}'"
        ) from None


def move_new(source: Path, target: Path) -> None:
    """Move a file or folder to a name on the same file system that is free; raises OSError.

    FileExistsError (ENOTEMPTY for a folder) when the name is taken; an empty folder is replaced by
    a folder. Another program cannot take the name in between, except on file systems without hard
    links.
    """
    if source.is_dir():
        # POSIX renames a folder over an empty one, Windows over none.
        with suppress(FileNotFoundError, NotADirectoryError):
            os.rmdir(target)
        os.rename(source, target)
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(target):
            raise FileExistsError(f"'{target}' exists") from None
        os.replace(source, target)
    else:
        os.unlink(source)


def move_aside(source: Path, target: Path) -> Path:
    """Move `source` to the first free name of `NAME-1`, `NAME-2` …; return it, or raise OSError."""
    for number in count(1):
        free = target.with_name(f"{target.stem}-{number}{target.suffix}")
        if os.path.lexists(free):
            continue
        with suppress(FileExistsError):
            move_new(source, free)
            return free
    raise AssertionError("numbers do not end")


def flush(path: Path) -> None:
    """Flush a file, or all files of a folder tree, to disk."""
    if path.is_dir():
        for entry in path.iterdir():
            flush(entry)
        flush_folder(path)
        return
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder's directory entries to disk, where supported."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


if sys.platform != "win32":
    import fcntl

# Never through a link, which could lead to any file.
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


class LockedError(Exception):
    """Another process holds the lock."""


class Lock:
    """Create `folder` and lock it until `release` or the end of the process.

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
        """Release the lock and remove the folder if it is empty; never raises."""
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
