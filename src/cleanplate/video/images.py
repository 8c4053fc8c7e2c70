"""Read and write image sequences, photographs and animated pictures as video."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, VideoError
from cleanplate.storage.paths import open_file, read_file
from cleanplate.types import Size
from cleanplate.video.headers import (
    JPEG,
    PNG,
    check_pixels,
    is_animated,
    is_image,
    is_whole_png,
    measure,
    most_bytes,
)

CONTAINERS = ("gif", "apng")
"""FFmpeg's names of the demuxers of animated pictures."""
FORMATS = ("bgra", "rgba", "rgb24", "pal8", "gray", "ya8", "monob")
"""Pixel formats of their decoders, up to 8 bits."""
_ENDS = {"gif": b";", "apng": b"IEND\xae\x42\x60\x82"}
_WHITE = 255


def check_end(path: Path, container: str) -> None:
    """Raise VideoError if the file's end marker is missing: FFmpeg would play the rest silently."""
    with open_file(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1024))
        end = file.read().rstrip(b"\0\r\n")
    if _ENDS[container] not in (end[-1:], end[-8:]):
        raise VideoError(f"'{path}' is cut short: its end is missing; copy or export it again")


def flatten(frame: Any) -> tuple[npt.NDArray[np.uint8], bool]:
    """Convert a decoded frame to uint8 RGB `(h, w, 3)`; also return whether it has transparency.

    Transparent areas become white, as most pages and viewers show them.
    """
    layers = frame.to_ndarray(format="rgba")  # (h, w, 4)
    rgb, alpha = layers[..., :3], layers[..., 3:].astype(np.uint16)
    if alpha.min() == _WHITE:
        return np.ascontiguousarray(rgb), False
    mixed = rgb * alpha + _WHITE * (_WHITE - alpha) + _WHITE // 2
    return (mixed // _WHITE).astype(np.uint8), True


JPEG_QUALITY = 95
_PNG_DEPTH = 24
"""Byte of a PNG with the bits of a sample."""
_HEAD = 1 << 20
"""Leading bytes of a PNG that contain the marker of an animation."""
JPEG_SUFFIXES = (".jpg", ".jpeg")
_TIFF_SUFFIXES = (".tif", ".tiff")
PICTURES = (".png", *_TIFF_SUFFIXES, *JPEG_SUFFIXES)
"""Suffixes of single pictures that can be written."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def is_photograph(path: Path) -> bool:
    """Whether `path` is a single image: PNG, JPEG, BMP, TIFF or WebP.

    The content decides, not the name. Raises VideoError for an animated WebP.
    """
    try:
        with open_file(path) as file:
            head = file.read(_HEAD)
    except OSError:
        return False  # opening it as a video reports why
    if not is_image(head):
        return False
    if not is_animated(head):
        return True
    if head.startswith(PNG):
        return False
    raise VideoError(
        f"'{path}' is an animated WebP, which cannot be decoded here; convert it to GIF or"
        " MP4 first"
    )


def list_images(folder: Path) -> tuple[Path, ...]:
    """List the folder's images in natural order (`2.png` before `10.png`); skip hidden files.

    Raises VideoError if there are none or the folder cannot be read.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"folder '{folder}' cannot be read: {error.strerror}") from None
    images = [e for e in entries if e.suffix.lower() in SUFFIXES and os.path.isfile(e)]
    if not images:
        raise VideoError(f"folder '{folder}' holds no images; give one with {', '.join(SUFFIXES)}")
    return tuple(sorted(images, key=lambda path: natural_key(path.name)))


_PATTERN = re.compile(r"(?P<before>[^%]*)%(?:0(?P<width>\d+))?d(?P<after>[^%]*)")


def is_sequence(path: Path) -> bool:
    """Whether a path is a name such as `shot_%06d.png`, and not that of a file."""
    return _PATTERN.fullmatch(path.name) is not None and not os.path.lexists(path)


def list_sequence(pattern: Path) -> tuple[Path, ...] | None:
    """List the images that a name such as `shot_%06d.png` stands for, by number.

    None if the name is no such pattern, or is that of a file. Raises VideoError if there are none.
    """
    parts = _PATTERN.fullmatch(pattern.name)
    if parts is None or not is_sequence(pattern):
        return None
    width = int(parts["width"] or 1)
    digits = rf"(\d{{{width}}}|[1-9]\d{{{width},}})"
    wanted = re.compile(re.escape(parts["before"]) + digits + re.escape(parts["after"]))
    folder = pattern.parent
    files = [file for file in list_images(folder) if wanted.fullmatch(file.name)]
    if not files:
        raise VideoError(
            f"folder '{folder}' holds no images named like '{pattern.name}'; give the folder for"
            " all of its images"
        )
    return tuple(files)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Make a sort key that compares runs of digits as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return [_number(part) if part.isdecimal() else (1, 0, part) for part in parts], name


def _number(digits: str) -> tuple[int, int, str]:
    """Sort by length, then by digits: the order of numbers, also of those too long for `int`."""
    bare = digits.lstrip("0")
    return 0, len(bare), bare


_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")
_NAMED_GAPS = 4
"""Gaps that a note names."""


def describe_gaps(folder: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """Note which frame numbers a sequence such as `shot_0001.png` lacks.

    Numbers that rise evenly, such as every second one, have no gaps.
    """
    found = [_NUMBERED.fullmatch(file.name.removesuffix(file.suffix)) for file in files]
    parts = {(one[1], one[3]) for one in found if one is not None}
    if None in found or len(parts) != 1:
        return ()
    numbers = [int(one[2]) for one in found if one is not None]
    steps = np.diff(np.array(numbers, object))
    if not len(steps) or steps.min() < 1 or steps.min() == steps.max():
        return ()
    step = steps.min()
    gaps = [
        f"{number + step} to {number + wide - step}" if wide > 2 * step else f"{number + step}"
        for number, wide in zip(numbers, steps, strict=False)
        if wide > step
    ]
    more = f" and {len(gaps) - _NAMED_GAPS} more" if len(gaps) > _NAMED_GAPS else ""
    return (
        f"frame numbers {', '.join(gaps[:_NAMED_GAPS])}{more} are missing in '{folder.name}'; the"
        " frames beside a gap are taken as neighbours",
    )


def measure_image(path: Path) -> Size:
    """Return the size of the result of `read_samples`."""
    return describe_image(path)[0]


def describe_image(path: Path) -> tuple[Size, int]:
    """Return the size and depth of `read_samples`; of PNG and plain JPEG from the header only."""
    try:
        with open_file(path) as file:
            head = file.read(64 * 1024)
    except OSError as error:
        raise VideoError(f"image '{path}' cannot be read: {error.strerror}") from None
    # Exif data may rotate the picture by 90 degrees.
    turned = b"Exif\0" in head if head.startswith(JPEG) else b"eXIf" in head
    size = measure(head) if head.startswith((PNG, JPEG)) and not turned else None
    if size is not None:
        return size, 16 if head.startswith(PNG) and head[_PNG_DEPTH] == 16 else 8
    pixels = read_samples(path)
    return Size(pixels.shape[1], pixels.shape[0]), 8 * pixels.itemsize


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image of 8 bits as `read_samples` does; raise VideoError for one of 16."""
    pixels = read_samples(path)
    if pixels.dtype != np.uint8:
        raise VideoError(
            f"image '{path}' has more than 8 bits a channel; convert it to 8-bit PNG first"
        )
    return np.asarray(pixels, np.uint8)


def read_samples(path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Read an image as RGB `(h, w, 3)`, rotated by its Exif orientation: uint8, or uint16.

    Grey becomes three equal channels, and an opaque alpha channel is dropped. Raises VideoError
    for real transparency, other depths, damage, or more pixels than `check_pixels` allows.
    """
    try:
        data = read_file(path, most_bytes())
    except OSError as error:
        raise VideoError(f"image '{path}' cannot be read: {error.strerror}") from None
    if _is_cut_short(data):
        raise VideoError(f"image '{path}' is cut short; copy it again")
    encoded = np.frombuffer(data, np.uint8)
    size = measure(data)
    if size is not None:
        check_pixels(size, f"image '{path}'")
    try:
        raw = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if size is not None else None
        colour = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        turned = cv2.imdecode(encoded, colour) if raw is not None else None
    except cv2.error:
        raw = turned = None
    if raw is None or turned is None:
        raise VideoError(f"image '{path}' is damaged or no image; remove it or copy it again")
    if raw.dtype not in (np.uint8, np.uint16) or turned.dtype != raw.dtype:
        raise VideoError(
            f"image '{path}' has samples of the type {raw.dtype}; convert it to 8- or 16-bit PNG"
            " or TIFF first"
        )
    if raw.ndim == 3 and raw.shape[2] == 4 and raw[..., 3].min() < np.iinfo(raw.dtype).max:
        raise VideoError(
            f"image '{path}' is partly transparent; flatten it onto a background first"
        )
    return np.ascontiguousarray(turned[..., ::-1])


def _is_cut_short(data: bytes) -> bool:
    """Whether the end marker is there; decoders fill in the missing end of a picture silently."""
    if data.startswith(PNG):
        return not is_whole_png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return False


def write_png(path: Path, rgb: npt.NDArray[Any]) -> None:
    """Write RGB uint8 or uint16 `(h, w, 3)`, or RGBA, as PNG; raise EncodeError if that fails."""
    _write(path, ".png", rgb, ())


def write_image(path: Path, rgb: npt.NDArray[Any]) -> None:
    """Write as PNG, TIFF or JPEG of high quality, by the suffix; see `write_png`."""
    suffix = path.suffix.lower()
    full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full)
    _write(path, suffix, rgb, options if suffix in JPEG_SUFFIXES else ())


def _write(path: Path, kind: str, rgb: npt.NDArray[Any], options: Sequence[int]) -> None:
    if kind in _TIFF_SUFFIXES and rgb.shape[2] == 4:
        encoded = _encode_tiff(rgb)
    else:
        swapped = np.ascontiguousarray(rgb[..., [2, 1, 0, *range(3, rgb.shape[2])]])
        done, data = cv2.imencode(kind, swapped, options)
        if not done:
            raise EncodeError(f"'{path.name}' could not be encoded as an image")
        encoded = data.tobytes()
    try:
        path.write_bytes(encoded)
    except OSError as error:
        raise EncodeError(
            f"'{path}' could not be written: {error.strerror}; free some space"
        ) from None


def _encode_tiff(rgba: npt.NDArray[Any]) -> bytes:
    """Encode RGBA as TIFF, which says that its alpha is straight; OpenCV's does not."""
    name = "rgba" if rgba.dtype == np.uint8 else "rgba64le"
    context = av.CodecContext.create("tiff", "w")
    context.height, context.width = rgba.shape[:2]
    context.pix_fmt, context.time_base = name, Fraction(1)
    context.options = {"compression_algo": "deflate"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), name)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
