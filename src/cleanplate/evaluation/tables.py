"""The tables of a report, before they become Markdown or HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cleanplate.evaluation.columns import Column, find_column
from cleanplate.evaluation.summary import Row


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
