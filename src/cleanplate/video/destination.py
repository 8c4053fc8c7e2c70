"""Where a result goes: checked before the work, built hidden beside it, moved at the end."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from cleanplate.errors import EncodeError, OutputError
from cleanplate.video.containers import MUXERS
from cleanplate.video.images import SUFFIXES


class Destination:
    """An output path that gets everything or nothing.

    Work on `partial`, then `commit()` it or `discard()` it. Raises OutputError when the path
    cannot be used: missing folder, existing file without `overwrite`, the source itself.
    """

    def __init__(self, path: Path, source: Path, *, overwrite: bool) -> None:
        self.path = path
        self.is_folder = path.suffix == ""
        if not self.is_folder and path.suffix.lower() not in MUXERS:
            raise OutputError(
                f"output '{path}' has an unknown suffix; use {', '.join(MUXERS)}, or none for a"
                " folder of PNGs"
            )
        folder = Path(os.path.abspath(path)).parent
        if not os.path.isdir(folder):
            raise OutputError(f"the folder '{folder}' does not exist; create it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"the folder '{folder}' may not be written to; choose another one")
        _check_name(path)
        if path.exists():
            self._check_existing(source, overwrite)
        self.partial = folder / f".cleanplate-{secrets.token_hex(6)}{path.suffix}"

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

    def commit(self) -> None:
        """Move the finished work to its place; raises EncodeError when that fails."""
        try:
            if self.is_folder and self.path.is_dir():
                old = self.partial.with_name(self.partial.name + "-old")
                os.replace(self.path, old)
                os.replace(self.partial, self.path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(self.partial, self.path)
        except OSError as error:
            self.discard()
            raise EncodeError(
                f"'{self.path}' could not be put in place: {error.strerror}"
            ) from None

    def discard(self) -> None:
        """Remove what was begun; never raises."""
        if self.is_folder:
            shutil.rmtree(self.partial, ignore_errors=True)
            return
        with suppress(OSError):
            self.partial.unlink(missing_ok=True)


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
