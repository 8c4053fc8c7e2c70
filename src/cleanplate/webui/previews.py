"""Pictures for looking at: every frame of a video as a JPEG that any browser shows, by number."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, InputError
from cleanplate.masks import Mask
from cleanplate.types import Size
from cleanplate.video import VideoInfo, open_reader

LONG_SIDE = 1280
_QUALITY = 85

Step = Callable[[int], None]


def choose_size(info: VideoInfo) -> Size:
    """The size of the previews: the displayed one, at most LONG_SIDE long."""
    size = info.display_size
    share = min(1.0, LONG_SIDE / max(size.width, size.height))
    return Size(max(round(size.width * share), 1), max(round(size.height * share), 1))


def write_previews(info: VideoInfo, folder: Path, step: Step, most: int) -> list[Fraction]:
    """Write all frames of a video as `folder/INDEX.jpg`, upright; returns their times in seconds.

    `step` is called with the number of frames done. Raises InputError beyond `most` frames,
    DecodeError when the video breaks, EncodeError when the disk is full.
    """
    folder.mkdir()
    size = choose_size(info)
    times: list[Fraction] = []
    with open_reader(info.path, info) as reader:
        for picture in reader:
            if picture.index >= most:
                raise InputError(f"the video has more than {most} frames; cut it into parts")
            times.append(picture.time)
            upright = np.rot90(picture.rgb, -(info.rotation // 90))
            write_jpeg(folder / name_frame(picture.index, "jpg"), upright, size)
            step(len(times))
    return times


def name_frame(index: int, suffix: str) -> str:
    """The file name of frame `index`."""
    return f"{index:06d}.{suffix}"


def write_jpeg(path: Path, rgb: npt.NDArray[np.uint8], size: Size) -> None:
    """Write `rgb` (h, w, 3), shrunk to `size`."""
    small = cv2.resize(rgb, (size.width, size.height), interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    write_file(path, cv2.imencode(".jpg", small[..., ::-1], quality)[1].tobytes())


def write_mask(path: Path, mask: Mask) -> None:
    """Write a mask (h, w) as a PNG of 0 and 255."""
    write_file(path, encode_mask(mask))


def encode_mask(mask: Mask) -> bytes:
    """A mask (h, w) as a PNG of 0 and 255."""
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file or none; raises EncodeError when the disk is full."""
    partial = path.with_name(f".{path.name}")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise EncodeError(
            f"a file could not be written: {error.strerror}; free some disk space"
        ) from None
