"""Check paths: open only regular files, refuse hostile JSON, never write what a run reads."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

from cleanplate.arguments import describe_bytes
from cleanplate.errors import CleanplateError, OutputError

AnyPath = str | os.PathLike[str]

MOST_TEXT = 32 << 20
"""Size limit in bytes of a list, journal or other text file; a hundred thousand jobs fit."""

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
    """Name the kind: "a file", "a folder", "a named pipe", "a socket", "a device" …"""
    return _KINDS.get(stat.S_IFMT(state.st_mode), "something else")


def check_file(path: AnyPath, limit: int | None = None) -> None:
    """Raise OSError unless `path` leads to a regular file of at most `limit` bytes.

    For libraries that open files by name; use `open_file` everywhere else.
    """
    with open_file(path) as file:
        _check_size(file, limit)


def open_file(path: AnyPath) -> BufferedReader:
    """Open a regular file for reading, following links; raises OSError.

    Other kinds are refused unopened: opening alone can block or act on a device.
    """
    with _names_checked(path):
        return open(path, "rb", opener=_open_regular)


def open_log(path: AnyPath) -> BufferedRandom:
    """Open a regular file to read it and append to it, or create it; raises OSError."""
    with _names_checked(path):
        return open(path, "a+b", opener=_open_regular)


def read_file(path: AnyPath, limit: int) -> bytes:
    """Read a regular file whole; raises OSError, also above `limit` bytes."""
    with open_file(path) as file:
        size = _check_size(file, limit)
        data = file.read(size + 1)
    if len(data) > size:
        raise OSError(errno.EFBIG, "it grows while it is read; wait until it is complete")
    return data


def digest_file(path: AnyPath) -> str:
    """SHA-256 of a file in hexadecimal digits; raises OSError."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: AnyPath, limit: int = MOST_TEXT) -> str:
    """Read UTF-8 text, see `read_file`; raises UnicodeDecodeError for other bytes."""
    return read_file(path, limit).decode("utf-8-sig")


def split_lines(text: str) -> list[str]:
    r"""Split JSON Lines at "\n" or "\r\n" only.

    `str.splitlines` also splits at U+2028, U+2029 and U+0085, which JSON may contain unescaped.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; raises ValueError, also for duplicate names and too deep nesting."""
    try:
        return json.loads(text, object_pairs_hook=_make_object)
    except RecursionError:
        raise ValueError("its lists and objects are nested too deeply") from None


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from its pairs; `json` alone would keep the last of two values."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"'{name}' is given twice")
        made[name] = value
    return made


@contextmanager
def spell_file(path: AnyPath) -> Iterator[str]:
    """Yield a regular file's name for a library that accepts only UTF-8, valid in the block.

    A file with another name is passed as `/dev/fd/N` of an open handle. Raises OSError.
    """
    with open_file(path) as file:
        name = os.fspath(path)
        is_plain = os.fsencode(name).decode(errors="replace") == name
        yield name if is_plain else f"/dev/fd/{file.fileno()}"


@contextmanager
def _names_checked(path: AnyPath) -> Iterator[None]:
    """Convert ValueError to OSError: a NUL, or letters that no file name can hold."""
    try:
        yield
    except ValueError:
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from None


def _open_regular(path: str, flags: int) -> int:
    """Opener for `open`: check the kind before opening, and of the opened file."""
    with suppress(FileNotFoundError):  # `os.open` raises it, or creates the file
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
    """Return the file's size in bytes; raises OSError above `limit`."""
    size = os.fstat(file.fileno()).st_size
    if limit is not None and size > limit:
        reason = f"it is {describe_bytes(size)} large; at most {describe_bytes(limit)} are read"
        raise OSError(errno.EFBIG, reason, file.name)
    return size


_MOST_LINKS = 40
"""Most links followed on one path, as in Linux."""

_ADDRESS = re.compile(r"(?:^|/)([A-Za-z][A-Za-z0-9+.-]+):/+")
"""Beginning of a URL, also one that was joined to a folder as a relative path.

A single letter is a drive, and `Path` collapses two slashes to one.
"""

_Key = tuple[int, int] | str


@dataclass(frozen=True)
class Clash:
    """Two paths of a run that conflict.

    Attributes:
        written: the output, as given.
        other: the path that is read, or the second output, as given.
        reason: one line for people that names both paths and a remedy.
    """

    written: AnyPath
    other: AnyPath
    reason: str

    def __str__(self) -> str:
        return self.reason


def check_places(written: Iterable[AnyPath], read: Iterable[AnyPath]) -> None:
    """Refuse a run that would replace or remove what it reads, or write one path twice.

    Call it before anything is written, locked or cleared.

    Args:
        written: all outputs (result, masks, preview, journal file, report). Each counts as
            replaced as a whole, together with the hidden folder used to build it.
        read: inputs, masks, corrections, models, job files, parts. Missing paths are skipped:
            they cannot be lost, and their reader reports them.

    Raises:
        OutputError: see `find_clashes`; names both paths.
    """
    for clash in find_clashes(written, read):
        raise OutputError(str(clash))


def find_clashes(written: Iterable[AnyPath], read: Iterable[AnyPath]) -> Iterator[Clash]:
    """Yield every pair of paths that conflict within one run or one batch.

    Paths are compared by the directory entries that lead to them, so links, `..`, hard links,
    bind mounts and case-insensitive file systems are recognised. A clash is:

    - an output that is a read path, a folder around it, or a link on the way to it;
    - a read path inside the hidden folder of an output (the run clears that folder);
    - a `.png` output directly in a read folder, where a later run would read it as a frame. Other
      outputs may lie there, since only images are listed;
    - two outputs that are the same place, or one inside the other.

    Images of a read folder may be links; their targets count as read.
    """
    owners: dict[_Key, AnyPath] = {}
    hidden: dict[_Key, AnyPath] = {}
    albums: dict[_Key, AnyPath] = {}
    for path in written:
        place = _resolve(path)
        key = _identify(place)
        if key in owners:
            yield _collide(owners[key], path)
            continue
        owners[key] = path
        hidden[_identify(str(hide(Path(place))))] = path
        if Path(path).suffix.lower() == ".png":
            albums[_identify(os.path.dirname(place))] = path
    for path in owners.values():
        for key in map(_identify, _trace(_resolve(path))):
            for around in {owners.get(key, path), hidden.get(key, path)} - {path}:
                yield _collide(around, path)
    for path in read:
        yield from _find_lost(path, owners, hidden, albums)


def make_absolute(path: AnyPath) -> str:
    """Make `path` absolute, resolving `..` as the system does.

    `LINK/..` is the parent of the link's target; `os.path.abspath` would drop both.
    """
    text = os.fsdecode(path)
    plain = os.path.abspath(text)
    if _resolve(plain) == _resolve(text):
        return plain
    return os.path.abspath(os.path.join(_resolve(os.path.dirname(text)), os.path.basename(text)))


def hide(path: Path) -> Path:
    """Name the hidden folder that a result is built in: `.NAME.cleanplate` next to it."""
    place = Path(make_absolute(path))
    return place.parent / f".{shorten(place.name)}.cleanplate"


def shorten(name: str) -> str:
    """Return `name`, or its digest where a name derived from it could be too long."""
    raw = os.fsencode(name)
    return name if len(raw) <= 200 else hashlib.sha256(raw).hexdigest()[:32]


def check_local(path: AnyPath, error: type[CleanplateError], what: str = "") -> None:
    """Raise `error` for a URL or `-` in place of a local file; the message begins with `what`.

    A path that exists is a local file, whatever it looks like.
    """
    text = os.fsdecode(path)
    if "\0" in text or os.path.lexists(text):
        return
    if text == "-":
        raise error(f"{what}'-' stands for a stream, but only files are read and written; name one")
    if (match := _ADDRESS.search(text)) is not None:
        slashes = "///" if match[1] == "file" else "//"
        address = f"{match[1]}:{slashes}{text[match.end() :]}"
        raise error(
            f"{what}'{address}' is an address, but only local files are read and written; name one"
        )


def _find_lost(
    path: AnyPath,
    owners: dict[_Key, AnyPath],
    hidden: dict[_Key, AnyPath],
    albums: dict[_Key, AnyPath],
) -> Iterator[Clash]:
    """Yield the clashes of one read path, at most one per output."""
    if not os.path.exists(path):
        return
    found: dict[AnyPath, str] = {}
    for key in map(_identify, _find_entries(path)):
        if key in owners:
            reason = f"output '{owners[key]}' would replace '{path}', which is read; choose another"
            found.setdefault(owners[key], f"{reason} name")
        elif key in hidden:
            reason = f"'{path}' is read, but lies in the hidden folder of output '{hidden[key]}',"
            found.setdefault(hidden[key], f"{reason} which is cleared; move it to another folder")
    album = albums.get(_identify(_resolve(path)))
    if album is not None:
        reason = f"output '{album}' would become one of the images in '{path}', which is read"
        found.setdefault(album, f"{reason}; choose another folder")
    for written, reason in found.items():
        yield Clash(written, path, reason)


def _collide(first: AnyPath, second: AnyPath) -> Clash:
    reason = f"outputs '{first}' and '{second}' would replace each other; give each its own place"
    return Clash(first, second, reason)


def _find_entries(path: AnyPath) -> Iterator[str]:
    """Yield all directory entries that `path` depends on; for a folder also its links' targets."""
    yield from _trace(path)
    try:
        with os.scandir(path) as entries:
            links = [entry.path for entry in entries if entry.is_symlink()]
    except OSError:
        return
    for link in links:
        yield from _trace(link)


def _trace(path: AnyPath) -> Iterator[str]:
    """Yield the entries that the system looks up to resolve `path`: folders, links, the last."""
    drive, rest = os.path.splitdrive(os.path.join(os.getcwd(), os.fsdecode(path)))
    at = drive + os.sep
    names, links = rest.split(os.sep)[::-1], 0
    while names:
        name = names.pop()
        if name == os.pardir:
            at = os.path.dirname(at)
        if name in ("", os.curdir, os.pardir):
            continue
        entry = os.path.join(at, name)
        yield entry
        try:
            target = os.readlink(entry)
        except (OSError, ValueError):
            at = entry
            continue
        links += 1
        if links > _MOST_LINKS:
            return
        at = drive + os.sep if os.path.isabs(target) else at
        names += target.split(os.sep)[::-1]


def _resolve(path: AnyPath) -> str:
    """Resolve links; an invalid name is returned as it is."""
    try:
        return os.path.realpath(os.fsdecode(path))
    except (OSError, ValueError):
        return os.path.abspath(os.fsdecode(path))


def _identify(entry: str) -> _Key:
    """Return the entry's identity: its inode, or its path if it does not exist."""
    try:
        state = os.lstat(entry)
    except (OSError, ValueError):
        folder, name = os.path.split(entry)
        return os.path.join(folder, name.casefold() if _ignores_case(folder) else name)
    return state.st_dev, state.st_ino


def _ignores_case(folder: str) -> bool:
    """Whether `folder` is on a case-insensitive file system."""
    other = os.path.join(os.path.dirname(folder), os.path.basename(folder).swapcase())
    try:
        return other != folder and os.path.samefile(folder, other)
    except (OSError, ValueError):
        return False
