"""Read and write uncompressed video as a stream of bytes, in the format YUV4MPEG2 (y4m)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from av import VideoFrame

from cleanplate.errors import DecodeError, VideoError
from cleanplate.types import Size
from cleanplate.video.colour import Converter, samples
from cleanplate.video.compositing import Compositor, WriteTask
from cleanplate.video.headers import check_pixels
from cleanplate.video.info import (
    BOTTOM_FIRST,
    PROGRESSIVE,
    TOP_FIRST,
    FieldMarker,
    Picture,
    VideoInfo,
)

_MAGIC = b"YUV4MPEG2"
_LONGEST = 1 << 12
"""Longest line of a header in bytes."""
ENDLESS = 1 << 40
"""Number of frames of a stream whose length is not known."""

_LAYOUTS = {
    "420": "yuv420p", "420jpeg": "yuv420p", "420mpeg2": "yuv420p", "420paldv": "yuv420p",
    "422": "yuv422p", "444": "yuv444p", "mono": "gray",
    "420p10": "yuv420p10le", "422p10": "yuv422p10le", "444p10": "yuv444p10le", "mono10": "gray10le",
    "420p12": "yuv420p12le", "422p12": "yuv422p12le", "444p12": "yuv444p12le",
}  # fmt: skip
_ORDERS = {"p": PROGRESSIVE, "?": PROGRESSIVE, "t": TOP_FIRST, "b": BOTTOM_FIRST}
_HOW = "pipe y4m into it, as ffmpeg -i clip.mp4 -f yuv4mpegpipe - does"


class StreamReader:
    """Iterate the pictures of a y4m stream once, in order.

    Raises VideoError for a stream that is none or cannot be used, DecodeError where it ends in the
    middle of a frame.

    Attributes:
        info: properties of the stream; `frame_count` is `frames`.
        header: first line of the stream.
    """

    def __init__(self, file: BinaryIO, frames: int = ENDLESS) -> None:
        self._file = file
        self.header = file.readline(_LONGEST)
        self.info = _parse(self.header, frames)
        self._converter = Converter(self.info)
        self._fields = FieldMarker(self.info.field_order) if self.info.is_woven else None

    def __iter__(self) -> Iterator[Picture]:
        number = 0
        while line := self._file.readline(_LONGEST):
            if not line.startswith(b"FRAME") or not line.endswith(b"\n"):
                raise DecodeError(f"the stream is damaged before frame {number}; write it again")
            frame = self._read_frame(number)
            rgb = self._converter.to_rgb(frame)
            yield Picture(number, number, number / self.info.rate, rgb, frame)
            number += 1

    def _read_frame(self, number: int) -> VideoFrame:
        info = self.info
        frame = VideoFrame(info.size.width, info.size.height, info.pixel_format)
        for plane in samples(frame, info.format):
            data = self._file.read(plane.size * plane.itemsize)
            if len(data) < plane.size * plane.itemsize:
                raise DecodeError(
                    f"the stream ends in the middle of frame {number}; what writes it has stopped"
                )
            plane[...] = np.frombuffer(data, plane.dtype).reshape(plane.shape)
        return frame if self._fields is None else self._fields.mark(frame)


class StreamWriter:
    """Write pictures of a stream; raises BrokenPipeError when nothing reads them any more."""

    def __init__(self, file: BinaryIO, reader: StreamReader) -> None:
        self._file, self._info = file, reader.info
        self._compositor = Compositor(reader.info, reader.info)
        self._file.write(reader.header)

    def write(
        self,
        picture: Picture,
        rgb: npt.NDArray[np.uint8],
        touched: npt.NDArray[np.bool_],
    ) -> None:
        """Write a picture: `rgb` (h, w, 3) where `touched` (h, w), otherwise `picture`."""
        frame = self._compositor.to_frame(WriteTask(picture, rgb, touched))
        self._file.write(b"FRAME\n")
        for plane in samples(frame, self._info.format):
            self._file.write(plane.tobytes())
        self._file.flush()


def _parse(header: bytes, frames: int) -> VideoInfo:
    """Read the first line of a stream."""
    words = header.decode("ascii", "replace").split()
    if not header.startswith(_MAGIC + b" ") or not header.endswith(b"\n"):
        what = "nothing arrived" if not header else "this is no y4m"
        raise VideoError(f"{what} on the standard input; {_HOW}")
    values = {word[0]: word[1:] for word in reversed(words[1:]) if word[0] != "X"}
    extra = {word[1:].partition("=")[0]: word.partition("=")[2] for word in words if word[0] == "X"}
    try:
        size = Size(int(values["W"]), int(values["H"]))
        rate = Fraction(values["F"].replace(":", "/"))
        if not (size.width and size.height and rate > 0):
            raise ValueError
    except (KeyError, ValueError, ZeroDivisionError):
        line = header.decode("ascii", "replace").strip()
        raise VideoError(f"the header of the stream is damaged: '{line}'; {_HOW}") from None
    check_pixels(size, "the stream")
    layout, order = values.get("C", "420"), values.get("I", "p")
    if layout not in _LAYOUTS:
        raise VideoError(
            f"the stream has the pixel format C{layout}, which is not supported; add"
            " -pix_fmt yuv420p to the command that writes it"
        )
    if order not in _ORDERS:
        raise VideoError("the stream mixes interlaced and progressive frames; deinterlace it first")
    return VideoInfo(
        path=Path("standard input"),
        kind="images",
        size=size,
        rate=rate,
        time_base=1 / rate,
        frame_count=frames,
        duration=None,
        pixel_format=_LAYOUTS[layout],
        codec="rawvideo",
        color_range={"FULL": 2, "LIMITED": 1}.get(extra.get("COLORRANGE", ""), 0),
        field_order=_ORDERS[order],
    )
