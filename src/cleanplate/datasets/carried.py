"""Clips whose holes flow propagation has filled: what a network gets to see under `--method auto`.

The pixels that other frames showed are there already, with the errors of being carried; what is
left is what a network is asked for, and that is mostly what no frame shows. A frame has four
channels: red, green, blue, and 255 where the pixel is still unknown. Known pixels are the carried
ones, unknown ones the truth, so that a sample is trained on like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cleanplate.datasets.cache import open_cache
from cleanplate.datasets.clip import Frames
from cleanplate.flow import propagate
from cleanplate.masks import outlines

Carried = npt.NDArray[np.uint8]
"""uint8 `(t, h, w, 4)`."""

LENGTH = 40
"""Frames of a piece at most: what lies further away is seldom carried."""
_UNKNOWN = 0.5
"""Share of guesswork from which the engine asks a network."""
_LEAST = 0.002
"""Share of unknown pixels under which a piece teaches nothing."""


def carry(frames: Frames, rng: np.random.Generator) -> Carried | None:
    """Cover `frames` `(t, h, w, 3)` with a random hole, propagate, and tell what is left.

    None when less than 0.2 % of the pixels is left unknown.
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
    """A piece of a clip whose hole was filled by propagation; satisfies `Clip`, four channels."""

    name: str
    group: str
    frames: Carried

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Carried]:
        return iter(self.frames)

    def read(self, indices: Sequence[int]) -> Carried:
        """The frames at `indices`."""
        return self.frames[list(indices)]


def carry_all(
    cache: Path, names: Sequence[str], *, seed: int, processes: int, rounds: int = 1
) -> Iterator[CarriedClip]:
    """One piece of each clip in `names` and round, in order; those that teach nothing are left out.

    `cache` is a folder made by `build_cache`. Piece and hole follow from `seed`, the round and the
    clip's place in `names` alone, whatever the number of processes.
    """
    jobs = [
        (cache, name, (seed, turn, at)) for turn in range(rounds) for at, name in enumerate(names)
    ]
    if processes < 2:
        yield from filter(None, map(_carry_piece, jobs))
        return
    context = get_context("spawn")  # a fork beside OpenCV's threads can hang
    with ProcessPoolExecutor(processes, context) as pool:
        yield from filter(None, pool.map(_carry_piece, jobs))


def _carry_piece(job: tuple[Path, str, tuple[int, int, int]]) -> CarriedClip | None:
    cache, name, seed = job
    rng = np.random.default_rng(seed)
    clip = next(clip for clip in open_cache(cache) if clip.name == name)
    start = int(rng.integers(0, max(1, len(clip) - LENGTH + 1)))
    found = carry(clip.read(range(start, min(len(clip), start + LENGTH))), rng)
    return None if found is None else CarriedClip(f"{name}#{seed[1]}", clip.group, found)
