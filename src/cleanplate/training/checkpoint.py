"""The state of a run on disk: written whole or not at all, and enough to go on exactly.

Samples are numbered and drawn from the seed and their number, so the step is all that is needed to
go on with the same data.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cleanplate.errors import CleanplateError, InputError
from cleanplate.training.config import Recipe


def save_state(path: Path, state: dict[str, Any], recipe: Recipe) -> None:
    """Write `state` to `path`; raises CleanplateError when the disk does not take it."""
    part = path.with_suffix(".part")
    try:
        torch.save({**state, "config": asdict(recipe.network)}, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        reason = str(error).splitlines()[0]
        raise CleanplateError(
            f"{path}: the checkpoint cannot be written ({reason}); free disk space and go on"
        ) from error


def load_state(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Read what `save_state` wrote; raises InputError when it is damaged or of another network."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        stored = state["config"]
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: not a checkpoint of a run, or damaged; delete it to start anew"
        ) from error
    wanted = asdict(recipe.network)
    differing = [key for key in wanted if stored.get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"{path}: the checkpoint is of another network ({', '.join(differing)} differ); "
            "use its recipe or another run folder"
        )
    return state
