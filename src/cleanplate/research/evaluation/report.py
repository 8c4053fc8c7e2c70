"""Results on disk, one file per method and case, and the report as JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleanplate.errors import OutputError
from cleanplate.research.evaluation.clips import Case
from cleanplate.research.evaluation.tables import (
    Means,
    Row,
    Table,
    find_column,
    make_means,
    make_methods,
    make_rows,
)
from cleanplate.research.metrics import Features
from cleanplate.storage.atomic import build_file
from cleanplate.storage.inputs import parse_json, read_file, read_text

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


@dataclass(frozen=True)
class Report:
    """Numbers and where they come from.

    Attributes:
        settings: protocol, data, methods with checksums, code, libraries and machine.
        metrics: names of the columns in order.
        gaps: why columns are empty, by metric.
        rows: one for each method on each case.
        means: see `summarise`.
        notes: what a reader of the numbers has to know.
    """

    settings: Mapping[str, Any]
    metrics: tuple[str, ...]
    gaps: Mapping[str, str]
    rows: tuple[Row, ...]
    means: Means
    notes: tuple[str, ...]

    @property
    def failures(self) -> tuple[Row, ...]:
        """Rows of methods that failed."""
        return tuple(row for row in self.rows if "error" in row)

    @property
    def title(self) -> str:
        """What was measured by which protocol."""
        protocol = self.settings["protocol"]
        return f"Evaluation, protocol {protocol['name']}-{protocol['version']}"

    def facts(self) -> dict[str, str]:
        """Where the numbers come from, for people."""
        settings = self.settings
        protocol, weights = settings["protocol"], settings["metric_weights"]
        split = settings["data"]["split"]
        libraries = ", ".join(
            f"{name} {version}" for name, version in settings["libraries"].items()
        )
        return {
            "protocol": f"{protocol['name']}, version {protocol['version']}: {protocol['summary']}",
            "data": settings["data"]["folder"] + (f", split {split}" if split else ""),
            "code": f"cleanplate {settings['code']}",
            "libraries": libraries,
            "machine": settings["machine"],
            "weights of metrics": ", ".join(f"{k} {v}" for k, v in weights.items()) or "none",
        }

    def tables(self) -> list[Table]:
        """Means by mask, all rows, and the methods."""
        return [
            *(
                make_means(mask, means, self.metrics, self.gaps)
                for mask, means in self.means.items()
            ),
            make_rows(self.rows, self.metrics),
            make_methods(self.settings["methods"]),
        ]

    def remarks(self) -> list[str]:
        """Notes, reasons of empty columns, and what the columns are."""
        about = self.settings["methods"]
        said = [f"{name}: {about[name]['note']}" for name in about if "note" in about[name]]
        empty = [f"{find_column(name).title} is empty: {why}" for name, why in self.gaps.items()]
        measured = [name for name in self.metrics if name not in self.gaps]
        columns = [(find_column(name).title, find_column(name).explanation) for name in measured]
        intervals = "small print beside means: 95 % bootstrap interval over sequences"
        explained = [f"{title}: {text}" for title, text in columns if text]
        return [*self.notes, *said, *empty, *explained, intervals]

    def to_json(self) -> dict[str, Any]:
        """Everything but pictures and features."""
        hidden = ("curves", "features")
        return {
            **self.settings,
            "gaps": dict(self.gaps),
            "notes": list(self.notes),
            "rows": [{k: v for k, v in row.items() if k not in hidden} for row in self.rows],
            "means": self.means,
            "curves": [
                {key: row[key] for key in ("sequence", "mask", "method", "curves")}
                for row in self.rows
                if "curves" in row
            ],
        }

    def to_markdown(self) -> str:
        """Tables and notes."""
        facts = "\n".join(f"- {name}: {fact}" for name, fact in self.facts().items())
        remarks = "\n".join(f"- {remark}" for remark in self.remarks())
        tables = "\n".join(table.to_markdown() for table in self.tables())
        return f"# {self.title}\n\n{facts}\n\n{tables}\n## Notes\n\n{remarks}\n"

    def write(self, ledger: Ledger) -> None:
        """Write `report.json` and `report.md`; raises OutputError when the disk is full."""
        ledger.write("report.json", json.dumps(self.to_json(), indent=1))
        ledger.write("report.md", self.to_markdown())
