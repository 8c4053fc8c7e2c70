"""Tables of an evaluation in Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cleanplate.research.evaluation.scoring import Ledger, Means, Row


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a metric in a table."""

    title: str
    unit: str
    decimals: int
    goal: Literal["high", "low", "zero"]
    explanation: str

    def show(self, value: float | None) -> str:
        """Format a value for a table."""
        return "–" if value is None else f"{value:.{self.decimals}f}"

    def rank(self, value: float) -> float:
        """Map a value to a rank; higher is better."""
        if self.goal == "zero":
            return -abs(value)
        return value if self.goal == "high" else -value

    def best(self, values: Iterable[float | None]) -> float | None:
        """Return the best of `values`, or None."""
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
    """Return the column of the metric `name`."""
    return _COLUMNS.get(name) or Column(name, "", 4, "high", "")


def choose_leading(names: Iterable[str]) -> str | None:
    """Choose the metric of `names` for curves and for best and worst cases."""
    there = set(names)
    return next((name for name in _LEADING if name in there), None)


@dataclass(frozen=True, slots=True)
class Cell:
    """Cell of a table.

    Attributes:
        text: the value.
        small: small print next to it, such as an interval.
        is_best: whether it is the best value of its kind in this table.
        span: number of columns that it covers.
        is_number: numbers are aligned to the right.
    """

    text: str
    small: str = ""
    is_best: bool = False
    span: int = 1
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Table with a title; all rows have as many columns as `head`."""

    title: str
    head: tuple[Cell, ...]
    lines: tuple[tuple[Cell, ...], ...]

    def to_markdown(self) -> str:
        """Format the table as Markdown."""
        lines = [_join(self.head), "|" + "---|" * len(self.head), *map(_join, self.lines)]
        return f"## {self.title}\n\n" + "\n".join(lines) + "\n"


def make_means(
    mask: str, means: Mapping[str, Row], metrics: Sequence[str], gaps: Mapping[str, str]
) -> Table:
    """One row per method: means over sequences with intervals; `gaps` explains empty columns."""
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
    """One row per method and case."""
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
    """List the compared methods with the checksums of their weights."""
    keys = ("kind", "model", "weights", "device", "precision")
    lines = tuple(
        (Cell(name), *(Cell(str(about.get(key, "–"))) for key in keys))
        for name, about in methods.items()
    )
    return Table("Methods", tuple(map(Cell, ("method", *keys))), lines)


def _find_best(name: str, means: Mapping[str, Row]) -> float | None:
    """Return the best mean of a metric, None with fewer than two methods."""
    values = [mean[name] for mean in means.values() if mean[name] is not None]
    return find_column(name).best(values) if len(values) > 1 else None


def _say_why_empty(row: Row) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    return f"left out: {row['left_out']}" if "left_out" in row else ""


def _head(name: str, gaps: Mapping[str, str]) -> Cell:
    """Header cell: title, unit and direction, or why the column is empty."""
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
    """Format a Markdown row; a cell over several columns is followed by empty ones."""
    parts = []
    for cell in cells:
        text = f"**{cell.text}**" if cell.is_best else cell.text
        text = f"{text} ({cell.small})" if cell.small else text
        parts += [text.replace("|", "\\|"), *[""] * (cell.span - 1)]
    return "| " + " | ".join(parts) + " |"


@dataclass(frozen=True)
class Report:
    """Results of an evaluation and their provenance.

    Attributes:
        settings: protocol, data, methods with checksums, code, libraries and machine.
        metrics: names of the columns in order.
        gaps: why columns are empty, by metric.
        rows: one per method and case.
        means: see `summarise`.
        notes: notes for readers of the figures.
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
        """Provenance as Markdown."""
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
        intervals = "small print next to means: 95 % bootstrap interval over sequences"
        explained = [f"{title}: {text}" for title, text in columns if text]
        return [*self.notes, *said, *empty, *explained, intervals]

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON, without pictures and features."""
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
        """Write `report.json` and `report.md`; raise OutputError if the disk is full."""
        ledger.write("report.json", json.dumps(self.to_json(), indent=1))
        ledger.write("report.md", self.to_markdown())
