"""Atomic outputs: build hidden next to the target, lock, move into place."""

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
    """Resolve the path at which an output for `path` will be put, and check it; changes nothing.

    A link at `path` is followed: the link stays and its target is replaced.

    Raises:
        OutputError: the output cannot be put there. The path is a URL or not a valid file name;
            its folder is missing or read-only; a link is broken; something other than `kind`
            exists there, such as a device; it is a mount point, write-protected, or the working
            directory; or it exists, is not an empty folder, and `overwrite` is false.
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
    """Raise OutputError unless the existing `place` may and can be replaced."""
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
        raise OutputError(
            f"output '{path}' exists; use `overwrite=True` to replace it, or give another name"
        )
    if not os.access(place, os.W_OK):
        raise OutputError(f"output '{path}' is write-protected; choose another name")


def _is_empty(path: Path, folder: Path) -> bool:
    """Whether the `folder` at `path` is empty; raises OutputError if it cannot be listed."""
    try:
        return not any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"output '{path}' is a folder that cannot be read: {error.strerror}; choose another"
            " name"
        ) from None


def _check_name(path: Path) -> None:
    """Raise OutputError for an invalid file name: too long, or with a NUL."""
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
    """Whether the working directory is `folder` or inside it; replacing would remove it."""
    with suppress(OSError):
        return Path.cwd().is_relative_to(folder)
    return False


def is_mounted(place: Path) -> bool:
    """Whether `place`, a path without links, is a mount point, which cannot be renamed."""
    if os.path.ismount(place):
        return True
    try:
        # `ismount` compares devices; a bind mount within one file system has its parent's.
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    points = (line.split(" ")[4] for line in table.splitlines())
    return str(place) in (_OCTAL.sub(lambda code: chr(int(code[1], 8)), point) for point in points)


@contextmanager
def build_file(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Yield an empty hidden file next to `path`; move it to `path` when the block ends.

    When the block raises, the hidden file is removed and `path` is unchanged. Links are followed
    as by `find_place`, which also checks in advance whether a file exists.

    Raises:
        OutputError: no file can be put at `path`.
        OccupiedError: `overwrite` is false and a file appeared during the block; the message names
            the path at which the new file was left.
        OSError: writing fails.
    """
    place = find_place(Path(path), "a file", overwrite=True)
    with _build(place, durable=True, overwrite=overwrite) as partial:
        yield partial


def write_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a whole file or none, into a folder of ours: `path` is replaced without checks.

    `durable`: flush to disk, so that the file survives a power cut. Raises OSError.
    """
    with _build(path, durable=durable) as partial:
        partial.write_bytes(data)


@contextmanager
def build_folder(path: Path) -> Iterator[Path]:
    """Yield an empty hidden folder next to `path`; move it to `path` when the block ends.

    `path` must be free or an empty folder. When the block raises, the hidden folder is removed.
    Raises OSError.
    """
    partial = _name_partial(path)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        flush(partial)
        move_new(partial, path)
        flush_folder(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _build(place: Path, *, durable: bool, overwrite: bool = True) -> Iterator[Path]:
    partial = _name_partial(place)
    try:
        # Create a new file: a link planted at that name could lead to any file.
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield partial
        if durable:
            flush(partial)
        if overwrite:
            os.replace(partial, place)
        else:
            _move_or_put_aside(partial, place)
        if durable:
            flush_folder(place.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _name_partial(place: Path) -> Path:
    return place.with_name(f".{shorten(place.name)}.{os.getpid()}.part")


def _move_or_put_aside(partial: Path, place: Path) -> None:
    try:
        move_new(partial, place)
    except FileExistsError:
        aside = move_aside(partial, place)
        raise OccupiedError(
            f"'{place}' appeared during the run and was not replaced; the new file is '{aside}'"
        ) from None


def move_new(source: Path, target: Path) -> None:
    """Move a file or folder to a free name on the same file system; raises OSError.

    Raises FileExistsError (ENOTEMPTY for a folder) when the name is taken; a folder may replace an
    empty folder. Checking and moving are one step, except for files on file systems without hard
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
    """Move `source` to the first free of `NAME-1`, `NAME-2` …; return it, or raise OSError."""
    for number in count(1):
        free = target.with_name(f"{target.stem}-{number}{target.suffix}")
        if os.path.lexists(free):
            continue
        with suppress(FileExistsError):
            move_new(source, free)
            return free
    raise AssertionError("numbers do not end")


def flush(path: Path) -> None:
    """Flush a file, or all files below a folder, to disk; raises OSError."""
    if path.is_dir():
        for entry in path.iterdir():
            flush(entry)
        flush_folder(path)
        return
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, where the system supports it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# Do not follow a link, which could lead to any file.
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


class LockedError(Exception):
    """Another process, or another call in this one, holds the lock."""


def lock_file(handle: int) -> bool:
    """Lock an open file until it is closed or the process ends, even if killed.

    Return False where file locks are unsupported (Windows, some network drives): then nothing is
    locked. Raises LockedError when the file is already locked.
    """
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError from None
    except (ImportError, OSError):
        return False
    return True


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still at `path`: the previous lock holder may have removed it."""
    with suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(handle))
    return False


class Lock:
    """Create a folder and lock it until `release` or the end of the process.

    Raises LockedError when it is already locked, OSError when the folder cannot be created. See
    `lock_file` for systems without locks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "lock"
        while True:
            make_folder(folder)
            try:
                self._handle = os.open(self._path, _LOCK_FLAGS, 0o644)
            except FileNotFoundError:
                continue  # the previous holder removed the folder just now
            try:
                lock_file(self._handle)
            except LockedError:
                os.close(self._handle)
                raise
            if is_at(self._handle, self._path):
                return
            os.close(self._handle)

    def clear(self) -> None:
        """Remove everything in the folder except the lock; ignores what cannot be removed."""
        with suppress(OSError):
            for entry in self._folder.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry != self._path:
                    entry.unlink()

    def release(self) -> None:
        """Unlock, and remove the folder when it is otherwise empty. Never raises."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._handle)
        with suppress(OSError):
            self._folder.rmdir()


def make_folder(folder: Path) -> None:
    """Create a hidden folder, or accept an existing one that this user owns; raises OSError.

    In a shared folder, another user could have planted a link there to our own files, which
    would later be cleared.
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
    """Raise OutputError unless `folder` is absent or holds only what our runs wrote.

    Call it before clearing the folder. Links, another user's folder, mount points and names that
    `is_ours` rejects count as foreign.
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
    """Remove a hidden folder if all in it is ours, see `check_own`. Never raises."""
    with suppress(OutputError):
        check_own(folder, lambda name: bool(is_ours(name)))
        shutil.rmtree(folder, ignore_errors=True)


def _find_foreign(folder: Path, is_ours: Callable[[str], bool]) -> str | None:
    """Describe what in `folder` is foreign and what to do about it; None when nothing is."""
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
