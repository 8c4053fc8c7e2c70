"""Masks from files: one image, a folder of images, or a video."""

from __future__ import annotations

import os
import stat
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from cleanplate.errors import MaskError, VideoError, name_count
from cleanplate.masks.clip import VideoMask
from cleanplate.masks.doubts import describe_doubts, spread
from cleanplate.masks.images import read_marked, read_size, read_values
from cleanplate.masks.source import (
    Inverted,
    Mask,
    MaskSource,
    check_size,
    describe_scaling,
    turn_to_coded,
)
from cleanplate.places import check_local
from cleanplate.video.images import SUFFIXES, list_images

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo


def open_mask(path: Path | str, *, threshold: int = 127, invert: bool = False) -> MaskSource:
    """The mask source for `path`: a folder of images, an image, or else a video.

    A pixel is marked where its value is above `threshold` (0..255; see `read_marked` for labels
    and alpha). Raises MaskError when nothing is there.
    """
    path = Path(path)
    source: MaskSource
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        check_local(path, MaskError, "mask ")
        raise MaskError(f"mask {path} does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
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
        """Read the image; it must have the video's size.

        An image that is black all over marks nothing and is taken as it is; one that only lies
        below the threshold is most likely a mistake, and refused.
        """
        self._info, self._size = info, read_size(self._path)
        check_size(self._size, info, str(self._path))
        marked = read_marked(self._path, self._threshold)
        if not marked.any() and read_marked(self._path, 0).any():
            raise _too_dark(self._path, self._threshold)
        self._hole = turn_to_coded(marked, info)

    def mask(self, index: int, time: Fraction) -> Mask:
        """The image's marks."""
        return self._hole.copy()

    def still(self) -> Mask:
        """The image's marks."""
        return self._hole

    def paths(self) -> list[Path]:
        """The image."""
        return [self._path]

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """What looks wrong about the image."""
        name = str(self._path)
        return [
            *describe_scaling(self._size, self._info, name),
            *describe_doubts(name, [read_values(self._path)], self._threshold, inverted=inverted),
        ]

    def close(self) -> None:
        """Nothing is open."""


class FolderMask:
    """One image for each frame, in natural order of their names (`2.png` before `10.png`).

    Black images mark nothing. That all marks lie below the threshold, such as labels 0 and 1, is
    most likely a mistake, and refused at the last frame.
    """

    def __init__(self, folder: Path | str, threshold: int = 127) -> None:
        self._folder, self._threshold = Path(folder), threshold
        self._paths: tuple[Path, ...] = ()
        self._empty, self._is_dark = 0, False

    def prepare(self, info: VideoInfo) -> None:
        """Compare the number of images and every image's size with the video."""
        self._info, self._paths = info, _list(self._folder)
        self._empty, self._is_dark = 0, False
        if len(self._paths) != info.frame_count:
            raise MaskError(
                f"{self._folder} holds {name_count(len(self._paths), 'mask')} but the video has"
                f" {name_count(info.frame_count, 'frame')}; give one mask a frame, or one"
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
        """The marks in image number `index`."""
        if index >= len(self._paths):
            raise MaskError(
                f"{self._folder} holds {name_count(len(self._paths), 'mask')} but the video goes on"
                f" to frame {index + 1}; give one mask a frame"
            )
        marked = read_marked(self._paths[index], self._threshold)
        if marked.shape != self._size.shape:
            raise MaskError(f"mask {self._paths[index]} changed its size while it was in use")
        self._look_for_marks(index, marked)
        return turn_to_coded(marked, self._info)

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """What looks wrong about some of the images."""
        name = str(self._folder)
        samples = (read_values(self._paths[number]) for number in spread(len(self._paths)))
        return [
            *describe_scaling(self._size, self._info, name),
            *describe_doubts(name, samples, self._threshold, inverted=inverted),
        ]

    def _look_for_marks(self, index: int, marked: Mask) -> None:
        """Refuse the folder when all of it was read, nothing is marked, and something is dark."""
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
        """Nothing is open."""


def _too_dark(path: Path, threshold: int) -> MaskError:
    return MaskError(
        f"mask {path} marks nothing above the threshold {threshold};"
        " mark the hole in white, or lower `mask_threshold`"
    )


def _list(folder: Path) -> tuple[Path, ...]:
    """The folder's images in natural order."""
    try:
        return list_images(folder)
    except VideoError as error:
        raise MaskError(f"mask {error}") from error
