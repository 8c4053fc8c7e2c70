"""Decoded clips in one file: uint8 frames side by side, so that training never waits for a decoder.

A cache is a folder with `frames.u8` (all frames of all clips, one after the other) and `index.json`
(name, group, first byte, frames, height, width of each clip). It is opened as a memory map: the
system keeps in memory what is used, and several processes share it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.datasets.clip import Clip, Frames
from cleanplate.errors import CleanplateError, InputError

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


class CachedClip:
    """One clip of a cache; satisfies `Clip`."""

    def __init__(self, entry: _Entry, pixels: npt.NDArray[np.uint8]) -> None:
        self.name, self.group = entry.name, entry.group
        count = entry.frames * entry.height * entry.width * 3
        flat = pixels[entry.offset : entry.offset + count]
        self._frames = flat.reshape(entry.frames, entry.height, entry.width, 3)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)` of the frames."""
        return self._frames.shape[1], self._frames.shape[2]

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`, uint8 RGB `(t, h, w, 3)`."""
        return np.stack([self._frames[index] for index in indices])


def shrink(frames: Frames, short_side: int) -> Frames:
    """`frames` with a short side of at most `short_side` pixels (area filter, never enlarged)."""
    height, width = frames.shape[1:3]
    scale = short_side / min(height, width)
    if scale >= 1:
        return frames
    size = (round(width * scale), round(height * scale))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def build_cache(clips: Iterable[Clip], folder: Path, *, short_side: int) -> int:
    """Decode `clips` into `folder`; returns the number of clips written.

    A clip that cannot be read is logged and left out (`check` lists such clips beforehand). Raises
    CleanplateError when the disk is full and InputError when no clip could be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[_Entry] = []
    offset = 0
    try:
        with (folder / f"{_FRAMES}.part").open("wb") as file:
            for clip in clips:
                try:
                    frames = shrink(clip.read(range(len(clip))), short_side)
                except InputError as error:
                    _log.warning("left out: %s", error)
                    continue
                file.write(np.ascontiguousarray(frames).tobytes())
                count, height, width, _ = frames.shape
                entries.append(_Entry(clip.name, clip.group, offset, count, height, width))
                offset += frames.nbytes
    except OSError as error:
        raise CleanplateError(
            f"{folder}: cannot write the frame cache ({error.strerror}); "
            "free space or name another folder"
        ) from error
    if not entries:
        raise InputError(f"{folder}: no clip could be read, so there is nothing to train on")
    (folder / _INDEX).write_text(json.dumps([asdict(entry) for entry in entries]))
    os.replace(folder / f"{_FRAMES}.part", folder / _FRAMES)
    return len(entries)


def open_cache(folder: Path) -> list[CachedClip]:
    """The clips of a cache made by `build_cache`; raises InputError when it is none or damaged."""
    try:
        entries = [_Entry(**entry) for entry in json.loads((folder / _INDEX).read_text())]
        pixels = np.memmap(folder / _FRAMES, np.uint8, mode="r")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder}: no frame cache here ({error}); delete it and build it anew"
        ) from error
    last = entries[-1]
    if last.offset + last.frames * last.height * last.width * 3 != pixels.size:
        raise InputError(f"{folder}: the frame cache is incomplete; delete it and build it anew")
    return [CachedClip(entry, pixels) for entry in entries]
