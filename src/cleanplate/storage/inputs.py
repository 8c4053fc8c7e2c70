"""Files that people name, opened for reading: regular files of bounded size only.

A named pipe blocks until somebody writes to it, a device such as /dev/zero never ends, and a sparse
file of terabytes takes all memory. Everything here raises OSError whose `strerror` is a reason for
people, so that callers name the file and the remedy as they do for any other OSError.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom, BufferedReader
from typing import Any

AnyPath = str | os.PathLike[str]

MOST_TEXT = 32 << 20
"""Bytes of a list, journal or other text file; a hundred thousand jobs fit."""

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def name_kind(state: os.stat_result) -> str:
    """ "a file", "a folder", "a named pipe", "a socket", "a device" or "something else"."""
    return _KINDS.get(stat.S_IFMT(state.st_mode), "something else")


def check_file(path: AnyPath, limit: int | None = None) -> None:
    """Raise OSError unless `path` leads to a regular file of at most `limit` bytes.

    For libraries that open a file by its name; everything else uses `open_file`.
    """
    with open_file(path) as file:
        _check_size(file, limit)


def open_file(path: AnyPath) -> BufferedReader:
    """Open a regular file for reading, after following links; raises OSError.

    Nothing else is opened, since opening alone can block or act on a device.
    """
    with _names_checked(path):
        return open(path, "rb", opener=_open_regular)


def open_log(path: AnyPath) -> BufferedRandom:
    """Open a regular file to read it and append to it, or create it; raises OSError."""
    with _names_checked(path):
        return open(path, "a+b", opener=_open_regular)


def read_file(path: AnyPath, limit: int) -> bytes:
    """All bytes of a regular file; raises OSError, also when there are more than `limit`."""
    with open_file(path) as file:
        size = _check_size(file, limit)
        data = file.read(size + 1)
    if len(data) > size:
        raise OSError(errno.EFBIG, "it grows while it is read; wait until it is complete")
    return data


def read_text(path: AnyPath, limit: int = MOST_TEXT) -> str:
    """A file of UTF-8 text, see `read_file`; raises UnicodeDecodeError for anything else."""
    return read_file(path, limit).decode("utf-8-sig")


def split_lines(text: str) -> list[str]:
    r"""The lines of JSON Lines: only "\n" ends one, with a "\r" before it or not.

    `str.splitlines` also splits at U+2028, U+2029 and U+0085, which JSON texts may hold as they
    are.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def parse_json(text: str | bytes) -> Any:
    """Values from JSON; raises ValueError, also for names given twice and for too deep nesting."""
    try:
        return json.loads(text, object_pairs_hook=_make_object)
    except RecursionError:
        raise ValueError("its lists and objects are nested too deeply") from None


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these names and values; JSON alone would keep the last of two values."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"'{name}' is given twice")
        made[name] = value
    return made


@contextmanager
def spell_file(path: AnyPath) -> Iterator[str]:
    """Give a regular file's name to a library that takes UTF-8 only, within the block.

    A file whose name is something else goes by the number of its open handle. Raises OSError.
    """
    with open_file(path) as file:
        name = os.fspath(path)
        is_plain = os.fsencode(name).decode(errors="replace") == name
        yield name if is_plain else f"/dev/fd/{file.fileno()}"


@contextmanager
def _names_checked(path: AnyPath) -> Iterator[None]:
    """Raise OSError for texts with a NUL, or with what no name on this system can hold."""
    try:
        yield
    except ValueError:
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from None


def _open_regular(path: str, flags: int) -> int:
    """An opener for `open`: look before opening, and again at what was opened."""
    with suppress(FileNotFoundError):  # opening says so, or creates it
        _check_kind(os.stat(path), path)
    handle = os.open(path, flags | _WITHOUT_WAITING, 0o666)
    try:
        _check_kind(os.fstat(handle), path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_kind(state: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(state.st_mode):
        kind = name_kind(state)
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", path)


def _check_size(file: BufferedReader, limit: int | None) -> int:
    """The file's size in bytes."""
    size = os.fstat(file.fileno()).st_size
    if limit is not None and size > limit:
        reason = f"it is {_name_bytes(size)} large; at most {_name_bytes(limit)} are read"
        raise OSError(errno.EFBIG, reason, file.name)
    return size


def _name_bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
