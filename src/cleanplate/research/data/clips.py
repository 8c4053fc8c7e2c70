"""Clips to train on: video files, folders and zips of images, noise."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import video
from cleanplate.errors import CleanplateError, InputError
from cleanplate.storage.inputs import open_file
from cleanplate.video.headers import check_pixels, measure
from cleanplate.video.images import list_images, natural_key, read_image

Frame = npt.NDArray[np.uint8]
"""uint8 RGB `(h, w, 3)`."""
Frames = npt.NDArray[np.uint8]
"""uint8 RGB `(t, h, w, 3)`."""


class Clip(Protocol):
    """A run of frames of one size."""

    @property
    def name(self) -> str:
        """Unique in its data set."""

    @property
    def group(self) -> str:
        """Clips of one group show the same source and must not be split between train and test."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]:
        """All frames in order, one in memory at a time; raises InputError as `read` does."""

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`; raises InputError that names an unreadable file."""


_LARGEST_ENTRY = 1 << 29
"""Bytes that an image in a zip may unpack to."""
_PIECE = re.compile(r"_\d+$")


class VideoClip:
    """A video file; `SOURCE_PIECE.mp4` belongs to the group SOURCE. Read from its start."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.stem
        self.group = _PIECE.sub("", path.stem)
        self._info: video.VideoInfo | None = None

    def __len__(self) -> int:
        self._info = self._info or video.probe(self.path)
        return self._info.frame_count

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`; raises InputError that names the file."""
        wanted, last = set(indices), max(indices, default=-1)
        found = {}
        for index, frame in enumerate(self):
            if index in wanted:
                found[index] = frame
            if index >= last:
                break
        return _stack(self.path, found, indices)

    def __iter__(self) -> Iterator[Frame]:
        try:
            with video.open_reader(self.path) as pictures:
                for picture in pictures:
                    yield picture.rgb
        except CleanplateError as error:
            raise InputError(str(error)) from error


class FolderClip:
    """A folder of images in natural order, as DAVIS and YouTube-VOS are published."""

    def __init__(self, folder: Path) -> None:
        self.path, self.name, self.group = folder, folder.name, folder.name
        self._files: tuple[Path, ...] | None = None

    def __len__(self) -> int:
        return len(self._list())

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`; raises InputError that names the file."""
        files = self._list()
        return _stack(self.path, {index: read_image(files[index]) for index in indices}, indices)

    def __iter__(self) -> Iterator[Frame]:
        return map(read_image, self._list())

    def _list(self) -> tuple[Path, ...]:
        if self._files is None:
            self._files = list_images(self.path)
        return self._files


class ZipClip:
    """A zip of images, one video each, as the released STTN's trainer keeps its data."""

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.group = path, path.stem, path.stem
        self._names: list[str] | None = None

    def __len__(self) -> int:
        return len(self._list())

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`; raises InputError that names the file."""
        names = self._list()
        with self._open() as archive:
            found = {index: self._decode(archive, names[index]) for index in indices}
        return _stack(self.path, found, indices)

    def __iter__(self) -> Iterator[Frame]:
        with self._open() as archive:
            for name in self._list():
                yield self._decode(archive, name)

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with open_file(self.path) as file, zipfile.ZipFile(file) as archive:
                yield archive
        # RuntimeError: encrypted, or packed in a way that Python does not know.
        except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, zlib.error) as error:
            raise InputError(f"{self.path}: the zip is damaged ({error}); get it again") from error

    def _decode(self, archive: zipfile.ZipFile, name: str) -> Frame:
        data = archive.read(name) if archive.getinfo(name).file_size <= _LARGEST_ENTRY else b""
        size = measure(data)
        if size is not None:
            check_pixels(size, f"{self.path}: {name}")
        encoded = np.frombuffer(data, np.uint8)
        picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if size is not None else None
        if picture is None:
            raise InputError(f"{self.path}: {name} is no readable image; get the zip again")
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)

    def _list(self) -> list[str]:
        if self._names is None:
            with self._open() as archive:
                self._names = sorted(filter(_is_frame, archive.namelist()), key=natural_key)
        return self._names


def _is_frame(name: str) -> bool:
    """Whether a zip's entry is a frame; macOS adds hidden files beside the real ones."""
    path = PurePosixPath(name)
    hidden = path.name.startswith(".") or path.parts[:1] == ("__MACOSX",)
    return path.suffix.lower() in (".jpg", ".jpeg", ".png") and not hidden


def _stack(path: Path, found: dict[int, Frame], indices: Sequence[int]) -> Frames:
    missing = [index for index in indices if index not in found]
    if missing:
        raise InputError(
            f"{path}: frame {missing[0]} cannot be read; leave the clip out or get it again"
        )
    sizes = {found[index].shape for index in indices}
    if len(sizes) > 1:
        raise InputError(
            f"{path}: its frames differ in size; make them equal or leave the clip out"
        )
    return np.stack([found[index] for index in indices])


class NoiseClip:
    """Smooth coloured noise that glides; satisfies `Clip` and takes no disk."""

    def __init__(self, name: str, seed: int, length: int, size: tuple[int, int]) -> None:
        self.name = self.group = name
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (9, 16, 3), np.uint8)
        height, width = size
        wide = cv2.resize(coarse, (width + 2 * length, height), interpolation=cv2.INTER_CUBIC)
        self._frames = np.stack([wide[:, 2 * k : 2 * k + width] for k in range(length)])

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`, uint8 RGB `(t, h, w, 3)`."""
        return np.asarray(self._frames[list(indices)])


def make_clips(
    count: int = 8, length: int = 48, size: tuple[int, int] = (256, 448)
) -> list[NoiseClip]:
    """`count` clips of `length` frames of `size` (height, width)."""
    return [NoiseClip(f"noise {seed}", seed, length, size) for seed in range(count)]
