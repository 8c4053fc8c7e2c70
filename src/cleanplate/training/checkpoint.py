"""The state of a run on disk: written whole or not at all, and enough to go on exactly.

Samples are numbered and drawn from the seed and their number, so the step is all that is needed to
go on with the same data.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cleanplate.errors import CleanplateError, InputError, OutputError
from cleanplate.files import build_file
from cleanplate.model.weights import unpickle_tensors
from cleanplate.training.config import Recipe


def make_folder(folder: Path, needed: int = 0) -> None:
    """Make a run's folder, and see at the start that a checkpoint of `needed` bytes will fit.

    Raises OutputError when it cannot be made or written to, or its disk is too full.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.pt.*.part"):
            left.unlink(missing_ok=True)  # of a run that was killed while it wrote
        probe.touch()
        probe.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be the run's folder ({error.strerror}); choose another one"
        ) from error
    # A new checkpoint is complete before the old one goes.
    if free < needed:
        raise OutputError(
            f"{folder}: a checkpoint takes {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB are free; "
            "free disk space or choose another folder"
        )


def save_state(path: Path, state: dict[str, Any], recipe: Recipe) -> None:
    """Write `state` to `path`; raises CleanplateError when the disk does not take it."""
    try:
        with build_file(path) as partial, partial.open("wb") as file:
            torch.save({**state, "config": asdict(recipe.network)}, file)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CleanplateError(
            f"{path}: the checkpoint cannot be written ({reason}); free disk space and go on"
        ) from error


def load_state(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Read what `save_state` wrote, without running what the file holds.

    Raises InputError when it is damaged, of another network, or would run code.
    """
    state: dict[str, Any] = unpickle_tensors(path, "delete it to start anew")
    try:
        stored = dict(state["config"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a checkpoint of a run; delete it to start anew") from error
    wanted = asdict(recipe.network)
    differing = [key for key in wanted if stored.get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"{path}: the checkpoint is of another network ({', '.join(differing)} differ); "
            "use its recipe or another run folder"
        )
    return state
