"""Clips as folders, archives or videos, the layouts of known data sets, and photographs."""

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

from cleanplate.errors import CleanplateError, InputError
from cleanplate.storage.paths import open_file, parse_json, read_text, split_lines
from cleanplate.video import VideoInfo, open_reader, probe
from cleanplate.video.headers import check_pixels, measure
from cleanplate.video.images import SUFFIXES, list_images, natural_key, read_image

Frame = npt.NDArray[np.uint8]
"""uint8 RGB `(h, w, 3)`."""
Frames = npt.NDArray[np.uint8]
"""uint8 RGB `(t, h, w, 3)`."""


class Clip(Protocol):
    """Sequence of frames of one size."""

    @property
    def name(self) -> str:
        """Name, unique in its data set."""

    @property
    def group(self) -> str:
        """Clips of one group have the same source and must not be split between train and test."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over all frames in order, one in memory at a time; raise InputError as `read`."""

    def read(self, indices: Sequence[int]) -> Frames:
        """Read the frames at `indices`; raise InputError that names an unreadable file."""


_LARGEST_ENTRY = 1 << 29
"""Maximum unpacked size of an image in a zip, in bytes."""
_PIECE = re.compile(r"_\d+$")


class VideoClip:
    """Video file; `SOURCE_PIECE.mp4` belongs to the group SOURCE. It is read from the start."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.stem
        self.group = _PIECE.sub("", path.stem)
        self._info: VideoInfo | None = None

    def __len__(self) -> int:
        self._info = self._info or probe(self.path)
        return self._info.frame_count

    def read(self, indices: Sequence[int]) -> Frames:
        """Read the frames at `indices`; raise InputError that names the file."""
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
            with open_reader(self.path) as pictures:
                for picture in pictures:
                    yield picture.rgb
        except CleanplateError as error:
            raise InputError(str(error)) from error


class FolderClip:
    """Folder of images in natural order, as in DAVIS and YouTube-VOS."""

    def __init__(self, folder: Path) -> None:
        self.path, self.name, self.group = folder, folder.name, folder.name
        self._files: tuple[Path, ...] | None = None

    def __len__(self) -> int:
        return len(self._list())

    def read(self, indices: Sequence[int]) -> Frames:
        """Read the frames at `indices`; raise InputError that names the file."""
        files = self._list()
        return _stack(self.path, {index: read_image(files[index]) for index in indices}, indices)

    def __iter__(self) -> Iterator[Frame]:
        return map(read_image, self._list())

    def _list(self) -> tuple[Path, ...]:
        if self._files is None:
            self._files = list_images(self.path)
        return self._files


class ZipClip:
    """Zip of the images of one video, as for the released STTN's trainer."""

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.group = path, path.stem, path.stem
        self._names: list[str] | None = None

    def __len__(self) -> int:
        return len(self._list())

    def read(self, indices: Sequence[int]) -> Frames:
        """Read the frames at `indices`; raise InputError that names the file."""
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
        # RuntimeError: encrypted, or compressed by a method that Python does not support.
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
    """Whether a zip entry is a frame; macOS adds hidden files."""
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
    """Smooth coloured noise that moves; implements `Clip` without files."""

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
        """Render the frames at `indices`, uint8 RGB `(t, h, w, 3)`."""
        return np.asarray(self._frames[list(indices)])


def make_clips(
    count: int = 8, length: int = 48, size: tuple[int, int] = (256, 448)
) -> list[NoiseClip]:
    """Make `count` clips of `length` frames of `size` (height, width)."""
    return [NoiseClip(f"noise {seed}", seed, length, size) for seed in range(count)]


_VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
FileClip = FolderClip | VideoClip | ZipClip
_SHOWN = 5
"""Maximum number of names in a message."""


def open_clips(root: Path, split: str | None = None) -> list[FileClip]:
    """List the clips of a data set in order of their names, without reading frames.

    `split` is the name of a split such as `train`; None takes everything. Raises InputError if
    there is no clip, no such split, or a split names a missing clip.
    """
    try:
        if not root.is_dir():
            what = "is a file" if root.exists() else "is not there"
            raise InputError(f"{root} {what}; give the data set's root, a folder")
        within = root / split if split and (root / split / "JPEGImages").is_dir() else root
        found = _find(within)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
    if not found:
        raise InputError(_describe_strange(root))
    if split is None or within != root:
        return found
    return _choose(found, *_read_split(root, split))


def find_empty(root: Path) -> list[Path]:
    """List folders next to the clips without images, such as an incomplete copy."""
    folders = [path for path in sorted(_descend(root).iterdir()) if path.is_dir()]
    return [
        folder
        for folder in folders
        if not folder.name.startswith(".") and not any(map(_is_image, folder.iterdir()))
    ]


def _descend(root: Path) -> Path:
    """Find the folder that holds the clips."""
    for inner in ("JPEGImages", "480p", "Full-Resolution"):
        root = root / inner if (root / inner).is_dir() else root
    return root


def _find(root: Path) -> list[FileClip]:
    clips: list[FileClip] = []
    for path in sorted(_descend(root).iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and any(_is_image(inner) for inner in path.iterdir()):
            clips.append(FolderClip(path))
        elif path.suffix.lower() == ".zip":
            clips.append(ZipClip(path))
        elif path.suffix.lower() in _VIDEOS:
            clips.append(VideoClip(path))
    return clips


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _describe_strange(root: Path) -> str:
    """Explain why `root` has no clips."""
    if any(_is_image(path) for path in root.iterdir()):
        return (
            f"{root}: the images lie in it directly; a clip is a folder of images, so give the "
            "folder above, or `photographs` for single pictures"
        )
    return f"{root}: neither videos nor folders or zips of images; give the data set's root"


def _read_split(root: Path, split: str) -> tuple[Path, list[str]]:
    candidates = [
        root / f"{split}.json",
        root / f"{split}.txt",
        root / "ImageSets" / "2017" / f"{split}.txt",
        root / "ImageSets" / "480p" / f"{split}.txt",
    ]
    file = next((path for path in candidates if path.is_file()), None)
    if file is None:
        raise InputError(
            f"{root}: no split '{split}'; expected {candidates[0].name} or {candidates[1].name}"
        )
    try:
        text = read_text(file)
        names = list(parse_json(text)) if file.suffix == ".json" else split_lines(text)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{file}: not a split file ({error}); one name a line, or JSON by name"
        ) from error
    return file, list(dict.fromkeys(filter(None, map(_name_clip, names))))


def _name_clip(line: object) -> str:
    """Parse the clip's name in a line of a split; DAVIS 2016 lists frames and their masks."""
    words = str(line).split()
    return Path(words[0]).parent.name if words and "/" in words[0] else str(line).strip()


def _choose(found: Sequence[FileClip], file: Path, names: Sequence[str]) -> list[FileClip]:
    by_name = {clip.name: clip for clip in found}
    missing = [name for name in names if name not in by_name]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(
            f"{file}: not in the data set: {', '.join(missing[:_SHOWN])}{more}; correct the split "
            "or get the missing clips"
        )
    if not names:
        raise InputError(f"{file}: the split is empty; correct it")
    return [by_name[name] for name in names]


def hold_out(clips: Sequence[Clip], count: int) -> tuple[list[Clip], list[Clip]]:
    """Split clips into training clips and `count` held-out groups, spread evenly.

    Clips of one group stay together. At most a fifth of the groups is held out, but at least one if
    there are two.
    """
    groups = sorted({clip.group for clip in clips})
    if len(groups) < 2:  # nothing could be trained on
        return list(clips), []
    count = min(count, max(len(groups) // 5, 1))
    step = max(len(groups) // max(count, 1), 2)
    kept = set(groups[step // 2 - 1 :: step][:count]) if count else set()
    return (
        [clip for clip in clips if clip.group not in kept],
        [clip for clip in clips if clip.group in kept],
    )


def list_photographs(folder: Path) -> tuple[Path, ...]:
    """List the images of a folder; raise InputError if there are none."""
    return list_images(folder)


def read_photograph(path: Path, short_side: int = 288) -> Frame:
    """Read a photograph, downscaled to a short side of `short_side`; raise InputError."""
    picture = read_image(path)
    scale = short_side / min(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
