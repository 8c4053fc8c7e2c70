"""Columns, means with confidence intervals, and the tables of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


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
        """The better a value, the higher its rank."""
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
    """How the metric `name` is shown."""
    return _COLUMNS.get(name) or Column(name, "", 4, "high", "")


def choose_leading(names: Iterable[str]) -> str | None:
    """The metric that best and worst cases and curves are of, among `names`."""
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
    """What a place in a table says.

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
    """What was compared, with the checksums of weights."""
    keys = ("kind", "model", "weights", "device", "precision")
    lines = tuple(
        (Cell(name), *(Cell(str(about.get(key, "–"))) for key in keys))
        for name, about in methods.items()
    )
    return Table("Methods", tuple(map(Cell, ("method", *keys))), lines)


def _find_best(name: str, means: Mapping[str, Row]) -> float | None:
    """The best mean of a metric, None where there is nothing to compare."""
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
