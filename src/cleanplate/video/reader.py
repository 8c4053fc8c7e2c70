"""Read the pictures of a video or of a folder of images, a few ahead of the caller."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from cleanplate.errors import DecodeError, VideoError
from cleanplate.video.colour import Converter
from cleanplate.video.containers import open_source, reason
from cleanplate.video.images import read_image
from cleanplate.video.info import Picture, VideoInfo
from cleanplate.video.probe import find_video_stream, probe
from cleanplate.video.threads import ReadAhead


class Reader:
    """A context manager that iterates `Picture`s once, in order; decoding runs in a thread.

    Raises DecodeError, with the time, when the source breaks in the middle or ends too soon.
    """

    def __init__(self, info: VideoInfo, *, ahead: int = 4) -> None:
        self.info = info
        read = read_images if info.kind == "images" else read_video
        self._pictures: ReadAhead[Picture] = ReadAhead(lambda: read(info), ahead)

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Picture]:
        return self._pictures

    def close(self) -> None:
        """Stop reading; no thread and no open file stays behind."""
        self._pictures.close()


def open_reader(path: str | os.PathLike[str], info: VideoInfo | None = None) -> Reader:
    """Open a video or folder for reading; `info` saves probing it again.

    Raises VideoError as `probe` does.
    """
    return Reader(info or probe(Path(path)))


def read_images(info: VideoInfo) -> Iterator[Picture]:
    """The images of a folder, one after the other."""
    for index, path in enumerate(info.files):
        try:
            rgb = read_image(path)
        except VideoError as error:
            raise DecodeError(str(error)) from None
        if rgb.shape[:2] != info.size.shape:
            raise DecodeError(f"image '{path}' is no longer {info.size}; do not change the folder")
        yield Picture(index, index, index * info.time_base, rgb)


def read_video(info: VideoInfo) -> Iterator[Picture]:
    """Decode a video's pictures in order of display."""
    converter = Converter(info)
    with open_source(info.path) as container:
        stream = find_video_stream(container)
        stream.thread_type = "AUTO"
        last: int | None = None
        index = 0
        for frame in _decode(info, container, stream):
            pts = _next_pts(info, frame, last)
            time = pts * info.time_base - info.start
            _check_frame(info, frame, time)
            yield Picture(index, pts, time, converter.to_rgb(frame), frame)
            last, index = pts, index + 1
    if last is None:
        raise DecodeError(f"'{info.path}' gave no pictures; the file is damaged, copy it again")


def _next_pts(info: VideoInfo, frame: Any, last: int | None) -> int:
    """The frame's timestamp; made up where a container has none or repeats one."""
    step = max(1, round(1 / (info.rate * info.time_base)))
    if frame.pts is None:
        return 0 if last is None else last + step
    return int(frame.pts) if last is None or frame.pts > last else last + 1


def _decode(info: VideoInfo, container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames; raises DecodeError when one that was announced does not come out."""
    lost = _Lost(info)
    at = Fraction(0)
    try:
        for packet in container.demux(stream):
            lost.announce(packet)
            for frame in packet.decode():
                if frame.pts is not None:
                    at = frame.pts * info.time_base - info.start
                lost.arrive(frame.pts)
                yield frame
    except av.error.FFmpegError as error:
        raise DecodeError(
            f"'{info.path}' cannot be decoded after {_clock(at)}: {reason(error)}; the file is"
            " damaged, copy or export it again"
        ) from None
    lost.finish(at)


class _Lost:
    """Notices pictures whose packets were read but which the decoder silently left out.

    Only where a packet is a picture: in MP4 and Matroska, without VP8's hidden ones. Pictures
    before the first one shown may be missing, since a recording may start between key pictures.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._strict = info.container.startswith(("mov", "matroska")) and info.codec != "vp8"
        self._announced: set[int] = set()
        self._packets = 0
        self._last: int | None = None
        self._seen: int | None = None

    def announce(self, packet: Any) -> None:
        if not packet.size or packet.is_discard:
            return
        self._packets += 1
        if packet.pts is not None:
            self._announced.add(packet.pts)
            self._last = max(packet.pts, self._last or packet.pts)

    def arrive(self, pts: int | None) -> None:
        if pts is None:
            return
        self._announced.discard(pts)
        gone = [other for other in self._announced if other < pts]
        self._announced.difference_update(gone)
        if gone and self._strict and self._seen is not None:
            self._fail(min(gone))
        self._seen = pts

    def finish(self, at: Fraction) -> None:
        """At the end of the file: the last packets' pictures must have come, too."""
        if self._last is None or self._seen is None:
            return
        missing = (self._last - self._seen) * self._info.time_base
        allowed = Fraction(0) if self._strict else 2 / self._info.rate
        if missing > allowed or self._packets < self._info.frame_count:
            self._fail(self._seen)

    def _fail(self, pts: int) -> None:
        at = pts * self._info.time_base - self._info.start
        raise DecodeError(
            f"pictures of '{self._info.path}' are missing at {_clock(at)}; the file is damaged,"
            " copy or export it again"
        )


def _check_frame(info: VideoInfo, frame: Any, time: Fraction) -> None:
    if frame.is_corrupt:
        raise DecodeError(f"'{info.path}' is damaged at {_clock(time)}; copy or export it again")
    found = f"{frame.width}x{frame.height} {frame.format.name}"
    if found != f"{info.size} {info.pixel_format}":
        raise DecodeError(
            f"'{info.path}' changes to {found} at {_clock(time)} (from {info.size}"
            f" {info.pixel_format}); cut it there and treat the parts one by one"
        )


def _clock(time: Fraction) -> str:
    minutes, seconds = divmod(float(max(time, Fraction(0))), 60)
    return f"{int(minutes)}:{seconds:06.3f}"
