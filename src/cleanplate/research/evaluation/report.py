"""Tables and files of an evaluation, in Markdown, JSON and HTML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cleanplate.errors import OutputError
from cleanplate.research.evaluation.clips import Case
from cleanplate.research.metrics import Features
from cleanplate.storage.atomic import build_file
from cleanplate.storage.paths import parse_json, read_file, read_text


@dataclass(frozen=True, slots=True)
class Column:
    """One metric in a table."""

    title: str
    unit: str
    decimals: int
    goal: Literal["high", "low", "zero"]
    explanation: str

    def show(self, value: float | None) -> str:
        """The value as a table has it."""
        return "–" if value is None else f"{value:.{self.decimals}f}"

    def rank(self, value: float) -> float:
        """Sort key that increases with quality."""
        if self.goal == "zero":
            return -abs(value)
        return value if self.goal == "high" else -value

    def best(self, values: Iterable[float | None]) -> float | None:
        """The best of `values`, None if there is none."""
        return max((value for value in values if value is not None), key=self.rank, default=None)


_COLUMNS = {
    "psnr": Column(
        "PSNR", "dB", 2, "high", "mean over frames with a hole, range 255, equal ones count as 100"
    ),
    "ssim": Column("SSIM", "%", 2, "high", "uniform window of 65x65, as in the field's papers"),
    "hole_psnr": Column(
        "PSNR in hole", "dB", 2, "high", "pixels inside holes only, all frames pooled"
    ),
    "ssim_gaussian": Column("SSIM Gauss", "%", 2, "high", "Gaussian window, as SSIM was defined"),
    "e_warp": Column("E_warp", "%", 4, "low", "flow warping error between frames"),
    "flicker": Column("flicker", "levels", 2, "zero", "change inside holes beyond the real one"),
    "vfid": Column("VFID", "", 3, "low", "I3D features by the field's convention, all sequences"),
    "vfid_eval": Column("VFID eval", "", 3, "low", "the same with the network in eval mode"),
    "lpips": Column("LPIPS", "", 4, "low", "learned perceptual distance"),
}
_LEADING = ("hole_psnr", "e_warp", "flicker", "psnr")


def find_column(name: str) -> Column:
    """Look up the display settings of the metric `name`."""
    return _COLUMNS.get(name) or Column(name, "", 4, "high", "")


def choose_leading(names: Iterable[str]) -> str | None:
    """Select the metric in `names` for best and worst cases and for curves."""
    there = set(names)
    return next((name for name in _LEADING if name in there), None)


Row = dict[str, Any]
Means = dict[str, dict[str, Row]]
Pool = Callable[[str, Sequence[Row]], float | None]
"""The value of a metric (its name) that is defined over all rows together."""

_DRAWS = 2000
_SHARE = 0.95
_SEED = 0


def summarise(rows: Sequence[Row], metrics: Sequence[str], pool: Pool) -> Means:
    """Means by mask and method.

    Args:
        rows: of all sequences; those that failed or were left out have no values.
        metrics: names of columns.
        pool: gives those that are no means.

    Returns:
        `means[mask][method]`: `sequences` (measured), `of` (there are), each metric's mean over
        sequences, and `intervals` with each metric's 95 % bootstrap interval over sequences.
    """
    means: Means = {}
    for mask in dict.fromkeys(row["mask"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            chosen = [row for row in rows if (row["mask"], row["method"]) == (mask, method)]
            means.setdefault(mask, {})[method] = _summarise(chosen, metrics, pool)
    return means


def _summarise(rows: Sequence[Row], metrics: Sequence[str], pool: Pool) -> Row:
    measured = [row for row in rows if "error" not in row and "left_out" not in row]
    mean: Row = {"sequences": len(measured), "of": len(rows), "intervals": {}}
    for name in metrics:
        values = [row[name] for row in measured if row.get(name) is not None]
        mean[name] = float(np.mean(values)) if values else pool(name, measured)
        if len(values) > 1:
            mean["intervals"][name] = bootstrap(values)
    return mean


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` (Efron 1979).

    2000 draws of as many values with replacement, from a fixed seed. With few values it is
    narrower than the truth, and cannot reach beyond the smallest and largest of them.
    """
    rng = np.random.default_rng(_SEED)
    draws = rng.integers(0, len(values), (_DRAWS, len(values)))
    tails = [(1 - _SHARE) / 2, (1 + _SHARE) / 2]
    low, high = np.quantile(np.asarray(values)[draws].mean(axis=1), tails)
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Cell:
    """Content of a table cell.

    Attributes:
        text: the value.
        small: what stands beside it in small print, such as an interval.
        is_best: of its kind in this table.
        span: columns that it takes.
        is_number: numbers stand to the right.
    """

    text: str
    small: str = ""
    is_best: bool = False
    span: int = 1
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title; all lines take as many columns as `head`."""

    title: str
    head: tuple[Cell, ...]
    lines: tuple[tuple[Cell, ...], ...]

    def to_markdown(self) -> str:
        """The table as Markdown."""
        lines = [_join(self.head), "|" + "---|" * len(self.head), *map(_join, self.lines)]
        return f"## {self.title}\n\n" + "\n".join(lines) + "\n"


def make_means(
    mask: str, means: Mapping[str, Row], metrics: Sequence[str], gaps: Mapping[str, str]
) -> Table:
    """A line for each method: means over sequences, and their intervals; `gaps` are of columns."""
    columns = [find_column(name) for name in metrics]
    best = [_find_best(name, means) for name in metrics]
    lines = []
    for method, mean in means.items():
        cells = [
            Cell(
                column.show(mean[name]),
                _show_interval(column, mean["intervals"].get(name)),
                is_best=top is not None and mean[name] == top,
                is_number=True,
            )
            for name, column, top in zip(metrics, columns, best, strict=True)
        ]
        count = f"{mean['sequences']}"
        if mean["sequences"] < mean["of"]:
            count += f" of {mean['of']}"
        lines.append((Cell(method), Cell(count, is_number=True), *cells))
    head = (Cell("method"), Cell("sequences"), *(_head(name, gaps) for name in metrics))
    return Table(f"Means, {mask}", head, tuple(lines))


def make_rows(rows: Sequence[Row], metrics: Sequence[str]) -> Table:
    """A line for each method on each case."""
    columns = [find_column(name) for name in metrics]
    head = (
        *map(Cell, ("sequence", "mask", "method", "hole %")),
        *(_head(name, {}) for name in metrics),
        Cell("s/frame"),
    )
    lines = []
    for row in rows:
        start = [Cell(row["sequence"]), Cell(row["mask"]), Cell(row["method"])]
        start.append(_number(f"{100 * row['hole_share']:.1f}" if "hole_share" in row else "–"))
        said = _say_why_empty(row)
        if said:
            lines.append((*start, Cell(said, span=len(columns) + 1)))
            continue
        cells = [_number(find_column(name).show(row[name])) for name in metrics]
        lines.append((*start, *cells, _number(f"{row['seconds'] / row['frames']:.3f}")))
    return Table("Sequences", head, tuple(lines))


def make_methods(methods: Mapping[str, Mapping[str, Any]]) -> Table:
    """List the compared methods, with checksums of their weights."""
    keys = ("kind", "model", "weights", "device", "precision")
    lines = tuple(
        (Cell(name), *(Cell(str(about.get(key, "–"))) for key in keys))
        for name, about in methods.items()
    )
    return Table("Methods", tuple(map(Cell, ("method", *keys))), lines)


def _find_best(name: str, means: Mapping[str, Row]) -> float | None:
    """Best mean of a metric; None if there is nothing to compare."""
    values = [mean[name] for mean in means.values() if mean[name] is not None]
    return find_column(name).best(values) if len(values) > 1 else None


def _say_why_empty(row: Row) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    return f"left out: {row['left_out']}" if "left_out" in row else ""


def _head(name: str, gaps: Mapping[str, str]) -> Cell:
    """A metric's title with its unit and goal, or why its column is empty."""
    column = find_column(name)
    arrow = {"high": "↑", "low": "↓", "zero": "→ 0"}[column.goal]
    unit = f"{column.unit} {arrow}".strip()
    return Cell(column.title, gaps.get(name, unit), is_number=True)


def _number(text: str) -> Cell:
    return Cell(text, is_number=True)


def _show_interval(column: Column, interval: Sequence[float] | None) -> str:
    if interval is None:
        return ""
    return f"{column.show(interval[0])} … {column.show(interval[1])}"


def _join(cells: Sequence[Cell]) -> str:
    """A line of Markdown; a cell over several columns is followed by empty ones."""
    parts = []
    for cell in cells:
        text = f"**{cell.text}**" if cell.is_best else cell.text
        text = f"{text} ({cell.small})" if cell.small else text
        parts += [text.replace("|", "\\|"), *[""] * (cell.span - 1)]
    return "| " + " | ".join(parts) + " |"


_SETTINGS = "settings.json"
_MOST_BYTES = 1 << 30
"""Of a file of results; features of long clips take megabytes."""


class Ledger:
    """Output folder of an evaluation: its settings and the results so far.

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
        """Store the settings, or compare them with those of the resumed run."""
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
        """Stored result of `method` on `case`; failures count as missing and are retried."""
        file = self._place(case) / f"{method}.json"
        row = _read(file) if file.is_file() else None
        return None if row is None or "error" in row else row

    def keep(self, case: Case, method: str, row: Row, strip: bytes | None) -> None:
        """Store a result; write the picture first, so that a stored row is complete."""
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
        """Write a file below the folder atomically; raises OutputError."""
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
        """Describe the data and the protocol."""
        protocol = self.settings["protocol"]
        return f"Evaluation, protocol {protocol['name']}-{protocol['version']}"

    def facts(self) -> dict[str, str]:
        """Describe the origin of the numbers for readers."""
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
