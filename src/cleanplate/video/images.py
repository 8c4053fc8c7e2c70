"""Folders of images: listing, measuring, reading, and pictures as PNG."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, VideoError
from cleanplate.types import Size

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# Marker bytes of JPEG frames, which hold the size (not DHT C4, JPG C8, DAC CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def list_images(folder: Path) -> tuple[Path, ...]:
    """The folder's images in natural order (`2.png` before `10.png`); hidden files are ignored.

    Raises VideoError when there are none or the folder cannot be read.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"folder '{folder}' cannot be read: {error.strerror}") from None
    images = [e for e in entries if e.suffix.lower() in SUFFIXES and e.is_file()]
    if not images:
        raise VideoError(f"folder '{folder}' holds no images; give one with {', '.join(SUFFIXES)}")
    return tuple(sorted(images, key=lambda path: natural_key(path.name)))


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key that compares runs of digits as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    runs = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
    return runs, name


def measure_image(path: Path) -> Size:
    """The size as `read_image` will give it; from the header alone for PNG and plain JPEG."""
    try:
        with path.open("rb") as file:
            head = file.read(64 * 1024)
    except OSError as error:
        raise VideoError(f"image '{path}' cannot be read: {error.strerror}") from None
    size = _measure_png(head) or _measure_jpeg(head)
    if size is not None:
        return size
    height, width = read_image(path).shape[:2]
    return Size(width, height)


def _measure_png(head: bytes) -> Size | None:
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR" or b"eXIf" in head:
        return None
    return Size(int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))


def _measure_jpeg(head: bytes) -> Size | None:
    """None also for a JPEG with Exif data, since that may turn the picture on its side."""
    if head[:3] != b"\xff\xd8\xff" or b"Exif\0" in head:
        return None
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if marker in _JPEG_FRAMES:
            height, width = head[at + 5 : at + 7], head[at + 7 : at + 9]
            return Size(int.from_bytes(width, "big"), int.from_bytes(height, "big"))
        at += 2 + length
    return None


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """One image as RGB uint8 `(h, w, 3)`, turned as its Exif data says.

    Grey becomes three equal channels and an alpha channel is dropped where it is opaque
    everywhere. Raises VideoError for anything else: real transparency, 16 bits, damage.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VideoError(f"image '{path}' cannot be read: {error.strerror}") from None
    if _is_cut_short(data):
        raise VideoError(f"image '{path}' is cut short; copy it again")
    encoded = np.frombuffer(data, np.uint8)
    try:
        raw = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if data else None
        turned = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if raw is not None else None
    except cv2.error:
        raw = turned = None
    if raw is None or turned is None:
        raise VideoError(f"image '{path}' is damaged or no image; remove it or copy it again")
    if raw.dtype != np.uint8:
        raise VideoError(
            f"image '{path}' has more than 8 bits a channel; convert the folder to 8-bit PNG first"
        )
    if raw.ndim == 3 and raw.shape[2] == 4 and raw[..., 3].min() < 255:
        raise VideoError(
            f"image '{path}' is partly transparent; flatten it onto a background first"
        )
    return np.ascontiguousarray(turned[..., ::-1])


def _is_cut_short(data: bytes) -> bool:
    """Decoders fill the missing end of a picture in silently, so its end mark is looked for."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-1024:]
    if data.startswith(b"\xff\xd8\xff"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return False


def write_png(path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    """Write RGB uint8 `(h, w, 3)` as PNG; raises EncodeError when the disk does not take it."""
    done, data = cv2.imencode(".png", rgb[..., ::-1])
    if not done:
        raise EncodeError(f"'{path.name}' could not be encoded as PNG")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise EncodeError(
            f"'{path}' could not be written: {error.strerror}; free some space"
        ) from None
