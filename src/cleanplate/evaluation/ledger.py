"""Results on disk: one file for each method on each case, so that a run can go on later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cleanplate.errors import OutputError
from cleanplate.evaluation.clips import Case
from cleanplate.evaluation.metrics import Features
from cleanplate.files import build_file
from cleanplate.inputs import parse_json, read_file, read_text

Row = dict[str, Any]
_SETTINGS = "settings.json"
_MOST_BYTES = 1 << 30
"""Of a file of results; features of long clips take megabytes."""


class Ledger:
    """The folder of an evaluation: its settings, and what has been measured so far.

    Raises OutputError when the folder holds something else, or an evaluation with other settings.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder = folder
        self._resumes = resume
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"'{folder}' is a file; name a folder")
        # Drawn masks alone are left where a run stopped before it began to measure.
        there = folder.is_dir() and any(path.name != "masks" for path in folder.iterdir())
        if there and not (folder / _SETTINGS).is_file():
            raise OutputError(f"'{folder}' holds other things; name another folder")
        if there and not resume:
            raise OutputError(
                f"'{folder}' holds an evaluation; go on with `resume=True` or name another"
            )

    def settle(self, settings: dict[str, Any]) -> None:
        """Keep the settings, or compare them with those of the run that is resumed."""
        file = self.folder / _SETTINGS
        if file.is_file():
            old = _read(file)
            differing = [name for name in settings if old.get(name) != settings[name]]
            if differing:
                name = differing[0]
                raise OutputError(
                    f"'{self.folder}' was begun with other settings: {', '.join(differing)}"
                    f" ({name}: {_shorten(old.get(name))}, now {_shorten(settings[name])});"
                    " name another folder"
                )
        self.write(file.name, json.dumps(settings, indent=1))

    def find(self, case: Case, method: str) -> Row | None:
        """What is known of `method` on `case`; failures count as unknown, to be tried again."""
        file = self._place(case) / f"{method}.json"
        row = _read(file) if file.is_file() else None
        return None if row is None or "error" in row else row

    def keep(self, case: Case, method: str, row: Row, strip: bytes | None) -> None:
        """Write down what was measured; the picture goes first, so that a row is complete."""
        place = self._place(case).relative_to(self.folder)
        if strip is not None:
            self.write(place / f"{method}.jpg", strip)
        self.write(place / f"{method}.json", json.dumps(row))

    def keep_pictures(self, case: Case, strips: dict[str, bytes]) -> None:
        """Write the strips that belong to the case and not to a method."""
        for name, strip in strips.items():
            self.write(self._place(case).relative_to(self.folder) / f"={name}.jpg", strip)

    def picture(self, case: Case, name: str) -> bytes | None:
        """A strip: of a method, or of the case (`=input`, `=truth`)."""
        file = self._place(case) / f"{name}.jpg"
        return read_file(file, _MOST_BYTES) if file.is_file() else None

    def write(self, name: str | Path, content: str | bytes) -> None:
        """Write a file below the folder, whole or not at all; raises OutputError."""
        file = self.folder / name
        data = content.encode(errors="replace") if isinstance(content, str) else content
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with build_file(file) as partial:
                partial.write_bytes(data)
        except OSError as error:
            raise OutputError(
                f"cannot write '{file}': {error.strerror}; free some space or name another folder"
            ) from None

    def _place(self, case: Case) -> Path:
        return self.folder / "results" / case.sequence / case.mask


def pack_features(features: dict[str, Features]) -> dict[str, dict[str, list[list[float]]]]:
    """Features as JSON takes them."""
    return {
        name: {"made": kept.made.tolist(), "true": kept.true.tolist()}
        for name, kept in features.items()
    }


def unpack_features(packed: dict[str, list[list[float]]]) -> Features:
    """The reverse for one metric."""
    return Features(np.array(packed["made"], np.float64), np.array(packed["true"], np.float64))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(file, _MOST_BYTES))
    except (OSError, ValueError) as error:
        raise OutputError(f"'{file}' cannot be read ({error}); delete it") from None
    if not isinstance(content, dict):
        raise OutputError(f"'{file}' is not what an evaluation writes; delete it")
    return content


def _shorten(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
