"""Files for the browser: preview pictures, results by byte ranges, masks as a ZIP."""

from __future__ import annotations

import os
import re
import secrets
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO
from urllib.parse import quote

import cv2
import numpy as np
import numpy.typing as npt
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Send

from cleanplate.errors import EncodeError, InputError
from cleanplate.masks import Mask, read_marked
from cleanplate.storage.atomic import write_file
from cleanplate.types import Size
from cleanplate.video import VideoInfo, open_reader, turn_upright

LONG_SIDE = 1280
_QUALITY = 85

Step = Callable[[int], None]


def choose_size(info: VideoInfo) -> Size:
    """Choose the preview size: the display size, downscaled to a long side of at most LONG_SIDE."""
    size = info.display_size
    share = min(1.0, LONG_SIDE / max(size.width, size.height))
    return Size(max(round(size.width * share), 1), max(round(size.height * share), 1))


def write_previews(info: VideoInfo, folder: Path, step: Step, most: int) -> list[Fraction]:
    """Write all frames of a video as `folder/INDEX.jpg`, upright; return their times in seconds.

    `step` is called with the number of frames done. Raises InputError beyond `most` frames,
    DecodeError if the video is damaged, EncodeError if the disk is full.
    """
    folder.mkdir()
    size = choose_size(info)
    times: list[Fraction] = []
    with open_reader(info.path, info) as reader:
        for picture in reader:
            if picture.index >= most:
                raise InputError(f"the video has more than {most} frames; cut it into parts")
            times.append(picture.time)
            upright = turn_upright(picture.rgb, info)
            write_jpeg(folder / name_frame(picture.index, "jpg"), upright, size)
            step(len(times))
    return times


def name_frame(index: int, suffix: str, digits: int = 6) -> str:
    """Return the file name of frame `index`, with at least as many digits."""
    return f"{index:0{digits}d}.{suffix}"


def write_jpeg(path: Path, rgb: npt.NDArray[np.uint8], size: Size) -> None:
    """Write `rgb`, uint8 `(h, w, 3)`, downscaled to `size`."""
    small = cv2.resize(rgb, (size.width, size.height), interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _write(path, cv2.imencode(".jpg", small[..., ::-1], quality)[1].tobytes())


def write_mask(path: Path, mask: Mask) -> None:
    """Write a mask `(h, w)` as a PNG of 0 and 255."""
    _write(path, encode_mask(mask))


def encode_mask(mask: Mask) -> bytes:
    """Encode a mask `(h, w)` as a PNG of 0 and 255."""
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically; raise EncodeError if the disk is full."""
    try:
        write_file(path, data, durable=False)  # the session deletes its folder
    except OSError as error:
        raise EncodeError(
            f"a file could not be written: {error.strerror}; free some disk space"
        ) from None


class _Buffer:
    """A write-only file whose bytes are drained by `take`."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing; `take` drains the bytes."""

    def close(self) -> None:
        """Do nothing; there is no open handle."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def zip_masks(folders: Sequence[Path]) -> Iterator[bytes]:
    """Yield a ZIP of the union of the masks in `folders`; `cleanplate remove --mask` reads it."""
    buffer = _Buffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folders[0].glob("[0-9]*.png")):
            data = path.read_bytes()
            if len(folders) > 1:
                masks = [read_marked(folder / path.name) for folder in folders]
                data = encode_mask(np.logical_or.reduce(masks))
            archive.writestr(zipfile.ZipInfo(path.name), data)
            yield buffer.take()
    yield buffer.take()


_TYPE = "application/octet-stream"
_CHUNK = 256 << 10
_MOST_RANGES = 16
"""Maximum number of ranges per request, so that a short request cannot cause much work."""
_SPEC = re.compile(r"(\d*)-(\d*)", re.ASCII)
_DIGITS = 18
"""Digits of a byte position that are parsed; Python refuses to parse very long integers."""


class Stream(StreamingResponse):
    """Response whose source file may vanish while it is sent, because the clip is closed.

    The connection is then aborted, so that the client notices the missing rest.
    """

    async def stream_response(self, send: Send) -> None:
        """Send the body; stop if the source vanishes."""
        try:
            await super().stream_response(send)
        except OSError:
            return


def send_file(path: Path, headers: Headers, name: str) -> StreamingResponse:
    """Send `path` as a download called `name`, or the ranges that `headers` request.

    Raises HTTPException: 404 if the file does not exist, 416 if no range lies in it or there are
    too many.
    """
    try:
        file = path.open("rb")
    except OSError:
        raise HTTPException(404, "this does not exist or was deleted") from None
    stat = os.fstat(file.fileno())
    size, tag = stat.st_size, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    wanted = headers.get("range") if headers.get("if-range", tag) == tag else None
    try:
        ranges = None if wanted is None else parse_ranges(wanted, size)
    except HTTPException:
        file.close()
        raise
    base = {"Accept-Ranges": "bytes", "ETag": tag, **attach(name)}
    if ranges is None:
        parts, more = [(b"", range(size))], {"Content-Type": _TYPE}
    elif len(ranges) == 1:
        parts = [(b"", ranges[0])]
        more = {"Content-Type": _TYPE, "Content-Range": _describe(ranges[0], size)}
    else:
        boundary = secrets.token_hex(16)
        more = {"Content-Type": f"multipart/byteranges; boundary={boundary}"}
        parts = _divide(ranges, size, boundary)
    more["Content-Length"] = str(sum(len(head) + len(part) for head, part in parts))
    return Stream(_read(file, parts), 200 if ranges is None else 206, {**base, **more})


def parse_ranges(header: str, size: int) -> list[range] | None:
    """Parse a `Range` header for a file of `size` bytes into ascending, disjoint ranges.

    Ranges that overlap or touch are joined. Returns None for an invalid header: send the whole
    file. Raises HTTPException (416) when no range lies in the file, or when there are too many.
    """
    unit, equals, text = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    specs = [spec.strip() for spec in text.split(",") if spec.strip()]
    if len(specs) > _MOST_RANGES:
        raise _unsatisfiable(size, f"a request may ask for at most {_MOST_RANGES} ranges of bytes")
    ranges = []
    for spec in specs:
        found = _parse_spec(spec, size)
        if found is None:
            return None
        ranges.append(found)
    joined = _join(ranges)
    if specs and not joined:
        raise _unsatisfiable(size, f"no such range: the file has {size} bytes")
    return joined or None


def attach(name: str) -> dict[str, str]:
    """Make the header that makes browsers save a response as `name`."""
    plain = quote(name)
    value = f'filename="{name}"' if plain == name else f"filename*=utf-8''{plain}"
    return {"Content-Disposition": f"attachment; {value}"}


def _parse_spec(spec: str, size: int) -> range | None:
    """Parse one range, which may be empty; None if it is invalid."""
    match = _SPEC.fullmatch(spec)
    if match is None or spec == "-":
        return None
    first, last = (
        min(int(digits.lstrip("0")[:_DIGITS] or "0"), size) if digits else None
        for digits in match.groups()
    )
    if first is None:
        return range(size - (last or 0), size)
    if last is None:
        return range(first, size)
    return range(first, min(last + 1, size)) if _is_ascending(*match.groups()) else None


def _is_ascending(first: str, last: str) -> bool:
    """Whether two numbers, of any length, are in order."""
    first, last = first.lstrip("0"), last.lstrip("0")
    return (len(first), first) <= (len(last), last)


def _join(ranges: list[range]) -> list[range]:
    joined: list[range] = []
    for one in sorted((one for one in ranges if one), key=lambda one: one.start):
        if joined and one.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, one.stop))
        else:
            joined.append(one)
    return joined


def _unsatisfiable(size: int, message: str) -> HTTPException:
    return HTTPException(416, message, {"Content-Range": f"bytes */{size}"})


def _describe(part: range, size: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size}"


def _divide(ranges: list[range], size: int, boundary: str) -> list[tuple[bytes, range]]:
    """Pair each range with its multipart header; the last pair is the closing boundary."""
    parts = [
        (
            f"\r\n--{boundary}\r\nContent-Type: {_TYPE}\r\n"
            f"Content-Range: {_describe(part, size)}\r\n\r\n".encode(),
            part,
        )
        for part in ranges
    ]
    return [*parts, (f"\r\n--{boundary}--\r\n".encode(), range(0))]


def _read(file: IO[bytes], parts: list[tuple[bytes, range]]) -> Iterator[bytes]:
    with file:
        for head, part in parts:
            if head:
                yield head
            file.seek(part.start)
            for start in range(part.start, part.stop, _CHUNK):
                yield file.read(min(_CHUNK, part.stop - start))
