"""The state of a training run on disk, and its log."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cleanplate.arguments import describe_bytes
from cleanplate.errors import CleanplateError, InputError, OutputError
from cleanplate.network.weights import unpickle_tensors
from cleanplate.research.training.config import Recipe
from cleanplate.storage.atomic import build_file


def make_folder(folder: Path, needed: int = 0) -> None:
    """Create the folder of a run and check that a checkpoint of `needed` bytes fits.

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
            f"{folder}: a checkpoint takes {describe_bytes(needed)} and {describe_bytes(free)} are"
            " free; free disk space or choose another folder"
        )


def save_state(path: Path, state: dict[str, Any], recipe: Recipe) -> None:
    """Write `state` to `path` atomically; raises CleanplateError on failure."""
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
    state: dict[str, Any] = unpickle_tensors(path, "delete it to start from scratch")
    try:
        stored = dict(state["config"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a checkpoint of a run; delete it to start from scratch"
        ) from error
    wanted = asdict(recipe.network)
    differing = [key for key in wanted if stored.get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"{path}: the checkpoint is of another network ({', '.join(differing)} differ); "
            "use its recipe or another run folder"
        )
    return state


class Journal:
    """Append to `log.jsonl` in the run's folder; a silent log writes nothing."""

    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        self.folder, self.silent = folder, silent
        self._board = None if silent else _open_board(folder)

    def write(self, kind: str, step: int, seconds: float, values: dict[str, Any]) -> None:
        """One event; numbers also go to TensorBoard as `kind/name`."""
        if self.silent:
            return
        line = {"kind": kind, "step": step, "minutes": round(seconds / 60, 3), **values}
        try:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CleanplateError(
                f"{self.folder}: the log cannot be written ({error.strerror}); free disk space"
            ) from error
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def show(self, name: str, step: int, picture: Tensor) -> None:
        """A uint8 picture `(3, h, w)` in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, picture, step)

    def close(self) -> None:
        """Flush TensorBoard's buffer."""
        if self._board is not None:
            self._board.close()


def _open_board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
