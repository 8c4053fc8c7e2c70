"""From folders to samples: cached clips, photographs, and the clips kept aside for validation."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cleanplate.datasets.cache import build_cache, open_cache
from cleanplate.datasets.clip import Clip
from cleanplate.datasets.layouts import hold_out, open_clips
from cleanplate.datasets.photographs import Picture, list_photographs, read_photograph
from cleanplate.datasets.sampling import Sample, Sampler, Sampling
from cleanplate.errors import InputError
from cleanplate.training.config import Recipe
from cleanplate.training.distributed import rank
from cleanplate.training.feed import Draw
from cleanplate.training.validation import draw_cases

_log = logging.getLogger(__name__)


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


def prepare(plan: DataPlan, recipe: Recipe) -> Data:
    """Samplers of the training clips and photographs, and cases of the clips kept aside."""
    clips: Sequence[Clip] = _cached(plan) if plan.clips else []
    photographs = _read_photographs(plan.photographs) if plan.photographs else []
    train, kept = hold_out(clips, plan.held_out) if clips else ([], [])
    one_each = list({clip.group: clip for clip in kept}.values())[: plan.cases]
    cases = draw_cases(one_each, frames=6, step=4, seed=5)

    def sampler(sampling: Sampling) -> Sampler:
        return Sampler(train, photographs, sampling, recipe.seed)

    return Data(sampler(recipe.sampling), sampler(recipe.stills) if recipe.stills else None, cases)


def _cached(plan: DataPlan) -> Sequence[Clip]:
    assert plan.clips is not None
    if plan.cache is None:
        raise InputError("clips need a folder for their decoded frames; name one as the cache")
    key = f"{plan.clips.resolve()}:{plan.split}:{plan.short_side}"
    folder = plan.cache / hashlib.sha256(key.encode()).hexdigest()[:12]
    if not (folder / "index.json").exists():
        if rank() != 0:
            raise InputError(f"{plan.cache}: decode once in one process before several share it")
        _log.info("decoding %s into %s", plan.clips, folder)
        build_cache(open_clips(plan.clips, plan.split), folder, short_side=plan.short_side)
    return open_cache(folder)


def _read_photographs(folder: Path) -> list[Picture]:
    return [read_photograph(path) for path in list_photographs(folder)]
