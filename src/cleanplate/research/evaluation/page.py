"""The report as one self-contained HTML page with inline curves."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files

from cleanplate.research.evaluation.clips import Case
from cleanplate.research.evaluation.report import Cell, Report, Table, choose_leading, find_column
from cleanplate.research.evaluation.scoring import Ledger, Row

Curve = Sequence[float | None]

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34
COLOURS = 8
"""Number of line colours in the style sheet (`line0` to `line7`); further curves are dashed."""


def draw_curves(curves: Mapping[str, Curve], label: str) -> str:
    """Draw one curve per name as SVG; frames along x, `label` along y.

    A frame without a value is a gap in its curve.
    """
    values = [value for curve in curves.values() for value in curve if value is not None]
    if not values:
        return ""
    ticks = choose_ticks(min(values), max(values))
    length = max(len(curve) for curve in curves.values())
    lines = [
        f'<path class="line{number % COLOURS}{" dashed" if number >= COLOURS else ""}"'
        f' d="{_trace(curve, length, ticks)}"><title>{escape(name)}</title></path>'
        for number, (name, curve) in enumerate(curves.items())
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)} over time">'
        f"{_draw_axes(ticks, length, label)}{''.join(lines)}</svg>"
    )


def choose_ticks(low: float, high: float) -> list[float]:
    """Choose about five round axis ticks that enclose `low` to `high`."""
    span = max(high - low, 1e-6 * max(abs(high), 1))
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _trace(curve: Curve, length: int, ticks: Sequence[float]) -> str:
    """Format the `d` attribute of a path; a single value becomes a dot."""
    parts, is_down = [], False
    for index, value in enumerate(curve):
        if value is None:
            is_down = False
            continue
        x, y = _place_x(index, length), _place_y(value, ticks)
        parts.append(f"{'L' if is_down else 'M'}{x:.1f} {y:.1f}" + ("" if is_down else "h.01"))
        is_down = True
    return "".join(parts)


def _draw_axes(ticks: Sequence[float], length: int, label: str) -> str:
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    parts = []
    for tick in ticks:
        y = _place_y(tick, ticks)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(
            f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{tick:.{decimals}f}</text>'
        )
    for index in sorted({round(step * (length - 1) / 4) for step in range(5)}):
        x, y = _place_x(index, length), _HEIGHT - _BOTTOM + 18
        parts.append(f'<text class="middle" x="{x:.1f}" y="{y}">{index}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 3}">frame</text>')
    parts.append(
        f'<text class="middle" transform="translate(11 {_HEIGHT / 2:.0f}) rotate(-90)">'
        f"{escape(label)}</text>"
    )
    return "".join(parts)


def _place_x(index: int, length: int) -> float:
    return _LEFT + index / max(length - 1, 1) * (_WIDTH - _LEFT - _RIGHT)


def _place_y(value: float, ticks: Sequence[float]) -> float:
    share = (value - ticks[0]) / (ticks[-1] - ticks[0])
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_page(report: Report, ledger: Ledger, cases: Sequence[Case]) -> None:
    """Write `report.html`; raise OutputError if the disk is full."""
    ledger.write("report.html", _draw_page(report, ledger, cases))


def _draw_page(report: Report, ledger: Ledger, cases: Sequence[Case]) -> str:
    style = files("cleanplate.research.evaluation").joinpath("page.css").read_text(encoding="utf-8")
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in report.facts().items()
    )
    parts = [
        f"<h1>{escape(report.title)}</h1><dl>{facts}</dl>",
        _list_failures(report.failures),
        *map(_draw_table, report.tables()),
        *_draw_extremes(report, ledger, cases),
        *_draw_all_curves(report, cases),
        "<h2>Notes</h2><ul>",
        *(f"<li>{escape(remark)}</li>" for remark in report.remarks()),
        "</ul>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<link rel="icon" href="data:,"><title>{escape(report.title)}</title>'
        f"<style>{style}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _list_failures(rows: Iterable[Row]) -> str:
    lines = [
        f"<li>{escape(row['method'])} on {escape(row['sequence'])}, {escape(row['mask'])}:"
        f" {escape(row['error'])}</li>"
        for row in rows
    ]
    return f'<h2 class="failed">Failed</h2><ul>{"".join(lines)}</ul>' if lines else ""


def _draw_table(table: Table) -> str:
    head = "".join(_draw_cell(cell, "th") for cell in table.head)
    lines = "".join(
        f"<tr>{''.join(_draw_cell(cell, 'td') for cell in line)}</tr>" for line in table.lines
    )
    return (
        f'<h2>{escape(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _draw_cell(cell: Cell, tag: str) -> str:
    classes = [
        name
        for name, applies in (
            ("number", cell.is_number),
            ("best", cell.is_best),
            ("failed", cell.text.startswith("failed: ")),
            ("long", len(cell.text) > 40),
        )
        if applies
    ]
    attributes = f' class="{" ".join(classes)}"' if classes else ""
    attributes += f' colspan="{cell.span}"' if cell.span > 1 else ""
    small = f"<small>{escape(cell.small)}</small>" if cell.small else ""
    return f"<{tag}{attributes}>{escape(cell.text)}{small}</{tag}>"


def _draw_extremes(report: Report, ledger: Ledger, cases: Sequence[Case]) -> Iterable[str]:
    """Render the best and worst cases of each method, with the pictures of all methods."""
    said = find_extremes(report.rows, report.metrics)
    if not said:
        return
    leading = find_column(choose_leading(report.metrics) or "")
    yield f"<h2>Best and worst cases</h2><p>By {escape(leading.title)}, for each method.</p>"
    for case in cases:
        reasons = said.get((case.sequence, case.mask))
        if reasons:
            yield f"<h3>{escape(str(case))}: {escape('; '.join(reasons))}</h3>"
            yield from _draw_strips(case, report, ledger)


def find_extremes(rows: Sequence[Row], metrics: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """Name the reasons to show a case (sequence, mask): `worst of telea`, `best of auto`."""
    name = choose_leading(metrics) or ""
    rank = find_column(name).rank
    said: dict[tuple[str, str], list[str]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        known = [row for row in rows if row["method"] == method and row.get(name) is not None]
        known.sort(key=lambda row: rank(row[name]), reverse=True)
        ends = [("best", row) for row in known[:1]] + [("worst", row) for row in known[1:][-1:]]
        for kind, row in ends:
            said.setdefault((row["sequence"], row["mask"]), []).append(f"{kind} of {method}")
    return said


def _draw_strips(case: Case, report: Report, ledger: Ledger) -> Iterable[str]:
    """Render the strips of a case: input, ground truth, and the result of each method."""
    for name in ("input", "truth"):
        yield _draw_strip(ledger.picture(case, f"={name}"), name, case)
    leading = choose_leading(report.metrics) or ""
    for row in report.rows:
        if (row["sequence"], row["mask"]) == (case.sequence, case.mask):
            column = find_column(leading)
            value = f"{column.show(row.get(leading))} {column.unit}"
            picture = ledger.picture(case, row["method"])
            yield _draw_strip(picture, f"{row['method']}, {column.title} {value}", case)


def _draw_strip(jpeg: bytes | None, caption: str, case: Case) -> str:
    if jpeg is None:
        return ""
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<img alt="{escape(f"{case}: {caption}")}"'
        f' src="data:image/jpeg;base64,{b64encode(jpeg).decode()}"></figure>'
    )


def _draw_all_curves(report: Report, cases: Sequence[Case]) -> Iterable[str]:
    """Render the curves of each case, collapsed except the first."""
    name = choose_leading(metric for row in report.rows for metric in row.get("curves", {}))
    if name is None:
        return
    column = find_column(name)
    label = f"{column.title}, {column.unit}" if column.unit else column.title
    yield f"<h2>Curves over time</h2><p>{escape(label)}</p>"
    for number, case in enumerate(cases):
        curves = {
            row["method"]: row["curves"][name]
            for row in report.rows
            if (row["sequence"], row["mask"]) == (case.sequence, case.mask)
            and name in row.get("curves", {})
        }
        picture = draw_curves(curves, label)
        if picture:
            yield (
                f"<details{' open' if number == 0 else ''}><summary>{escape(str(case))}</summary>"
                f"{_draw_legend(curves)}{picture}</details>"
            )


def _draw_legend(names: Iterable[str]) -> str:
    entries = [
        f'<li><svg viewBox="0 0 32 12"><path class="line{number % COLOURS}'
        f'{" dashed" if number >= COLOURS else ""}" d="M2 6H30"/></svg>{escape(name)}</li>'
        for number, name in enumerate(names)
    ]
    return f'<ul class="legend">{"".join(entries)}</ul>'
