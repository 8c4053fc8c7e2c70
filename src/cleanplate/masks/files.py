"""Masks from files: one image, a folder of images, a video, or hand-edited frames."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError, VideoError, name_count
from cleanplate.masks.source import (
    SAMPLES,
    Inverted,
    Mask,
    MaskSource,
    check_size,
    describe_doubts,
    describe_scaling,
    spread,
    turn_to_coded,
)
from cleanplate.storage.paths import check_local, read_file
from cleanplate.types import Size
from cleanplate.video import (
    Timeline,
    VideoInfo,
    open_reader,
    probe,
    read_timeline,
    sample_pictures,
    turn_upright,
)
from cleanplate.video.headers import check_pixels, is_whole_png, measure, most_bytes
from cleanplate.video.images import SUFFIXES, list_images

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_PALETTE_COLOURS = 3


def read_size(path: Path) -> Size:
    """Read the size of the image in `path`; of PNG and JPEG from the header, without decoding.

    Raises MaskError if the file is missing, truncated or no image.
    """
    data = _read_whole(path)
    if data.startswith(_PNG):
        return Size(*struct.unpack(">II", data[16:24]))
    if data.startswith(_JPEG):
        return _scan_jpeg(data, path)[0]
    height, width = _decode(data, path).shape[:2]
    return Size(width, height)


def read_marked(path: Path, threshold: int = 127) -> npt.NDArray[np.bool_]:
    """Read the marked pixels of an image, bool `(h, w)`.

    - A palette image whose index 0 is black and that has colours, such as DAVIS annotations:
      every other index, however dark its colour.
    - An image with a transparent part: where alpha is above `threshold`, whatever the colour.
    - All others: where any channel is above `threshold` (0..255; 16-bit images are scaled).

    Raises MaskError if the file is missing, truncated or no image.
    """
    return np.asarray(read_values(path) > threshold)


def read_values(path: Path) -> npt.NDArray[np.uint8]:
    """Read the values, `(h, w)`, 0..255, that `read_marked` thresholds; labels are 255."""
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
    """Read the file; refuse truncated PNG and JPEG."""
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
    """Scale 16-bit and float images to 0..255."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    if pixels.dtype == np.uint16:
        wide = pixels.astype(np.uint16)
        return np.asarray(np.maximum(wide >> 8, wide > 0), np.uint8)  # labels stay above 0
    return np.asarray(np.clip(np.nan_to_num(pixels.astype(np.float32)), 0, 1) * 255, np.uint8)


def _scan_jpeg(data: bytes, path: Path) -> tuple[Size, int]:
    """Read the size from the frame header (ITU-T T.81, B.2.2), and find the first scan."""
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
    """Find the start and length of the contents of a PNG's first chunk called `name`."""
    at = len(_PNG)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == name:
            return at + 8, length
        at += 12 + length
    return None


def _has_labels(data: bytes) -> bool:
    """Whether a palette PNG holds labels: index 0 is black and another index has a hue."""
    if not data.startswith(_PNG) or data[25] != _PALETTE_COLOURS:
        return False
    place = _chunk(data, b"PLTE")
    if place is None or place[1] % 3 or not place[1]:
        return False
    palette = np.frombuffer(data, np.uint8, place[1], place[0]).reshape(-1, 3)
    return not palette[0].any() and bool(np.ptp(palette, axis=1).any())


def _with_white_labels(data: bytes) -> bytes:
    """Make index 0 of a palette PNG black and all others white: decoders return only colours."""
    place = _chunk(data, b"PLTE")
    if place is None:
        raise ValueError("a palette image without a palette")
    start, length = place
    palette = b"PLTE" + bytes(3) + b"\xff" * (length - 3)
    checksum = struct.pack(">I", zlib.crc32(palette))
    return data[: start - 4] + palette + checksum + data[start + length + 4 :]


_ROUNDING = Fraction(1, 1000)
"""Precision of timestamps in containers, in seconds."""
_SAME_RATE = Fraction(1, 100)
"""Relative difference of two rates that needs no note: 24 and 23.976, but not 25 and 29.97."""


class VideoMask:
    """Mask video with one frame per frame of the video.

    Two videos with the same number of frames are matched frame by frame, whatever rates their
    headers claim. Another number is refused, unless a frame rate is variable (an editor may have
    written a phone's clip at a constant rate). Then both must have the same length to within a
    frame, and each frame takes the mask frame with the nearest timestamp, counted from the first
    of each, at most half a frame away. All of this is checked before the first frame is read.
    """

    def __init__(self, path: Path | str, threshold: int = 127) -> None:
        self._path, self._threshold = Path(path), threshold
        self._files = ExitStack()

    def prepare(self, info: VideoInfo) -> None:
        """Compare sizes, frame counts and times, and open the mask video."""
        self.close()
        try:
            self._mine = probe(self._path)
        except VideoError as error:
            raise MaskError(f"mask is neither image nor video: {error}") from error
        self._info = info
        check_size(self._mine.display_size, info, str(self._path))
        self._timeline = None
        if self._mine.frame_count != info.frame_count:
            if not (info.is_variable_rate or self._mine.is_variable_rate):
                raise self._mismatched(
                    "export one mask frame for each frame of the video, or give one image for all"
                )
            self._timeline = self._match_times()
        self._upcoming = self._read()
        self._number, self._hole = -1, np.zeros((0, 0), np.bool_)

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask of frame `index` at `time`, bool `(h, w)`."""
        wanted = index
        if self._timeline is not None:
            wanted = self._timeline.find_nearest(time - self._info.first + self._timeline[0])
        while self._number < wanted:
            hole = next(self._upcoming, None)
            if hole is None:
                raise self._mismatched(f"it breaks off after frame {self._number}; write it again")
            self._number, self._hole = self._number + 1, hole
        return self._hole.copy()

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """List doubts about the mask video: its rate, size and sampled frames."""
        mine, info, name = self._mine, self._info, str(self._path)
        samples = (rgb.max(axis=2) for rgb in sample_pictures(mine, SAMPLES))
        notes = describe_scaling(mine.display_size, info, name)
        if self._timeline is not None:
            notes.append(
                f"mask {name} has {name_count(mine.frame_count, 'frame')} and the video"
                f" {info.frame_count}, at a"
                " variable rate: they are matched by time"
            )
        elif abs(mine.rate / info.rate - 1) > _SAME_RATE:
            notes.append(
                f"mask {name} has as many frames as the video at another rate, {_rate(mine)} and"
                f" not {_rate(info)} a second: they are matched one by one"
            )
        return [*notes, *describe_doubts(name, samples, self._threshold, inverted=inverted)]

    def paths(self) -> list[Path]:
        """The mask video."""
        return [self._path]

    def close(self) -> None:
        """Close the mask video."""
        self._files.close()

    def _match_times(self) -> Timeline:
        """Read the mask's timeline; raise MaskError if a frame of the video has no mask frame."""
        mine, info = self._mine, self._info
        longest = max(1 / mine.rate, 1 / info.rate) + _ROUNDING
        if abs(_length(mine) - _length(info)) > longest:
            raise self._mismatched("export the mask with the video's length and frame times")
        masks, frames = read_timeline(mine), read_timeline(info)
        most = min(1 / mine.rate, 1 / info.rate) / 2 + _ROUNDING
        for index in range(len(frames)):
            time = frames[index] - frames[0]
            nearest = masks[masks.find_nearest(time + masks[0])] - masks[0]
            if abs(nearest - time) > most:
                raise self._mismatched(
                    f"frame {index} at {float(time):.3f} s has no mask frame nearer than"
                    f" {float(nearest):.3f} s; export the mask with the video's frame times"
                )
        return masks

    def _read(self) -> Iterator[Mask]:
        """Decode the mask video, in the coded orientation of the video it belongs to."""
        reader = self._files.enter_context(open_reader(self._path))
        for picture in reader:
            marked = np.asarray((picture.rgb > self._threshold).any(axis=2))
            shown = turn_upright(marked, self._mine)
            yield turn_to_coded(shown, self._info)

    def _mismatched(self, remedy: str) -> MaskError:
        """Format a message with both frame counts, lengths and rates, and the remedy."""
        mine, info = self._mine, self._info
        return MaskError(
            f"mask {self._path} has {name_count(mine.frame_count, 'frame')} in"
            f" {float(_length(mine)):.3g} s"
            f" ({_rate(mine)} a second) but the video has {info.frame_count} in"
            f" {float(_length(info)):.3g} s ({_rate(info)}); {remedy}"
        )


def _rate(info: VideoInfo) -> str:
    return f"{float(info.rate):.5g}" + (" on average" if info.is_variable_rate else "")


def _length(info: VideoInfo) -> Fraction:
    """Compute the duration of `info` in seconds."""
    return info.frame_count / info.rate if info.duration is None else info.duration


def open_mask(path: Path | str, *, threshold: int = 127, invert: bool = False) -> MaskSource:
    """Open the mask source for `path`: a folder of images, an image, or else a video.

    A pixel is marked where its value is above `threshold` (0..255; see `read_marked` for labels
    and alpha). Raises MaskError if nothing is there.
    """
    path = Path(path)
    source: MaskSource
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        check_local(path, MaskError, "mask ")
        raise MaskError(f"mask {path} does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: the name is invalid for a file
        reason = getattr(error, "strerror", None) or error
        raise MaskError(f"mask {path} cannot be read: {reason}") from None
    if is_folder:
        source = FolderMask(path, threshold)
    elif path.suffix.lower() in SUFFIXES:
        source = ImageMask(path, threshold)
    else:
        source = VideoMask(path, threshold)
    return Inverted(source) if invert else source


class ImageMask:
    """One image for all frames."""

    def __init__(self, path: Path | str, threshold: int = 127) -> None:
        self._path, self._threshold = Path(path), threshold

    def prepare(self, info: VideoInfo) -> None:
        """Read the image and check its size against the video's.

        An image that is completely black marks nothing and is accepted. One whose values all lie
        below the threshold is most likely a mistake, and is refused.
        """
        self._info, self._size = info, read_size(self._path)
        check_size(self._size, info, str(self._path))
        marked = read_marked(self._path, self._threshold)
        if not marked.any() and read_marked(self._path, 0).any():
            raise _too_dark(self._path, self._threshold)
        self._hole = turn_to_coded(marked, info)

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the marked pixels, the same in every frame."""
        return self._hole.copy()

    def still(self) -> Mask:
        """Return the marked pixels."""
        return self._hole

    def paths(self) -> list[Path]:
        """The image."""
        return [self._path]

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """List doubts about the image."""
        name = str(self._path)
        return [
            *describe_scaling(self._size, self._info, name),
            *describe_doubts(name, [read_values(self._path)], self._threshold, inverted=inverted),
        ]

    def close(self) -> None:
        """Do nothing; no file is open."""


class FolderMask:
    """One image per frame, in natural order of names (`2.png` before `10.png`).

    Black images mark nothing. If the values of all images lie below the threshold, such as labels
    0 and 1, this is most likely a mistake, and is refused at the last frame.
    """

    def __init__(self, folder: Path | str, threshold: int = 127) -> None:
        self._folder, self._threshold = Path(folder), threshold
        self._paths: tuple[Path, ...] = ()
        self._empty, self._is_dark = 0, False

    def prepare(self, info: VideoInfo) -> None:
        """Check the number of images and the size of each against the video."""
        self._info, self._paths = info, _list(self._folder)
        self._empty, self._is_dark = 0, False
        if len(self._paths) != info.frame_count:
            raise MaskError(
                f"{self._folder} holds {name_count(len(self._paths), 'mask')} but the video has"
                f" {name_count(info.frame_count, 'frame')}; give one mask per frame, or one"
                " image for all"
            )
        sizes = {}
        for path in self._paths:
            size = read_size(path)
            check_size(size, info, str(path))
            sizes[size] = path
        self._size = size
        if len(sizes) > 1:
            raise MaskError(
                f"masks in {self._folder} differ in size: "
                + " and ".join(f"{path.name} is {size}" for size, path in sizes.items())
            )

    def mask(self, index: int, time: Fraction) -> Mask:
        """Read the mask in image number `index`."""
        if index >= len(self._paths):
            raise MaskError(
                f"{self._folder} holds {name_count(len(self._paths), 'mask')} but the video"
                f" continues to frame {index + 1}; give one mask per frame"
            )
        marked = read_marked(self._paths[index], self._threshold)
        if marked.shape != self._size.shape:
            raise MaskError(f"mask {self._paths[index]} changed its size while it was in use")
        self._look_for_marks(index, marked)
        return turn_to_coded(marked, self._info)

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """List doubts about sampled images."""
        name = str(self._folder)
        samples = (read_values(self._paths[number]) for number in spread(len(self._paths)))
        return [
            *describe_scaling(self._size, self._info, name),
            *describe_doubts(name, samples, self._threshold, inverted=inverted),
        ]

    def _look_for_marks(self, index: int, marked: Mask) -> None:
        """Refuse a completely read folder that marks nothing but has values above 0."""
        self._empty += not marked.any()
        if self._empty <= index:
            return
        self._is_dark = self._is_dark or bool(read_marked(self._paths[index], 0).any())
        if self._is_dark and self._empty == len(self._paths):
            raise _too_dark(self._folder, self._threshold)

    def paths(self) -> list[Path]:
        """The folder."""
        return [self._folder]

    def close(self) -> None:
        """Do nothing; no file is open."""


def _too_dark(path: Path, threshold: int) -> MaskError:
    return MaskError(
        f"mask {path} marks nothing above the threshold {threshold};"
        " mark the hole in white, or lower `mask_threshold`"
    )


def _list(folder: Path) -> tuple[Path, ...]:
    """List the folder's images in natural order."""
    try:
        return list_images(folder)
    except VideoError as error:
        raise MaskError(f"mask {error}") from error


def read_corrections(folder: str | PathLike[str], info: VideoInfo) -> dict[int, Mask]:
    """Read frame number → mask, bool `(h, w)`, from images named as by `record_masks`.

    A name is the frame's number from 0 (`00042.png`), or for a folder of images the name of the
    image. Raises MaskError if there are none or a name belongs to no frame of the video.
    """
    numbers = {file.stem: number for number, file in enumerate(info.files)}
    try:
        files = list_images(Path(folder))
    except VideoError as error:
        raise MaskError(f"corrections: {error}") from None
    corrections: dict[int, Mask] = {}
    for file in files:
        number = numbers.get(file.stem, int(file.stem) if file.stem.isdecimal() else -1)
        if not 0 <= number < info.frame_count:
            raise MaskError(
                f"correction {file} belongs to no frame; name it by the frame's number, from"
                f" 00000 to {info.frame_count - 1:05d}"
            )
        corrections[number] = read_marked(file)
    return corrections
