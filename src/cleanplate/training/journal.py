"""What a run writes down: one JSON line an event, and TensorBoard where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from cleanplate.errors import CleanplateError


class Journal:
    """Appends to `log.jsonl` in the run's folder; a silent one writes nothing."""

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
        """Write out what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()


def _open_board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
