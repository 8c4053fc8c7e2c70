"""From folders to samples: cached clips, photographs, and the clips kept aside for validation."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cleanplate.datasets.cache import build_cache, is_cache, open_cache
from cleanplate.datasets.carried import carry_all
from cleanplate.datasets.clip import Clip
from cleanplate.datasets.layouts import FileClip, hold_out, open_clips
from cleanplate.datasets.photographs import Picture, list_photographs, read_photograph
from cleanplate.datasets.sampling import Sample, Sampler, Sampling
from cleanplate.errors import InputError
from cleanplate.training.config import Recipe
from cleanplate.training.distributed import local_rank
from cleanplate.training.feed import Draw
from cleanplate.training.validation import draw_cases

_log = logging.getLogger(__name__)
Progress = Callable[[int, int | None], None]
_HOLES = 11
"""Seed of the holes that propagation fills beforehand."""


@dataclass(frozen=True, slots=True)
class DataPlan:
    """What to train on."""

    clips: Path | None
    """A data set in one of the layouts of `cleanplate.datasets.layouts`."""
    photographs: Path | None = None
    """A folder of photographs."""
    cache: Path | None = None
    """Where decoded frames are kept; made when it is not there. Needed with `clips`."""
    split: str | None = None
    short_side: int = 192
    """Frames are kept with at most this short side, pixels."""
    held_out: int = 20
    """Groups of clips kept aside for validation."""
    cases: int = 16
    """Validation cases at most, one a clip."""


@dataclass(frozen=True, slots=True)
class Data:
    """What a run sees: functions from a number to a sample, and fixed validation cases."""

    clips: Draw
    stills: Draw | None = None
    cases: Sequence[Sample] = ()


def prepare(plan: DataPlan, recipe: Recipe, progress: Progress | None = None) -> Data:
    """Samplers of the training clips and photographs, and cases of the clips kept aside.

    Decodes the clips first when their cache is not there. What cannot be read is logged and left
    out. Raises InputError when nothing is left.
    """
    needed = recipe.sampling.frames
    clips: list[Clip] = []
    for clip in _cached(plan, progress) if plan.clips else []:
        if len(clip) >= needed:
            clips.append(clip)
        else:
            found = len(clip)
            _log.warning("left out: %s has %d frames, training takes %d", clip.name, found, needed)
    photographs = _read_photographs(plan.photographs) if plan.photographs else []
    train, kept = hold_out(clips, plan.held_out)
    carried = _carried(plan, train, progress) if recipe.sampling.carried else []
    return draw_from(train, photographs, recipe, kept, plan.cases, carried)


def draw_from(
    clips: Sequence[Clip],
    photographs: Sequence[Picture],
    recipe: Recipe,
    kept: Sequence[Clip] = (),
    cases: int = 16,
    carried: Sequence[Clip] = (),
) -> Data:
    """Samplers of `clips`, `photographs` and `carried`; at most `cases` cases, a clip in `kept`."""
    one_each = list({clip.group: clip for clip in kept}.values())[:cases]

    def sampler(sampling: Sampling) -> Sampler:
        return Sampler(clips, photographs, sampling, recipe.seed, carried)

    return Data(
        sampler(recipe.sampling),
        sampler(recipe.stills) if recipe.stills else None,
        draw_cases(one_each, frames=6, step=4, seed=5),
    )


def _cached(plan: DataPlan, progress: Progress | None) -> Sequence[Clip]:
    """The clips of the plan's cache, which is made when the data set was never decoded as it is."""
    assert plan.clips is not None
    if plan.cache is None:
        raise InputError("clips need a folder for their decoded frames; name one as the cache")
    clips = open_clips(plan.clips, plan.split)
    folder = plan.cache / _name_cache(plan, clips)
    return _build_once(folder, clips, plan.short_side, progress)


def _carried(plan: DataPlan, clips: Sequence[Clip], progress: Progress | None) -> Sequence[Clip]:
    """Pieces of the cached `clips` whose holes were filled by propagation; made once, on all cores.

    They lie beside the clips' cache and are made again when that is another one.
    """
    assert plan.clips is not None
    assert plan.cache is not None
    source = plan.cache / _name_cache(plan, open_clips(plan.clips, plan.split))
    names = [clip.name for clip in clips]
    pieces = carry_all(source, names, seed=_HOLES, processes=os.cpu_count() or 1)
    return _build_once(source.with_name(f"{source.name}-carried"), pieces, 10**6, progress)


def _build_once(
    folder: Path, clips: Iterable[Clip], short_side: int, progress: Progress | None
) -> Sequence[Clip]:
    """The cache in `folder`, made by the first process of a machine if it is not there."""
    if not is_cache(folder):
        if local_rank() == 0:
            _log.info("decoding into %s", folder)
            build_cache(clips, folder, short_side=short_side, progress=progress)
        while not is_cache(folder):  # torchrun ends this process when the one that decodes fails
            time.sleep(1)
    return open_cache(folder)


def _name_cache(plan: DataPlan, clips: Sequence[FileClip]) -> str:
    """Another name when clips were added, taken away or replaced."""
    stamps = [(str(clip.path), clip.path.stat().st_mtime_ns) for clip in clips]
    return hashlib.sha256(repr((plan.short_side, stamps)).encode()).hexdigest()[:12]


def _read_photographs(folder: Path) -> list[Picture]:
    pictures = []
    for path in list_photographs(folder):
        try:
            pictures.append(read_photograph(path))
        except InputError as error:
            _log.warning("left out: %s", error)
    if not pictures:
        raise InputError(f"{folder}: no photograph could be read; name another folder")
    return pictures
