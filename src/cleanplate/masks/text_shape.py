"""The pixels a caption covers: its letters with outline and shadow, and the bar behind them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.text_captions import Moment, Track
from cleanplate.masks.text_template import Template
from cleanplate.masks.view import Shape
from cleanplate.types import Box, Size

Mask = npt.NDArray[np.bool_]

_INK = 0.15
"""Contrast of ink, as a share of the letters' strongest."""
_STRONG_INK = 0.5
"""The same beside the box, where detectors leave out dashes and quotation marks."""
_CHANGED = 4.0
"""Levels by which a bar changes the picture at the least."""
_FILLED, _OUTSIDE = 0.8, 0.6
"""Share of a bar's rows and columns that changes with it, and of those next to it at most."""
_STEP = 2.5
"""Levels between a bar and what is next to it, on average over time."""


def find_shape(track: Track, *, bars: bool = True) -> Shape:
    """All pixels that `track` covers: its letters, and with `bars` the bar behind them."""
    area, letters = track.template.area, find_letters(track.template)
    bar = find_bar(track) if bars else None
    if bar is None:
        return Shape(area, letters)
    # A compressed bar bleeds into the pixels next to it.
    around = Box(bar.x - 1, bar.y - 1, bar.width + 2, bar.height + 2)
    height, width = track.first.frame.shape[:2]
    return join_shapes([Shape(area, letters), _fill_box(around, Size(width, height))])


def join_shapes(shapes: Sequence[Shape]) -> Shape:
    """One shape that covers what any of `shapes` covers."""
    left, top = (min(getattr(shape.area, name) for shape in shapes) for name in ("x", "y"))
    right = max(shape.area.x + shape.area.width for shape in shapes)
    bottom = max(shape.area.y + shape.area.height for shape in shapes)
    joined = np.zeros((bottom - top, right - left), np.bool_)
    for area, covers in shapes:
        x, y = area.x - left, area.y - top
        joined[y : y + area.height, x : x + area.width] |= covers
    return Shape(Box(left, top, right - left, bottom - top), joined)


def _fill_box(box: Box, size: Size) -> Shape:
    """The part of a rectangle inside a frame of `size`."""
    inside = box.clipped(size)
    if inside is None:
        raise ValueError(f"box {box} is outside the frame")
    return Shape(inside, np.ones(inside.size.shape, np.bool_))


def find_letters(template: Template) -> Mask:
    """The letters with what surrounds them closely, bool `(h, w)` in the template's area.

    Ink is what stands out from the mean picture's rough structure. It is closed and grown by a
    share of the line's height, as an outline or a shadow may be faint.
    """
    height = template.box.height
    reach = max(2, round(0.12 * height))
    mean = template.mean
    side = max(3, height // 2) | 1
    detail = np.abs(mean - cv2.blur(mean, (side, side))).max(axis=2)
    strong = float(np.percentile(detail[template.inside], 95))
    ink = (detail > _INK * strong) & _grow(template.inside, max(1, reach // 2))
    ink |= (detail > _STRONG_INK * strong) & _beside(template)
    closed = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_CLOSE, _disc(reach))
    return _grow(closed.astype(np.bool_), reach)


def _beside(template: Template) -> Mask:
    """The area's rows that the box spans."""
    band = np.zeros(template.area.size.shape, np.bool_)
    band[template.inside.any(axis=1)] = True
    return band


def find_bar(track: Track) -> Box | None:
    """The bar behind the text, in the frame's pixels; None when there is none.

    It is the rectangle around the letters that changes when the caption comes or goes. Where that
    cannot be seen, it is what has four straight edges in the mean picture over time.
    """
    pairs = ((track.before, track.full[0]), (track.after, track.full[1]))
    found = [_find_changed(track, gone, there) for gone, there in pairs if gone is not None]
    bars = [box for box in found if box is not None]
    if bars:
        return min(bars, key=lambda box: box.width * box.height)
    return _find_edged(track.template)


def _find_changed(track: Track, gone: Moment, there: Moment) -> Box | None:
    """The rectangle that differs between two frames, one with the caption and one without."""
    box = track.template.box
    change = cv2.absdiff(gone.frame, there.frame).max(axis=2)
    usual = float(np.percentile(change, 60))
    changed = change > max(_CHANGED, 1.5 * usual)
    rows = _run_around(changed[:, box.slices[1]].mean(axis=1), box.y + box.height // 2)
    if rows is None:
        return None
    columns = _run_around(changed[rows].mean(axis=0), box.x + box.width // 2)
    if columns is None:
        return None
    bar = Box(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    return bar if _is_bar(bar, box) else None


def _run_around(share: npt.NDArray[np.floating], middle: int) -> slice | None:
    """The run of high shares around `middle`; None unless what lies next to it is low."""
    low = np.flatnonzero(share < _FILLED)
    before, after = low[low < middle], low[low > middle]
    start = int(before[-1]) + 1 if len(before) else 0
    stop = int(after[0]) if len(after) else len(share)
    if share[middle] < _FILLED:
        return None
    # The very next line may be half covered, so the one behind it decides.
    beside = [share[at] for at in (start - 2, stop + 1) if 0 <= at < len(share)]
    return slice(start, stop) if all(value < _OUTSIDE for value in beside) else None


def _find_edged(template: Template) -> Box | None:
    """The rectangle around the box whose four edges stay while the rest of the picture moves."""
    area, box = template.area, template.box
    mean = template.mean.mean(axis=2)
    x, y = box.x - area.x, box.y - area.y
    down = np.median(np.diff(mean[:, x : x + box.width], axis=0), axis=1)
    top, bottom = _find_edges(down, y + box.height // 4, y + box.height * 3 // 4)
    if top is None or bottom is None:
        return None
    across = np.median(np.diff(mean[top:bottom], axis=1), axis=0)
    left, right = _find_edges(across, x + box.height // 2, x + box.width - box.height // 2)
    if left is None or right is None:
        return None
    bar = Box(area.x + left, area.y + top, right - left, bottom - top)
    return bar if _is_bar(bar, box) else None


def _find_edges(
    steps: npt.NDArray[np.floating], before: int, after: int
) -> tuple[int | None, int | None]:
    """Where the largest steps are, one up to `before` and one of the other sign from `after` on."""
    size = np.abs(steps)
    if not 0 < before <= after < len(steps):
        return None, None
    first, last = int(size[:before].argmax()), after + int(size[after:].argmax())
    opposite = steps[first] * steps[last] < 0
    if not opposite or min(size[first], size[last]) < _STEP:
        return None, None
    return first + 1, last + 1


def _is_bar(bar: Box, text: Box) -> bool:
    """`bar` encloses a line or a few lines of text, and hardly more."""
    encloses = bar.width > 0.9 * text.width and bar.height > 0.9 * text.height
    return encloses and bar.height < 4 * text.height


def _grow(mask: Mask, pixels: int) -> Mask:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _disc(pixels)), np.bool_)


def _disc(radius: int) -> npt.NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
