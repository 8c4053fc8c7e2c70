"""Check headers before decoding: image sizes, tables of MP4 files, pixel limits."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av.logging

from cleanplate.errors import InputError, VideoError
from cleanplate.storage.paths import open_file
from cleanplate.types import Size

_lock = threading.Lock()
"""Guards FFmpeg's log level, which the whole process shares."""


@contextmanager
def collect_messages() -> Iterator[list[str]]:
    """Collect what FFmpeg logs in this thread at level INFO and above while the block runs."""
    with _lock:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        messages: list[str] = []
        try:
            with av.logging.Capture() as lines:
                yield messages
            messages += [message for _, _, message in lines]
        finally:
            av.logging.set_level(before)


VARIABLE = "CLEANPLATE_MAX_PIXELS"
"""Environment variable that raises the limit of pixels."""
MOST_PIXELS = 1 << 26
"""8192x8192: twice an 8K frame."""
LONGEST_SIDE = 32_766
"""Limit of OpenCV, which warps and rotates pictures with 16-bit coordinates."""


def most_pixels() -> int:
    """Return the maximum pixels of a frame or image; InputError if VARIABLE is not a number."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return MOST_PIXELS
    if not (text.isascii() and text.isdecimal() and 0 < len(text) <= 12):
        raise InputError(f"{VARIABLE} is '{text}'; set it to a number of pixels, such as 200000000")
    return int(text)


def most_bytes() -> int:
    """Return the maximum size of an image file in bytes: that of its uncompressed pixels."""
    return 16 * most_pixels() + (1 << 20)


def check_pixels(size: Size, what: str, error: type[InputError] = VideoError) -> None:
    """Raise `error` if a frame or image of `size`, called `what`, is larger than allowed."""
    count, most = size.width * size.height, most_pixels()
    if count > most:
        raise error(
            f"{what} is {size}, {count / 1e6:.0f} million pixels, and {most / 1e6:.0f} million are"
            f" taken; if it is to be trusted and memory allows, set {VARIABLE}={count}"
        )
    if max(size.width, size.height) > LONGEST_SIDE:
        raise error(f"{what} is {size}; no side may be longer than {LONGEST_SIDE} pixels")


# Top-level boxes; anything else is foreign data after the movie.
_TOP = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"sidx", b"mfra", b"udta")
_INNER = (b"moov", b"moof", b"trak", b"traf", b"mdia", b"minf", b"stbl", b"mvex", b"udta", b"edts")
_LARGEST = 1 << 28
"""Maximum bytes of a movie's tables; hours of video have some millions."""
_OPTIONAL_FIELDS = 0xF00
"""Flags of a `trun` box, one for each number that it stores per sample."""


@dataclass(frozen=True)
class Atom:
    """Type of a box and the position of its content in the file (or in the tables read from it)."""

    kind: bytes
    start: int
    end: int


def check_claims(path: Path) -> None:
    """Refuse an MP4 file whose tables claim more samples than the file can hold.

    Raises VideoError.
    """
    length = os.path.getsize(path)
    claimed = 0
    with open_file(path) as file:
        for box in list_atoms(file, length):
            if box.kind in (b"moov", b"moof"):
                file.seek(box.start)
                # Bounded: the size of a box is part of what a hostile file may claim.
                tables = file.read(min(box.end, length, box.start + _LARGEST) - box.start)
                claimed += _count(tables, path)
    # Some files hold a table twice. Far more samples than bytes are meant to exhaust memory.
    if claimed > 2 * length + 1024:
        raise VideoError(
            f"'{path}' claims {claimed} pictures and pieces of sound, more than it has bytes; it is"
            " damaged or made to exhaust memory, copy or export it again"
        )


def check_complete(path: Path) -> None:
    """Refuse an MP4 file whose last box exceeds the file; FFmpeg would read the rest silently."""
    length = os.path.getsize(path)
    with open_file(path) as file:
        end = max((box.end for box in list_atoms(file, length)), default=0)
    if end > length:
        raise VideoError(
            f"'{path}' is cut short: {end - length} bytes are missing at its end; copy or export it"
            " again"
        )


def list_atoms(file: BinaryIO, length: int) -> Iterator[Atom]:
    """Yield the boxes of an MP4 file; stop at the first invalid one."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        head = file.read(16)
        size, start = int.from_bytes(head[:4], "big"), at + 8
        # Size 1: the real size follows in 64 bits. Size 0: the box extends to the end.
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), at + 16
        end = at + size if size else length
        if head[4:8] not in _TOP or end < start or start > length:
            return
        yield Atom(head[4:8], start, end)
        at = end


def _count(tables: bytes, path: Path) -> int:
    """Count the samples that the tables claim, in bytes where sample sizes are known."""
    claimed = 0
    for box in _walk(tables):
        if box.kind == b"cmov":
            raise VideoError(
                f"'{path}' has compressed tables, which are not opened; export it again"
            )
        content = tables[box.start : min(box.end, box.start + 20)]
        if box.kind in (b"stsz", b"stz2"):
            size, count = _number(content, 4), _number(content, 8)
            # One size for all samples needs no table, so `count` alone can claim anything: weigh it
            # by that size. An entry takes at least 4 bits: a shorter table contradicts its count.
            one = size if box.kind == b"stsz" and size else 1
            fits = one == size or count <= 2 * (box.end - box.start)
            claimed += count * one if fits else count << 32
        elif box.kind == b"trun":
            # A track run stores 4 bytes per flag and sample; without flags it can claim anything.
            fields = (_number(content, 0) & _OPTIONAL_FIELDS).bit_count()
            count = _number(content, 4)
            claimed += count if 4 * fields * count <= box.end - box.start else count << 32
    return claimed


def _walk(tables: bytes) -> Iterator[Atom]:
    """Yield nested boxes at any depth; clip sizes to the outer box."""
    # A stack instead of recursion: a hostile file may nest boxes arbitrarily deep.
    ends = [Atom(b"", 0, len(tables))]
    while ends:
        outer = ends.pop()
        at = outer.start
        while at + 8 <= outer.end:
            size, kind = _number(tables, at), tables[at + 4 : at + 8]
            start = at + 8
            if size == 1:
                size, start = _number(tables, at + 8) << 32 | _number(tables, at + 12), at + 16
            end = min(at + size, outer.end) if size else outer.end
            if size and end < start:
                break
            yield Atom(kind, start, end)
            if kind in _INNER:
                ends.append(Atom(kind, start, end))
            at = end


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"

# Marker bytes of JPEG frames, which hold the size (not DHT C4, JPG C8, DAC CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# TIFF's tags of width and height: of the image, and of its tiles.
_TIFF_SIDES = ((256, 257), (322, 323))
_TIFF_ENTRIES = 4096
_WEBP_ANIMATION = 2
"""Animation flag in WebP's extended header."""


def measure(data: bytes) -> Size | None:
    """Read the size from a PNG, JPEG, BMP, TIFF or WebP header; None for other data.

    For a TIFF whose tiles are larger than the image, the size of a tile: decoders allocate that.
    The Exif orientation is not applied.
    """
    for starts, read in _READERS.items():
        if data.startswith(starts):
            try:
                return read(data)
            except (struct.error, IndexError):
                return None
    return None


def is_image(data: bytes) -> bool:
    """Whether `data` has the signature of a PNG, JPEG, BMP, TIFF or WebP."""
    if data.startswith(b"RIFF"):
        return data[8:12] == b"WEBP"
    if data.startswith(b"BM"):  # other files begin with two letters, too
        return measure(data) is not None
    return data.startswith(tuple(_READERS))


def is_animated(data: bytes) -> bool:
    """Whether the header `data` is that of an animated PNG or WebP."""
    if data.startswith(PNG):
        return b"acTL" in data.partition(b"IDAT")[0]
    return data[8:16] == b"WEBPVP8X" and bool(data[20] & _WEBP_ANIMATION)


def is_whole_png(data: bytes) -> bool:
    """Whether every chunk up to the last lies within `data`.

    OpenCV allocates the length that a chunk claims, up to 2 GiB, before it reads the chunk.
    """
    at = len(PNG)
    while at + 12 <= len(data):
        name, length = data[at + 4 : at + 8], int.from_bytes(data[at : at + 4], "big")
        at += 12 + length
        if name == b"IEND":
            return at <= len(data)
    return False


def _png(data: bytes) -> Size | None:
    return Size(*struct.unpack_from(">II", data, 16)) if data[12:16] == b"IHDR" else None


def _jpeg(data: bytes) -> Size | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return Size(width, height)
        # Markers without a length: fill bytes, TEM, and the restart and image markers.
        alone = marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7
        at += 1 if marker == 0xFF else 2
        at += 0 if alone else struct.unpack_from(">H", data, at)[0]
    return None


def _bmp(data: bytes) -> Size | None:
    is_old = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if is_old else "<ii", data, 18)
    return Size(abs(width), abs(height))


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if data[8:12] != b"WEBP":
        return None
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return Size(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X" and len(data) >= 30:
        sides = data[24:27], data[27:30]
        return Size(*(int.from_bytes(side, "little") + 1 for side in sides))
    return None


def _tiff(data: bytes) -> Size | None:
    """Read the size of the first page; of repeated tags, the larger value."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (at,) = struct.unpack_from(f"{order}Q" if is_big else f"{order}I", data, 8 if is_big else 4)
    (count,) = struct.unpack_from(f"{order}Q" if is_big else f"{order}H", data, at)
    at, step = at + (8 if is_big else 2), 20 if is_big else 12
    values: dict[int, int] = {}
    for entry in range(at, at + step * min(count, _TIFF_ENTRIES), step):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if kind in (3, 4, 16):
            code = {3: "H", 4: "I", 16: "Q"}[kind]
            (value,) = struct.unpack_from(order + code, data, entry + (12 if is_big else 8))
            values[tag] = max(value, values.get(tag, 0))
    sizes = [Size(values.get(wide, 0), values.get(high, 0)) for wide, high in _TIFF_SIDES]
    if not sizes[0].width or not sizes[0].height:
        return None
    return max(sizes, key=lambda size: size.width * size.height)


_READERS: dict[bytes, Callable[[bytes], Size | None]] = {
    PNG: _png,
    JPEG: _jpeg,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"II+\0": _tiff,
    b"MM\0+": _tiff,
}
