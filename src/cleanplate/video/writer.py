"""Write pictures as a video or a folder of PNGs; untouched samples are the source's own."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags

from cleanplate.errors import EncodeError, OccupiedError, OutputError
from cleanplate.video.changes import (
    Tracks,
    check_tracks,
    describe_changes,
    describe_coding,
    describe_left,
    describe_lost_fields,
    describe_picture,
    has_own_keys,
    kept_metadata,
)
from cleanplate.video.colour import Converter, paste_touched, repack, surround
from cleanplate.video.destination import Destination
from cleanplate.video.encoding import (
    MUXERS,
    Encoding,
    choose_encoding,
    describe_result,
    local_url,
    open_source,
    reason,
)
from cleanplate.video.images import PICTURES, write_jpeg, write_png
from cleanplate.video.info import FieldMarker, Picture, VideoInfo, turn_upright
from cleanplate.video.probe import find_video_stream
from cleanplate.video.threads import Worker, choose_depth


class _WriteTask(NamedTuple):
    picture: Picture
    rgb: npt.NDArray[np.uint8]
    touched: npt.NDArray[np.bool_]


class _Sink(Protocol):
    def write(self, work: _WriteTask) -> None: ...
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
        self._worker: Worker[_WriteTask] = Worker(self._consume, ahead)

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
        self._worker.send(_WriteTask(picture, rgb, touched))

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

    def _consume(self, items: Iterator[_WriteTask]) -> None:
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
    crf: int | None = None,
    lossless: bool = False,
    audio: bool = True,
    overwrite: bool = False,
    threads: int = 0,
) -> Writer:
    """Open `path` for the result of `info`'s pictures: a video, or without suffix a folder of PNGs.

    A `.png` or `.jpg` takes a single picture. Everything that can be checked is checked now.

    Args:
        path: output path; `find_place` lists the paths that are refused.
        info: the source, from `probe`.
        crf: constant rate factor of H.264, 0 to 51; None is 16.
        lossless: keep every untouched sample bit-exact.
        audio: copy the sound.
        overwrite: replace an existing output.
        threads: encoder threads; 0 is the encoder's choice, with 1 the caller waits for it.

    Raises:
        OutputError: the path cannot be written, or the container cannot hold the video.
    """
    path = Path(path)
    check_picture(path, info, lossless=lossless)
    destination = Destination(path, info.path, overwrite=overwrite)
    destination.claim()
    sink: _Sink
    encoding: Encoding | None = None
    left: tuple[str, ...] = ()
    try:
        if destination.is_folder:
            sink = _PictureFolder(destination.partial, info)
        elif (suffix := path.suffix.lower()) in PICTURES:
            sink = _PictureFile(destination.partial, info)
            left = describe_picture(suffix)
        else:
            result, encoding = _choose_coding(info, suffix, crf=crf, lossless=lossless)
            left = describe_left(info, suffix, audio=audio)
            sink = _VideoFile(destination.partial, info, result, encoding, suffix, threads, audio)
        ahead = 0 if threads == 1 else choose_depth(info.size)
        changes = describe_changes(info, encoding, path.suffix.lower(), lossless=lossless)
        return Writer(
            sink,
            destination,
            info,
            ahead=ahead,
            coding=describe_coding(info, encoding, lossless=lossless, suffix=path.suffix.lower()),
            notes=(*changes, *describe_lost_fields(info, encoding), *left),
        )
    except BaseException:
        destination.discard()
        raise


def check_writer(
    path: Path,
    info: VideoInfo,
    *,
    crf: int | None = None,
    lossless: bool = False,
    audio: bool = True,
    overwrite: bool = False,
) -> None:
    """Make all checks of `open_writer` and its first packets, without writing.

    Raises OutputError or EncodeError.
    """
    check_picture(path, info, lossless=lossless)
    suffix = path.suffix.lower()
    if not Destination(path, info.path, overwrite=overwrite).is_folder and suffix not in PICTURES:
        _choose_coding(info, suffix, crf=crf, lossless=lossless)
        check_tracks(info, suffix, audio=audio)


def _choose_coding(
    info: VideoInfo, suffix: str, *, crf: int | None, lossless: bool
) -> tuple[VideoInfo, Encoding]:
    """Choose the properties of the result, and its encoding."""
    result = describe_result(info, lossless=lossless)
    return result, choose_encoding(result, suffix, crf=crf, lossless=lossless)


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
    if lossless and suffix != ".png":
        raise OutputError(f"output '{path}' is a JPEG, which always loses something; use .png")


def composite(work: _WriteTask) -> npt.NDArray[np.uint8]:
    """Compose the finished picture in RGB: new where touched, the source's elsewhere."""
    return np.where(work.touched[..., None], work.rgb, work.picture.rgb)


def _film_options(info: VideoInfo) -> dict[str, str]:
    """Choose options for MP4 and QuickTime: fast start, exact timestamps and metadata.

    Edit lists, which store the start of a track, count in the movie's time scale. Use a multiple of
    the pictures' ticks that is as fine as sound.
    """
    ticks = info.time_base.denominator
    keys = "+use_metadata_tags" if info.kind == "video" and has_own_keys(info.path) else ""
    scale = str(min(ticks * -(-48_000 // ticks), 2**31 - 1))
    return {"movflags": f"+faststart{keys}", "movie_timescale": scale}


class _PictureFolder:
    """Folder of PNGs, named like the source's images or numbered; rotated, as PNG has no tag."""

    def __init__(self, folder: Path, info: VideoInfo) -> None:
        self._info, self._folder = info, folder
        stems = [file.stem for file in info.files]
        # `a.png` and `a.jpg` would overwrite each other: then number all of them.
        self._stems = stems if len(set(stems)) == len(stems) else []
        try:
            folder.mkdir()
        except OSError as error:
            raise OutputError(f"'{folder.parent}' cannot be written to: {error.strerror}") from None

    def write(self, work: _WriteTask) -> None:
        index = work.picture.index
        stem = self._stems[index] if self._stems else f"{index:05d}"
        write_png(self._folder / f"{stem}.png", turn_upright(composite(work), self._info))

    def finish(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing; no file is open."""


class _PictureFile:
    """Single picture: a PNG, which keeps untouched samples, or a JPEG."""

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self._path, self._info = path, info

    def write(self, work: _WriteTask) -> None:
        write = write_png if self._path.suffix.lower() == ".png" else write_jpeg
        write(self._path, turn_upright(composite(work), self._info))

    def finish(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing; no file is open."""


class _VideoFile:
    """Video being written, with all its tracks."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        result: VideoInfo,
        encoding: Encoding,
        suffix: str,
        threads: int,
        audio: bool,
    ) -> None:
        self._info, self._threads = info, threads
        self._result = result
        self._encoding = encoding
        self._converter = Converter(result)
        self._fields = FieldMarker(result.field_order) if encoding.codes_fields else None
        self._tracks: Tracks | None = None
        self._held: _WriteTask | None = None
        """The latest picture; its duration is known when the next one arrives."""
        muxer = MUXERS[suffix]
        options = {"fflags": "+bitexact"}  # no random identifiers: equal runs give equal bytes
        if muxer in ("mp4", "mov"):
            options |= _film_options(info)
        try:
            self._container = av.open(local_url(path), "w", format=muxer, container_options=options)
            self._stream = self._add_pictures()
            if info.kind == "video":
                self._tracks = Tracks(info, self._container, suffix, audio=audio)
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            self.discard()
            raise OutputError(
                f"a {suffix} file cannot be begun in '{path.parent}' for this video:"
                f" {reason(error)}; use another place or .mkv"
            ) from None
        except BaseException:
            self.discard()
            raise

    def write(self, work: _WriteTask) -> None:
        # Sound before this picture goes first: muxers expect packets of all tracks by time.
        if self._tracks is not None:
            self._tracks.copy_until(work.picture.time)
        self._encode_held(work.picture.time)
        self._held = work

    def finish(self) -> None:
        self._encode_held(self._info.end)
        # Flush: the encoder still holds the pictures of its lookahead.
        self._container.mux(self._stream.encode(None))
        if self._tracks is not None:
            self._tracks.copy_until(None)
            self._tracks.close()
        self._container.close()

    def discard(self) -> None:
        if self._tracks is not None:
            self._tracks.close()
        if hasattr(self, "_container"):
            # Writing the trailer fails, too, on a full disk; the file is removed anyway.
            with suppress(av.error.FFmpegError, OSError, ValueError):
                self._container.close()

    def _add_pictures(self) -> Any:
        """Add the video stream with all tags, which must be set before anything is encoded."""
        result, encoding = self._result, self._encoding
        options = dict(encoding.options)
        if result.chroma_siting:
            options["chroma_sample_location"] = result.chroma_siting
        stream = self._container.add_stream(encoding.codec, rate=result.rate, options=options)
        context = stream.codec_context
        context.thread_count = self._threads
        context.flags |= Flags.frame_duration  # otherwise the last picture gets a mean duration
        context.width, context.height = result.size.width, result.size.height
        context.pix_fmt = encoding.pixel_format
        context.time_base = stream.time_base = result.time_base
        if result.sample_aspect_ratio:
            context.sample_aspect_ratio = result.sample_aspect_ratio
        # FFmpeg's numbers: range 2 is full, matrix 2 is unspecified.
        context.color_range = 2 if result.is_full_range else result.color_range
        context.color_primaries = result.color_primaries
        context.color_trc = result.color_transfer
        if result.format.family != "rgb":
            context.colorspace = result.color_matrix or 2
        if result.is_interlaced:
            context.field_order = result.field_order
        if result.display_matrix:
            stream.set_display_matrix(result.display_matrix)
        if encoding.codec == "libx265":
            context.codec_tag = "hvc1"  # Apple's players refuse FFmpeg's default, hev1
        if result.kind == "video":
            with open_source(result.path) as source:
                original = find_video_stream(source)
                stream.metadata.update(kept_metadata(original.metadata))
                stream.disposition = original.disposition
        return stream

    def _encode_held(self, until: Fraction | None) -> None:
        if self._held is None:
            return
        frame = self._make_frame(self._held)
        if until is not None:
            frame.duration = max(0, round((until - self._held.picture.time) / frame.time_base))
        self._container.mux(self._stream.encode(frame))

    def _make_frame(self, work: _WriteTask) -> Any:
        frame = self._paint(work)
        layout = self._result.format
        # The encoder may want the same samples in another memory layout, such as nv12 as planes.
        if layout.name != self._encoding.pixel_format and layout.family != "rgb":
            frame = repack(frame, layout, self._encoding.pixel_format)
        if self._fields is not None:
            frame = self._fields.mark(frame)
        # Transport streams count from an arbitrary moment; outputs start at 0.
        frame.pts = work.picture.pts - round(self._info.start / self._info.time_base)
        frame.time_base = self._info.time_base
        frame.pict_type = 0  # the encoder chooses; a decoded frame carries the source's choice
        return frame

    def _paint(self, work: _WriteTask) -> Any:
        own = work.picture.planes
        if own is None:
            return self._converter.from_rgb(composite(work))
        if not work.touched.any():
            return own
        layout, woven = self._result.format, self._result.is_woven
        # Convert only the touched region and paste its samples into the source's planes: a round
        # trip through RGB would change all others.
        box = surround(work.touched, woven=woven)
        part = self._converter.from_rgb(work.rgb[box.slices])
        return paste_touched(own, part, work.touched, box, layout, woven=woven)
