"""Output paths: check before the run, build in a hidden folder, move into place at the end."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cleanplate.errors import EncodeError, OccupiedError, OutputError
from cleanplate.storage.atomic import (
    Kind,
    Lock,
    LockedError,
    check_own,
    find_place,
    flush,
    flush_folder,
    move_aside,
    move_new,
)
from cleanplate.storage.paths import check_places, hide
from cleanplate.video.codecs import IMAGE_CODECS, NAMED
from cleanplate.video.encoding import MUXERS
from cleanplate.video.images import PICTURES, SUFFIXES, is_sequence

_OWN = re.compile(r"lock|old|journal|partial(\.\w+)?|finished-\d+(\.\w+)?")
"""Pattern of all names in a hidden folder."""


class Destination:
    """An output path that is written completely or not at all.

    The constructor only checks: OutputError if the path cannot be used (missing folder, existing
    file without `overwrite`, the source itself, a device, a mount point). `claim()` makes and
    locks a hidden folder next to the path. Write to `partial` in it, then call `commit()` or
    `discard()`. Other files in `folder` survive `discard` and a crash, but not `commit`.

    A link at the path stays and its target is replaced. Without `overwrite`, nothing is ever
    replaced, not even a file that appears during the run.

    Args:
        path: the output path.
        source: the file or folder that is read, which is never replaced.
        overwrite: replace what is at the path.
        is_ours: whether something in an existing folder may be replaced with it; by default images.

    Attributes:
        path: the output path.
        is_folder: whether a folder of images is written.
        folder: the hidden folder, `.NAME.cleanplate`.
        partial: the unfinished result in it.
    """

    def __init__(
        self,
        path: Path,
        source: Path,
        *,
        overwrite: bool,
        is_ours: Callable[[Path], bool] | None = None,
    ) -> None:
        self.path = path
        self.is_folder = path.suffix == ""
        self._is_ours = is_ours or _is_image
        check_places([path], [source])
        self._overwrite = overwrite
        self._place = self._find_place()
        if not self.is_folder and path.suffix.lower() not in (*MUXERS, *PICTURES):
            raise OutputError(
                f"output '{path}' has an unknown suffix; use {', '.join(MUXERS)}, or none for a"
                f" folder of PNGs; of a single picture also {', '.join(PICTURES)}"
            )
        self.folder = hide(self._place)
        self.partial = self.folder / f"partial{path.suffix}"
        self._old = self.folder / "old"
        self._lock: Lock | None = None
        self._is_sealed = False
        self._check_hidden()

    def _find_place(self) -> Path:
        """Find the path to replace; raise OutputError if that is not allowed or not possible."""
        kind: Kind = "a folder" if self.is_folder else "a file"
        place = find_place(self.path, kind, overwrite=self._overwrite)
        if self.is_folder and place.exists() and not all(map(self._is_ours, place.iterdir())):
            what = "images" if self._is_ours is _is_image else "plates"
            raise OutputError(
                f"output folder '{self.path}' holds files other than {what} and is not replaced;"
                " choose another name"
            )
        return place

    def _check_hidden(self) -> None:
        """Raise OutputError when the hidden folder exists but was not made by cleanplate."""
        check_own(self.folder, lambda name: _OWN.fullmatch(name) is not None)

    def claim(self) -> None:
        """Create and lock the hidden folder; delete partial results of a killed run.

        Raises OutputError if another run holds it, or the folder cannot be made.
        """
        try:
            self._check_hidden()
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

    def seal(self) -> None:
        """Flush the finished output to disk, so that `commit` only has to move it.

        A run with several outputs seals all before it commits the first. Raises EncodeError.
        """
        if self._is_sealed:
            return
        try:
            flush(self.partial)
        except OSError as error:
            raise EncodeError(f"'{self.path}' could not be written: {error.strerror}") from None
        self._is_sealed = True

    def commit(self) -> None:
        """Move the finished output into place, safe from a power cut, and clear `folder`.

        Raises EncodeError if the disk fails, and OccupiedError if only the path cannot be taken: a
        file appeared there, or cannot be moved. The result then gets another name next to it.
        """
        try:
            self.seal()
            try:
                self._put_in_place()
            except (OSError, OutputError) as error:
                raise self._put_aside(error) from None
            finally:
                flush_folder(self._place.parent)
            self._clear()
        finally:
            self.discard()

    def settle(self, error: BaseException | None) -> None:
        """Commit at the end of a `with` block, or discard after an `error` in it.

        If another output of the run could not take its path, this one is kept all the same.
        """
        if error is None or isinstance(error, OccupiedError):
            self.commit()
        else:
            self.discard()

    def _put_in_place(self) -> None:
        if self._find_place() != self._place:
            raise OutputError("it leads elsewhere now")
        if not self._overwrite:
            move_new(self.partial, self._place)
            return
        if self.is_folder and self._place.is_dir():
            os.replace(self._place, self._old)
        os.replace(self.partial, self._place)

    def _put_aside(self, error: Exception) -> OccupiedError:
        """Keep the finished output under another name; return the message that says where it is."""
        why = error.strerror if isinstance(error, OSError) else str(error).partition(";")[0]
        with suppress(OSError):
            self._restore()
        place = self._find_other_place()
        # The previous output must not be removed with the journal.
        if place.parent != self.folder and not self._old.exists():
            self._clear()
        return OccupiedError(
            f"'{self.path}' could not be put in place ({why}); the finished result is '{place}'"
        )

    def _find_other_place(self) -> Path:
        with suppress(OSError):
            return move_aside(self.partial, self._place)
        # No new name is possible in this folder; in the hidden one, later runs leave it alone.
        with suppress(OSError):
            return move_aside(self.partial, self.folder / f"finished{self.path.suffix}")
        return self.partial

    def _clear(self) -> None:
        if self._lock is not None:
            self._lock.clear()

    def discard(self) -> None:
        """Delete a partial output; never raises, idempotent."""
        if self._lock is None:
            return
        with suppress(OSError):
            self._restore()
            _delete(self.partial)
        self._lock.release()
        self._lock = None

    def _restore(self) -> None:
        """Restore the previous output if `commit` was interrupted between its two moves."""
        if self._old.exists() and not os.path.lexists(self._place):
            os.replace(self._old, self._place)
        _delete(self._old)


def _delete(path: Path) -> None:
    """Delete a file, a folder with its content, or a link itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def name_output(
    source: str | os.PathLike[str], word: str = "clean", *, codec: object = "auto"
) -> Path:
    """Name an output next to its `source`: `clip.mp4` → `clip-clean.mp4`, or a folder.

    The suffix stays where such a file can be written; else it is `.png` for a photograph, `.mp4`
    for an animation, and `.mkv`, which can hold every track, for any other video. A `codec` that
    the suffix cannot hold has one of its own, or a folder.
    """
    path = Path(source)
    if path.name in ("", ".."):
        path = Path(os.path.abspath(path))
    is_numbered = is_sequence(path)
    if is_numbered or path.is_dir():
        path = path.parent if is_numbered else path
        stem, own = path.name.replace(".", "-"), ""  # a dot would begin the suffix of a file
    else:
        stem, own = path.stem, _find_suffix(path)
    if codec in IMAGE_CODECS:
        is_picture = own.lower() in PICTURES
        own = IMAGE_CODECS[str(codec)] if is_picture else ""
    elif codec in NAMED and own.lower() not in NAMED[str(codec)].suffixes:
        own = NAMED[str(codec)].suffixes[0]
    return path.with_name(f"{stem}-{word}{own}")


def _find_suffix(path: Path) -> str:
    """Suffix of an output for a source that is a file."""
    if path.suffix.lower() in (*MUXERS, *PICTURES):
        return path.suffix
    if path.suffix.lower() in (".gif", ".apng"):
        return ".mp4"
    return ".png" if path.suffix.lower() in SUFFIXES else ".mkv"
