"""Sizes of images, read from their first bytes without decoding: what a decoder would allocate."""

from __future__ import annotations

import struct
from collections.abc import Callable

from cleanplate.types import Size

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"

# Marker bytes of JPEG frames, which hold the size (not DHT C4, JPG C8, DAC CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# TIFF's tags of width and height: of the image, and of the tiles that it is cut into.
_TIFF_SIDES = ((256, 257), (322, 323))
_TIFF_ENTRIES = 4096
_WEBP_ANIMATION = 2
"""A flag of WebP's extended header."""


def measure(data: bytes) -> Size | None:
    """The size that PNG, JPEG, BMP, TIFF or WebP `data` claims; None for anything else.

    Of a TIFF in tiles that are larger than the image, the tile's. Exif turns are not applied.
    """
    for starts, read in _READERS.items():
        if data.startswith(starts):
            try:
                return read(data)
            except (struct.error, IndexError):
                return None
    return None


def is_image(data: bytes) -> bool:
    """Whether `data` begins a PNG, JPEG, BMP, TIFF or WebP; where the size is does not matter."""
    if data.startswith(b"RIFF"):
        return data[8:12] == b"WEBP"
    if data.startswith(b"BM"):  # other files begin with two letters, too
        return measure(data) is not None
    return data.startswith(tuple(_READERS))


def is_animated(data: bytes) -> bool:
    """Whether `data`, up to its first pixels, begins a PNG or WebP of several pictures."""
    if data.startswith(PNG):
        return b"acTL" in data.partition(b"IDAT")[0]
    return data[8:16] == b"WEBPVP8X" and bool(data[20] & _WEBP_ANIMATION)


def is_whole_png(data: bytes) -> bool:
    """Whether every chunk up to the last lies within `data`.

    OpenCV takes memory for what a chunk claims to be long, up to 2 GiB, before it looks further.
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
    """Of the first page; of tags that are there twice, the larger."""
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
