"""Where a result goes: checked before the work, built hidden beside it, moved at the end."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from cleanplate.errors import EncodeError, OutputError
from cleanplate.video.containers import MUXERS
from cleanplate.video.images import PICTURES, SUFFIXES
from cleanplate.video.lock import Lock, LockedError


class Destination:
    """An output path that gets everything or nothing.

    Making one only checks: OutputError when the path cannot be used (missing folder, existing file
    without `overwrite`, the source itself). `claim()` makes a hidden folder beside the path, which
    nobody else can claim; work there on `partial`, then `commit()` it or `discard()` it. What
    else is put into `folder` outlives `discard`, and a crash, but not `commit`.

    Attributes:
        path: the output path.
        is_folder: whether a folder of images is written.
        folder: the hidden folder, `.NAME.cleanplate`.
        partial: the unfinished result in it.
    """

    def __init__(self, path: Path, source: Path, *, overwrite: bool) -> None:
        self.path = path
        self.is_folder = path.suffix == ""
        if not self.is_folder and path.suffix.lower() not in (*MUXERS, *PICTURES):
            raise OutputError(
                f"output '{path}' has an unknown suffix; use {', '.join(MUXERS)}, or none for a"
                f" folder of PNGs; of a single picture also {', '.join(PICTURES)}"
            )
        parent = Path(os.path.abspath(path)).parent
        if not os.path.isdir(parent):
            raise OutputError(f"the folder '{parent}' does not exist; create it first")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(f"the folder '{parent}' may not be written to; choose another one")
        _check_name(path)
        if path.exists():
            self._check_existing(source, overwrite)
        self.folder = parent / f".{_short(Path(os.path.abspath(path)).name)}.cleanplate"
        self.partial = self.folder / f"partial{path.suffix}"
        self._old = self.folder / "old"
        self._lock: Lock | None = None

    def _check_existing(self, source: Path, overwrite: bool) -> None:
        if os.path.exists(source) and os.path.samefile(self.path, source):
            raise OutputError(f"output '{self.path}' is the input itself; choose another name")
        if self.path.is_dir() != self.is_folder:
            what = "a folder" if self.path.is_dir() else "a file"
            raise OutputError(f"output '{self.path}' exists and is {what}; choose another name")
        if self.is_folder and not any(self.path.iterdir()):
            return
        if not overwrite:
            raise OutputError(f"output '{self.path}' exists; use --overwrite to replace it")
        if self.is_folder and not all(_is_image(entry) for entry in self.path.iterdir()):
            raise OutputError(
                f"output folder '{self.path}' holds other things than images and is not replaced;"
                " choose another name"
            )

    def claim(self) -> None:
        """Make the hidden folder and keep others out; clears what a killed run left half done.

        Raises OutputError when another run is at it, or the folder cannot be made.
        """
        try:
            self._lock = Lock(self.folder)
            self._restore()
            _delete(self.partial)
        except LockedError:
            raise OutputError(
                f"another run is writing '{self.path}'; wait for it, or choose another name"
            ) from None
        except OSError as error:
            self.discard()
            raise OutputError(
                f"'{self.folder.parent}' cannot be written to: {error.strerror}"
            ) from None

    def commit(self) -> None:
        """Move the finished work to its place, safe from a power cut, and clear `folder`.

        Raises EncodeError when that fails.
        """
        try:
            _flush(self.partial)
            if self.is_folder and self.path.is_dir():
                os.replace(self.path, self._old)
            os.replace(self.partial, self.path)
            _flush_folder(self.folder.parent)
            if self._lock is not None:
                self._lock.clear()
        except OSError as error:
            raise EncodeError(
                f"'{self.path}' could not be put in place: {error.strerror}"
            ) from None
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was begun; never raises. May be called again."""
        if self._lock is None:
            return
        with suppress(OSError):
            self._restore()
            _delete(self.partial)
        self._lock.release()
        self._lock = None

    def _restore(self) -> None:
        """Put back what was there before, when `commit` ended between its two moves."""
        if self._old.exists() and not self.path.exists():
            os.replace(self._old, self.path)
        _delete(self._old)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _short(name: str) -> str:
    """`name`, or a digest of it where the hidden name would become longer than names may be."""
    raw = os.fsencode(name)
    return name if len(raw) <= 200 else hashlib.sha256(raw).hexdigest()[:32]


def _flush(path: Path) -> None:
    """Have the disk take what was written: a file, or the files in a folder and in its folders."""
    if path.is_dir():
        for entry in path.iterdir():
            _flush(entry)
        _flush_folder(path)
        return
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Have the disk take a folder's list of names, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _check_name(path: Path) -> None:
    """Raise OutputError for a name that no file can have: too long, or with a NUL."""
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"output '{path}' cannot be used: {reason}; choose another name"
        ) from None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()
