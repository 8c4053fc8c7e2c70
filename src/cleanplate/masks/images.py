"""Mask images: their size from the header, and which of their pixels are marked."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError
from cleanplate.inputs import read_file
from cleanplate.types import Size
from cleanplate.video.headers import is_whole_png, measure
from cleanplate.video.limits import check_pixels, most_bytes

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_PALETTE_COLOURS = 3


def read_size(path: Path) -> Size:
    """Size of the image in `path`, of PNG and JPEG from the header without decoding.

    Raises MaskError when the file is missing, half-written or no image.
    """
    data = _read_whole(path)
    if data.startswith(_PNG):
        return Size(*struct.unpack(">II", data[16:24]))
    if data.startswith(_JPEG):
        return _scan_jpeg(data, path)[0]
    height, width = _decode(data, path).shape[:2]
    return Size(width, height)


def read_marked(path: Path, threshold: int = 127) -> npt.NDArray[np.bool_]:
    """Pixels that the image marks, bool `(h, w)`.

    - A palette image whose index 0 is black and that has colours, such as DAVIS annotations:
      every other index, however dark its colour.
    - An image with a see-through part: where alpha is above `threshold`, whatever the paint.
    - All others: where any channel is above `threshold` (0..255; 16-bit images are scaled).

    Raises MaskError when the file is missing, half-written or no image.
    """
    return np.asarray(read_values(path) > threshold)


def read_values(path: Path) -> npt.NDArray[np.uint8]:
    """What `read_marked` compares with its threshold, `(h, w)`, 0..255; labels are 255."""
    data = _read_whole(path)
    if _has_labels(data):
        labels = _decode(_with_white_labels(data), path)[..., :3].any(axis=2)
        return np.asarray(labels, np.uint8) * np.uint8(255)
    pixels = _to_uint8(_decode(data, path))
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3]
        pixels = pixels[..., :3] if alpha.min() == 255 else alpha[..., None]
    return np.asarray(pixels.max(axis=2))


def _read_whole(path: Path) -> bytes:
    """The file's bytes; PNG and JPEG are refused when their end is missing."""
    try:
        data = read_file(path, most_bytes())
    except OSError as error:
        raise MaskError(f"cannot read mask {path}: {error.strerror or error}") from error
    if data.startswith(_PNG):
        if not is_whole_png(data):
            raise MaskError(f"mask {path} is half-written: its end is missing; write it again")
    elif data.startswith(_JPEG):
        scan = _scan_jpeg(data, path)[1]
        if data.find(b"\xff\xd9", scan) < 0:
            raise MaskError(f"mask {path} is half-written: its end is missing; write it again")
    return data


def _decode(data: bytes, path: Path) -> npt.NDArray[np.generic]:
    """Decode with all channels, `(h, w)` or `(h, w, 3 or 4)`."""
    size = measure(data)
    if size is not None:
        check_pixels(size, f"mask {path}", MaskError)
    try:
        encoded = np.frombuffer(data, np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if size is not None else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise MaskError(f"mask {path} is no image that can be read, or is damaged")
    return np.asarray(pixels)


def _to_uint8(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Bring 16-bit and float images to 0..255."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    if pixels.dtype == np.uint16:
        wide = pixels.astype(np.uint16)
        return np.asarray(np.maximum(wide >> 8, wide > 0), np.uint8)  # labels stay above 0
    return np.asarray(np.clip(np.nan_to_num(pixels.astype(np.float32)), 0, 1) * 255, np.uint8)


def _scan_jpeg(data: bytes, path: Path) -> tuple[Size, int]:
    """Size in the frame header (ITU-T T.81, B.2.2) and where the first scan begins."""
    size, at = None, 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 <= len(data):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            size = Size(width, height)
        if marker == 0xDA and size is not None:
            return size, at
        at += 1 if marker == 0xFF else 2 + length
    raise MaskError(f"mask {path} is a damaged JPEG or half-written; write it again")


def _chunk(data: bytes, name: bytes) -> tuple[int, int] | None:
    """Start and length of the contents of a PNG's first chunk called `name`."""
    at = len(_PNG)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == name:
            return at + 8, length
        at += 12 + length
    return None


def _has_labels(data: bytes) -> bool:
    """True for a palette PNG of labels: index 0 is black and some other index has a hue."""
    if not data.startswith(_PNG) or data[25] != _PALETTE_COLOURS:
        return False
    place = _chunk(data, b"PLTE")
    if place is None or place[1] % 3 or not place[1]:
        return False
    palette = np.frombuffer(data, np.uint8, place[1], place[0]).reshape(-1, 3)
    return not palette[0].any() and bool(np.ptp(palette, axis=1).any())


def _with_white_labels(data: bytes) -> bytes:
    """The palette PNG with index 0 black and all others white: decoders give only colours."""
    place = _chunk(data, b"PLTE")
    if place is None:
        raise ValueError("a palette image without a palette")
    start, length = place
    palette = b"PLTE" + bytes(3) + b"\xff" * (length - 3)
    checksum = struct.pack(">I", zlib.crc32(palette))
    return data[: start - 4] + palette + checksum + data[start + length + 4 :]
