"""Write pictures as a video or a folder of images; untouched samples are the source's own."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, OccupiedError, OutputError
from cleanplate.video.changes import (
    describe_changes,
    describe_coding,
    describe_conversion,
    describe_left,
    describe_lost_fields,
    describe_picture,
)
from cleanplate.video.codecs import IMAGE_CODECS, NAMED, choose_coding, name_title
from cleanplate.video.compositing import WriteTask
from cleanplate.video.destination import Destination
from cleanplate.video.encoding import MUXERS, Encoding, reason
from cleanplate.video.images import JPEG_SUFFIXES, PICTURES
from cleanplate.video.info import Picture, VideoInfo
from cleanplate.video.picture_files import PictureFile, PictureFolder
from cleanplate.video.threads import Worker, choose_depth
from cleanplate.video.tracks import check_tracks
from cleanplate.video.video_file import VideoFile


class _Sink(Protocol):
    def write(self, work: WriteTask) -> None: ...
    def finish(self) -> None: ...
    def discard(self) -> None: ...


class Writer:
    """Context manager that writes pictures in order; encoding runs in a thread.

    A normal exit finishes the output and moves it into place; an exception removes everything.
    Raises EncodeError if the disk or the encoder fails.
    """

    def __init__(
        self,
        sink: _Sink,
        destination: Destination,
        info: VideoInfo,
        *,
        ahead: int = 4,
        coding: dict[str, Any] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.coding = coding or {}
        """See `describe_coding`."""
        self.notes = notes
        """Notes on differences between the output and the source."""
        self._sink = sink
        self._destination = destination
        self._info = info
        self._worker: Worker[WriteTask] = Worker(self._consume, ahead)

    @property
    def folder(self) -> Path:
        """The hidden folder of this output, for files that survive a crash but not success."""
        return self._destination.folder

    def write(
        self, picture: Picture, rgb: npt.NDArray[np.uint8], touched: npt.NDArray[np.bool_]
    ) -> None:
        """Write one picture: `rgb` `(h, w, 3)` where `touched` `(h, w)`, otherwise `picture`.

        The arrays are used later, in a thread: do not change them afterwards.
        """
        shape = self._info.size.shape
        if rgb.shape != (*shape, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"rgb must be uint8 {(*shape, 3)}, got {rgb.dtype} {rgb.shape}")
        if touched.shape != shape or touched.dtype != np.bool_:
            raise ValueError(f"touched must be bool {shape}, got {touched.dtype} {touched.shape}")
        self._worker.send(WriteTask(picture, rgb, touched))

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # If another output of the run could not take its path, this one is kept all the same.
        if error is not None and not isinstance(error, OccupiedError):
            self._abandon()
            return
        try:
            self.finish()
        except BaseException:
            self._abandon()
            raise
        try:
            self._destination.commit()
        except OccupiedError as occupied:
            if error is not None:
                occupied.add_note(str(error))
            raise

    def finish(self) -> None:
        """Finish the hidden output; leaving the block then only moves it into place.

        Raises EncodeError. A run with several outputs finishes all of them first.
        """
        self._worker.finish()
        self._destination.seal()

    def _abandon(self) -> None:
        self._worker.abort()
        self._sink.discard()
        self._destination.discard()

    def _consume(self, items: Iterator[WriteTask]) -> None:
        try:
            for work in items:
                self._sink.write(work)
            self._sink.finish()
        except (av.error.FFmpegError, OSError) as error:
            raise EncodeError(
                f"'{self._destination.path}' could not be written: {reason(error)};"
                f" {_find_remedy(error)}"
            ) from None


def _find_remedy(error: BaseException) -> str:
    """Remedy for a failed write; FFmpeg returns EINVAL for what a container does not support."""
    if getattr(error, "errno", None) == errno.EINVAL:
        return "this kind of file does not take it, choose another suffix"
    return "free some space or choose another place"


def open_writer(
    path: str | os.PathLike[str],
    info: VideoInfo,
    *,
    codec: str = "auto",
    crf: int | None = None,
    lossless: bool = False,
    preset: str | None = None,
    audio: bool = True,
    overwrite: bool = False,
    threads: int = 0,
) -> Writer:
    """Open `path` for the result of `info`'s pictures: a video, or without suffix a folder.

    A `.png`, `.tif` or `.jpg` takes a single picture. Everything that can be checked is checked
    now.

    Args:
        path: output path; `find_place` lists the paths that are refused.
        info: the source, from `probe`.
        codec: a name of `codecs.NAMED`, or for folders of `codecs.IMAGE_CODECS`.
        crf: constant rate factor of H.264, 0 to 51; None is 16.
        lossless: keep every untouched sample bit-exact.
        preset: of the encoder.
        audio: copy the sound.
        overwrite: replace an existing output.
        threads: encoder threads; 0 is the encoder's choice, with 1 the caller waits for it.

    Raises:
        OutputError: the path cannot be written, or the container cannot hold the video.
    """
    path = Path(path)
    coding = check_coding(path, info, codec=codec, crf=crf, lossless=lossless, preset=preset)
    destination = Destination(path, info.path, overwrite=overwrite)
    destination.claim()
    sink: _Sink
    suffix = path.suffix.lower() or IMAGE_CODECS.get(codec, ".png")
    left: tuple[str, ...] = ()
    try:
        if destination.is_folder:
            sink = PictureFolder(destination.partial, info, suffix)
        elif coding is None:
            sink = PictureFile(destination.partial, info)
            left = describe_picture(suffix)
        else:
            left = describe_left(info, suffix, audio=audio)
            sink = VideoFile(destination.partial, info, *coding, suffix, threads, audio)
        encoding = coding[1] if coding is not None else None
        ahead = 0 if threads == 1 else choose_depth(info.size)
        is_chosen = codec == "auto"
        return Writer(
            sink,
            destination,
            info,
            ahead=ahead,
            coding=describe_coding(info, encoding, lossless=lossless, suffix=suffix),
            notes=(
                *describe_changes(info, encoding, suffix, lossless=lossless, is_chosen=is_chosen),
                *describe_conversion(info, coding),
                *describe_lost_fields(info, encoding),
                *left,
            ),
        )
    except BaseException:
        destination.discard()
        raise


def check_writer(
    path: Path,
    info: VideoInfo,
    *,
    codec: str = "auto",
    crf: int | None = None,
    lossless: bool = False,
    preset: str | None = None,
    audio: bool = True,
    overwrite: bool = False,
) -> None:
    """Make all checks of `open_writer` and its first packets, without writing.

    Raises OutputError or EncodeError.
    """
    Destination(path, info.path, overwrite=overwrite)
    if check_coding(path, info, codec=codec, crf=crf, lossless=lossless, preset=preset):
        check_tracks(info, path.suffix.lower(), audio=audio)


def check_coding(
    path: Path,
    info: VideoInfo,
    *,
    codec: str = "auto",
    crf: int | None = None,
    lossless: bool = False,
    preset: str | None = None,
) -> tuple[VideoInfo, Encoding] | None:
    """Choose the samples and the encoder of a video at `path`; None for images.

    Raises OutputError if `path` cannot hold the result of `info`, or not in this way.
    """
    check_picture(path, info, lossless=lossless)
    suffix = path.suffix.lower()
    if suffix in MUXERS:
        return choose_coding(info, suffix, codec=codec, crf=crf, lossless=lossless, preset=preset)
    if suffix not in PICTURES and suffix:
        return None  # `Destination` refuses it
    if preset is not None:
        raise OutputError("images have no presets; leave `preset` out")
    fitting = {".png": "png", ".tif": "tiff", ".tiff": "tiff"}.get(suffix)
    if codec != "auto" and (codec not in IMAGE_CODECS or (suffix and codec != fitting)):
        what = "a folder of images" if not suffix else "one picture"
        raise OutputError(
            f"output '{path}' is {what}, not {name_title(codec)}; use"
            f" {', '.join(NAMED[codec].suffixes) if codec in NAMED else 'no suffix'}"
        )
    return None


def check_picture(path: Path, info: VideoInfo, *, lossless: bool = False) -> None:
    """Raise OutputError if `path` is a picture, but the result of `info` cannot be one."""
    suffix = path.suffix.lower()
    if suffix not in PICTURES:
        return
    if info.frame_count != 1:
        raise OutputError(
            f"output '{path}' is one picture, but '{info.path}' has {info.frame_count}; use"
            f" {', '.join(MUXERS)}, or no suffix for a folder of PNGs"
        )
    if lossless and suffix in JPEG_SUFFIXES:
        raise OutputError(f"output '{path}' is a JPEG, which always loses something; use .png")
