"""Read a data set whole: check it, or cache its clips.

One cache file holds decoded clips, another clips with holes filled by propagation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import CleanplateError, InputError
from cleanplate.motion import propagate
from cleanplate.research import holes as outlines
from cleanplate.research.data.clips import (
    Clip,
    Frame,
    Frames,
    find_empty,
    list_photographs,
    open_clips,
    read_photograph,
)
from cleanplate.storage.atomic import build_file
from cleanplate.storage.paths import check_file, parse_json, read_text

Progress = Callable[[int, int | None], None]

_log = logging.getLogger(__name__)
_FRAMES, _INDEX = "frames.u8", "index.json"


@dataclass(frozen=True, slots=True)
class _Entry:
    """Position of one clip in the cache."""

    name: str
    group: str
    offset: int
    frames: int
    height: int
    width: int
    channels: int = 3

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.frames * self.height * self.width * self.channels


class CachedClip:
    """Clip in a cache; implements `Clip`."""

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
        """Read the frames at `indices`, uint8 RGB `(t, h, w, 3)`, or with a fourth channel."""
        return np.stack([self._frames[index] for index in indices])


def shrink(frame: Frame, short_side: int) -> Frame:
    """Downscale `frame` to a short side of at most `short_side` pixels (area filter)."""
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
    progress: Progress | None = None,
) -> int:
    """Decode `clips` into `folder`, one frame in memory at a time; return the number of clips.

    A clip that cannot be read is logged and left out. Raises CleanplateError if the disk is full,
    and InputError if no clip could be read.
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
        # Written last: if there is an index, the frames are complete.
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
    progress: Progress | None,
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
    """Write the frames of a clip; raise InputError if it cannot be read or has none."""
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
    """Open the clips of a cache by `build_cache`; raise InputError if it is missing or damaged."""
    try:
        entries = [_Entry(**entry) for entry in parse_json(read_text(folder / _INDEX))]
        check_file(folder / _FRAMES)
        pixels = np.memmap(folder / _FRAMES, np.uint8, mode="r")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder}: no frame cache here ({error}); delete and rebuild it"
        ) from error
    last = entries[-1]
    if last.offset + last.bytes != pixels.size:
        raise InputError(f"{folder}: the frame cache is incomplete; delete and rebuild it")
    return [CachedClip(entry, pixels) for entry in entries]


Carried = npt.NDArray[np.uint8]
"""uint8 `(t, h, w, 4)`."""

LENGTH = 40
"""Largest number of frames per piece; propagation rarely reaches further."""
_UNKNOWN = 0.5
"""Fraction of guessed pixels above which the engine runs a network."""
_LEAST = 0.002
"""Fraction of unknown pixels below which a piece is not used."""


def carry(frames: Frames, rng: np.random.Generator) -> Carried | None:
    """Propagate into a random hole of `frames` `(t, h, w, 3)`; channel 4 marks unknown pixels.

    Returns uint8 `(t, h, w, 4)`, or None if less than 0.2 % of the pixels are left unknown.
    """
    size = frames.shape[1], frames.shape[2]
    masks = outlines.mixed(size, range(len(frames)), rng).draw().numpy()
    if not masks.any() or masks.all((1, 2)).any():
        return None
    done = propagate(list(frames), list(masks))
    unknown, shown = np.zeros_like(masks), frames.copy()
    unknown[masks] = np.concatenate(done.guessed) > _UNKNOWN
    if unknown.mean() < _LEAST:
        return None
    shown[masks] = np.concatenate(done.pixels)
    shown[unknown] = frames[unknown]
    return np.concatenate([shown, 255 * unknown[..., None].astype(np.uint8)], -1)


@dataclass(frozen=True, slots=True)
class CarriedClip:
    """Piece of a clip whose hole was filled by propagation; implements `Clip`, four channels."""

    name: str
    group: str
    frames: Carried

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Carried]:
        return iter(self.frames)

    def read(self, indices: Sequence[int]) -> Carried:
        """Read the frames at `indices`, uint8 `(t, h, w, 4)`."""
        return self.frames[list(indices)]


def carry_all(
    cache: Path, names: Sequence[str], *, seed: int, processes: int, rounds: int = 1
) -> Iterator[CarriedClip]:
    """Yield one piece per clip in `names` and round, in order, except those not used.

    `cache` is a folder made by `build_cache`. Piece and hole depend only on `seed`, the round and
    the clip's position in `names`, not on the number of processes.
    """
    jobs = [
        (cache, name, (seed, turn, at)) for turn in range(rounds) for at, name in enumerate(names)
    ]
    if processes < 2:
        yield from filter(None, map(_carry_piece, jobs))
        return
    context = get_context("spawn")  # forking while OpenCV's threads run can hang
    with ProcessPoolExecutor(processes, context) as pool:
        yield from filter(None, pool.map(_carry_piece, jobs))


def _carry_piece(job: tuple[Path, str, tuple[int, int, int]]) -> CarriedClip | None:
    cache, name, seed = job
    rng = np.random.default_rng(seed)
    clip = next(clip for clip in open_cache(cache) if clip.name == name)
    start = int(rng.integers(0, max(1, len(clip) - LENGTH + 1)))
    found = carry(clip.read(range(start, min(len(clip), start + LENGTH))), rng)
    return None if found is None else CarriedClip(f"{name}#{seed[1]}", clip.group, found)


@dataclass(frozen=True, slots=True)
class Problem:
    """One unusable file."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def check_data(
    clips: Path | None,
    split: str | None,
    photographs: Path | None,
    frames: int,
    size: tuple[int, int],
    progress: Progress | None = None,
) -> list[Problem]:
    """List the problems of a data set and a folder of photographs; either may be None.

    A sample needs `frames` frames of `size` (height, width).
    """
    problems: list[Problem] = []
    try:
        if clips is not None:
            problems += check_clips(open_clips(clips, split), frames, size, progress)
            strays = find_empty(clips) if split is None else []
            problems += [
                Problem(path.name, f"{path} holds no images; remove it") for path in strays
            ]
    except InputError as error:
        problems.append(Problem("clips", str(error)))
    try:
        if photographs is not None:
            problems += check_photographs(photographs)
    except InputError as error:
        problems.append(Problem("photographs", str(error)))
    return problems


def check_clips(
    clips: Sequence[Clip],
    frames: int,
    size: tuple[int, int],
    progress: Progress | None = None,
) -> Iterator[Problem]:
    """Read all clips; yield those unusable for training with `frames` of `size` (h, w)."""
    for index, clip in enumerate(clips):
        problem = _check_clip(clip, frames, size)
        if problem is not None:
            yield Problem(clip.name, problem)
        if progress is not None:
            progress(index + 1, len(clips))


def check_photographs(folder: Path) -> Iterator[Problem]:
    """Read every photograph; yield the unreadable ones."""
    for path in list_photographs(folder):
        try:
            read_photograph(path)
        except InputError as error:
            yield Problem(path.name, str(error))


def _check_clip(clip: Clip, frames: int, size: tuple[int, int]) -> str | None:
    """Check a clip; reads all of it, one frame in memory at a time."""
    count, shape = 0, None
    try:
        for frame in clip:
            count, shape = count + 1, shape or frame.shape
            if frame.shape != shape:
                return (
                    f"frame {count} is {_describe(frame.shape)} and the first {_describe(shape)}; "
                    "make them equal or leave it out"
                )
    except InputError as error:
        return str(error)
    if shape is None or count < frames:
        return f"has {count} frames, training takes {frames}; leave it out"
    if shape[0] < size[0] * 0.5 or shape[1] < size[1] * 0.5:
        return f"is {_describe(shape)}, less than half of {size[1]}x{size[0]}; leave it out"
    return None


def _describe(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
