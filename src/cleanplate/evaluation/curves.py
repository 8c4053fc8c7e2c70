"""Curves over time as inline SVG, drawn with the colours of the page's theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Curve = Sequence[float | None]

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34
COLOURS = 8
"""Classes `line0` to `line7` of the page's style sheet; further curves are dashed."""


def draw_curves(curves: Mapping[str, Curve], label: str) -> str:
    """An SVG picture of a curve for each name; frames along x, `label` along y.

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
    """About five round numbers that enclose `low` to `high`."""
    span = max(high - low, 1e-6 * max(abs(high), 1))
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _trace(curve: Curve, length: int, ticks: Sequence[float]) -> str:
    """The `d` of a path; a lone value becomes a dot."""
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
