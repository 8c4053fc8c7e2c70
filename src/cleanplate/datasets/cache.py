"""Decoded clips in one file: uint8 frames side by side, so that training never waits for a decoder.

A cache is a folder with `frames.u8` (all frames of all clips, one after the other) and `index.json`
(name, group, first byte, frames, height, width and channels of each clip). It is opened as a memory
map: the system keeps in memory what is used, and several processes share it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.datasets.clip import Clip, Frame, Frames
from cleanplate.errors import CleanplateError, InputError
from cleanplate.files import build_file
from cleanplate.inputs import check_file, parse_json, read_text

_log = logging.getLogger(__name__)
_FRAMES, _INDEX = "frames.u8", "index.json"


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where one clip lies in the cache."""

    name: str
    group: str
    offset: int
    frames: int
    height: int
    width: int
    channels: int = 3

    @property
    def bytes(self) -> int:
        """What it takes."""
        return self.frames * self.height * self.width * self.channels


class CachedClip:
    """One clip of a cache; satisfies `Clip`."""

    def __init__(self, entry: _Entry, pixels: npt.NDArray[np.uint8]) -> None:
        self.name, self.group = entry.name, entry.group
        flat = pixels[entry.offset : entry.offset + entry.bytes]
        self._frames = flat.reshape(entry.frames, entry.height, entry.width, entry.channels)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)` of the frames."""
        return self._frames.shape[1], self._frames.shape[2]

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`, uint8 RGB `(t, h, w, 3)`, or with the fourth channel kept."""
        return np.stack([self._frames[index] for index in indices])


def shrink(frame: Frame, short_side: int) -> Frame:
    """`frame` with a short side of at most `short_side` pixels (area filter, never enlarged)."""
    height, width = frame.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return frame
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))


def build_cache(
    clips: Iterable[Clip],
    folder: Path,
    *,
    short_side: int,
    progress: Callable[[int, int | None], None] | None = None,
) -> int:
    """Decode `clips` into `folder`, one frame in memory at a time; returns the number of clips.

    A clip that cannot be read is logged and left out (`checking` lists such clips beforehand).
    Raises CleanplateError when the disk is full and InputError when no clip could be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with build_file(folder / _FRAMES) as partial:
            with partial.open("wb") as file:
                entries = list(_append_all(file, clips, short_side, progress))
            if not entries:
                raise InputError(
                    f"{folder}: no clip could be read, so there is nothing to train on"
                )
        # Written last: where the index is, the frames are complete.
        with build_file(folder / _INDEX) as partial:
            partial.write_text(json.dumps([asdict(entry) for entry in entries]))
    except OSError as error:
        raise CleanplateError(
            f"{folder}: cannot write the frame cache ({error.strerror}); "
            "free space or name another folder"
        ) from error
    return len(entries)


def _append_all(
    file: BinaryIO,
    clips: Iterable[Clip],
    short_side: int,
    progress: Callable[[int, int | None], None] | None,
) -> Iterator[_Entry]:
    total = len(clips) if isinstance(clips, Sized) else None
    for index, clip in enumerate(clips):
        begin = file.tell()
        try:
            yield _append(file, clip, short_side)
        except InputError as error:
            _log.warning("left out: %s", error)
            file.seek(begin)
            file.truncate()
        if progress is not None:
            progress(index + 1, total)


def _append(file: BinaryIO, clip: Clip, short_side: int) -> _Entry:
    """Write one clip's frames; raises InputError when it cannot be read or has none."""
    begin, count = file.tell(), 0
    shape: tuple[int, ...] | None = None
    for frame in clip:
        small = shrink(frame, short_side)
        shape = shape or small.shape
        if small.shape != shape:
            raise InputError(f"{clip.name}: its frames differ in size; make them equal")
        file.write(np.ascontiguousarray(small).tobytes())
        count += 1
    if shape is None:
        raise InputError(f"{clip.name}: it has no frames")
    return _Entry(clip.name, clip.group, begin, count, *shape)


def is_cache(folder: Path) -> bool:
    """Whether `build_cache` finished in `folder`."""
    return (folder / _INDEX).is_file()


def open_cache(folder: Path) -> list[CachedClip]:
    """The clips of a cache made by `build_cache`; raises InputError when it is none or damaged."""
    try:
        entries = [_Entry(**entry) for entry in parse_json(read_text(folder / _INDEX))]
        check_file(folder / _FRAMES)
        pixels = np.memmap(folder / _FRAMES, np.uint8, mode="r")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder}: no frame cache here ({error}); delete it and build it anew"
        ) from error
    last = entries[-1]
    if last.offset + last.bytes != pixels.size:
        raise InputError(f"{folder}: the frame cache is incomplete; delete it and build it anew")
    return [CachedClip(entry, pixels) for entry in entries]
