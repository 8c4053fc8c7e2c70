"""What is wrong with a data set, found before training starts and not at hour three."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cleanplate.datasets.clip import Clip
from cleanplate.datasets.layouts import find_empty, open_clips
from cleanplate.datasets.photographs import list_photographs, read_photograph
from cleanplate.errors import InputError

Progress = Callable[[int, int | None], None]


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
    """All that is wrong with a data set and a folder of photographs, either of which may be None.

    A sample takes `frames` frames of `size` (height, width).
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
    """Read every clip; yield those that cannot be trained on with `frames` of `size` (h, w)."""
    for index, clip in enumerate(clips):
        problem = _check_clip(clip, frames, size)
        if problem is not None:
            yield Problem(clip.name, problem)
        if progress is not None:
            progress(index + 1, len(clips))


def check_photographs(folder: Path) -> Iterator[Problem]:
    """Read every photograph; yield those that cannot be."""
    for path in list_photographs(folder):
        try:
            read_photograph(path)
        except InputError as error:
            yield Problem(path.name, str(error))


def _check_clip(clip: Clip, frames: int, size: tuple[int, int]) -> str | None:
    """What is wrong with a clip; reads all of it, one frame in memory at a time."""
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
