"""Appearance of an object: its colours against its surroundings, and its cast shadow."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Mask, dilate

Field = npt.NDArray[np.float32]
Index = npt.NDArray[np.int32]

_LIGHT, _TINT = 12, 12
"""Bins of lightness, and of each of the two chroma axes of CIELAB."""
_COLOURS = _LIGHT * _TINT * _TINT
_CELLS = 7
"""Cells along each axis of the object's surroundings."""
_REACH = 1.75
"""Distance of the outermost cells from the object's centre, in half extents of the object."""
_ELSEWHERE = 0.3
"""Weight of a colour seen elsewhere on the object (or around it) against one seen here."""
_UNSEEN = 0.4
"""Weight, per bin, of having seen nothing yet: keeps rare colours undecided."""
_LIMIT = 4.0


@dataclass
class Place:
    """Where the object is: centre and half extents in pixels."""

    x: float
    y: float
    half_width: float
    half_height: float

    @classmethod
    def around(cls, mask: npt.NDArray[np.bool_]) -> Place:
        """The box of `mask` (h, w), which marks something."""
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        return cls(x + width / 2, y + height / 2, max(width / 2, 4), max(height / 2, 4))

    @property
    def extent(self) -> float:
        """The side of a square of the same area as the box, in pixels."""
        return 2 * float(np.sqrt(self.half_width * self.half_height))

    def approach(self, other: Place, pace: float) -> None:
        """Go a part of the way to `other`."""
        self.x += pace * (other.x - self.x)
        self.y += pace * (other.y - self.y)
        self.half_width += pace * (other.half_width - self.half_width)
        self.half_height += pace * (other.half_height - self.half_height)

    def window(self, shape: tuple[int, int], reach: float = _REACH) -> tuple[slice, slice]:
        """Rows and columns of the surroundings that lie in a frame of `shape`; never empty."""
        rows = _span(self.y, self.half_height * reach + 8, shape[0])
        return rows, _span(self.x, self.half_width * reach + 8, shape[1])

    def hold(self, part: Place) -> None:
        """Shift as little as needed for `part` to lie inside."""
        spare_x = max(self.half_width - part.half_width, 0)
        spare_y = max(self.half_height - part.half_height, 0)
        self.x = float(np.clip(self.x, part.x - spare_x, part.x + spare_x))
        self.y = float(np.clip(self.y, part.y - spare_y, part.y + spare_y))

    def cover(self, seen: Place, shrink: float) -> Place:
        """A box about the centre of `seen` that holds it, no smaller than `shrink` times this."""
        width, height = shrink * self.half_width, shrink * self.half_height
        return Place(seen.x, seen.y, max(seen.half_width, width), max(seen.half_height, height))

    def box(self, shape: tuple[int, int], grown: float = 1.0) -> npt.NDArray[np.bool_]:
        """The box in a frame of `shape`, bool (h, w), its sides times `grown`."""
        inside = np.zeros(shape, np.bool_)
        high, wide = self.half_height * grown, self.half_width * grown
        rows = slice(max(int(self.y - high), 0), max(int(self.y + high) + 1, 0))
        columns = slice(max(int(self.x - wide), 0), max(int(self.x + wide) + 1, 0))
        inside[rows, columns] = True
        return inside

    def cells(self, window: tuple[slice, slice]) -> Index:
        """The number of the cell of each pixel of `window`, int32 (h, w)."""
        rows, columns = window
        y = (np.arange(rows.start, rows.stop) - self.y) / (self.half_height * _REACH)
        x = (np.arange(columns.start, columns.stop) - self.x) / (self.half_width * _REACH)
        row, column = (
            np.clip((v + 1) / 2 * _CELLS, 0, _CELLS - 1).astype(np.int32) for v in (y, x)
        )
        return np.asarray(row[:, None] * _CELLS + column[None], np.int32)


def _span(centre: float, half: float, length: int) -> slice:
    low = int(np.clip(np.floor(centre - half), 0, max(length - 2, 0)))
    high = int(np.clip(np.ceil(centre + half), low + min(2, length), length))
    return slice(low, high)


def find_colours(frame: npt.NDArray[np.uint8]) -> Index:
    """The colour bin of each pixel of an RGB frame (h, w, 3), int32 (h, w)."""
    lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)
    light = lab[..., 0].astype(np.int32) * _LIGHT // 256
    tint = np.clip((lab[..., 1:].astype(np.int32) - (128 - 4 * _TINT)) // 8, 0, _TINT - 1)
    return np.asarray((light * _TINT + tint[..., 0]) * _TINT + tint[..., 1], np.int32)


class Appearance:
    """Histograms of colour by place for the object and its surroundings.

    The object's has a part that never changes, from the frame that a person marked, and one that
    follows what is seen.
    """

    def __init__(self, colours: Index, cells: Index, share: Field, outside: Field) -> None:
        self._first = _count(colours, cells, share)
        self._object = self._first.copy()
        self._around = _count(colours, cells, outside)
        self._fit()

    def learn(
        self, colours: Index, cells: Index, share: Field, surely_not: Field, pace: float
    ) -> None:
        """Take in a frame: `share` (h, w) is the object, `surely_not` its surroundings."""
        self._object += pace * (_count(colours, cells, share) - self._object)
        self.look_around(colours, cells, surely_not)

    def look_around(
        self, colours: Index, cells: Index, surely_not: Field, pace: float = 0.3
    ) -> None:
        """Take in only the surroundings of a frame, weights (h, w)."""
        self._around += pace * (_count(colours, cells, surely_not) - self._around)
        self._fit()

    def compare(self, colours: Index, cells: Index) -> Field:
        """Log of how much likelier each pixel is the object's than its surroundings', (h, w)."""
        return np.asarray(self._ratio.ravel()[cells * _COLOURS + colours])

    @property
    def overall(self) -> Field:
        """Frequency of each colour in the object, wherever it is in it."""
        return np.asarray(0.5 * (self._object + self._first).sum(0), np.float32)

    def measure_likeness(self, colours: Index, share: Field) -> float:
        """How far the colours under `share` (h, w) are those first marked, 0 to 1."""
        now = _spread(_count(colours, np.zeros_like(colours), share)).sum(0)
        first = _spread(self._first).sum(0)
        return float(np.sqrt(now * first).sum())

    def _fit(self) -> None:
        ours = _spread(0.5 * (self._object + self._first))
        theirs = _spread(self._around)
        mine, other = _back_off(ours), _back_off(theirs)
        self._ratio = _ratio(mine, other, _COLOURS * _CELLS * _CELLS)


def measure_overlap(one: Field, other: Field) -> float:
    """Bhattacharyya coefficient of two colour histograms, 0 to 1; neighbouring bins are alike."""
    roots = []
    for histogram in (one, other):
        table = histogram.reshape(_LIGHT, _TINT, _TINT)
        for axis in range(table.ndim):
            table = _blur(table, axis)
        roots.append(np.sqrt(table / max(float(table.sum()), 1e-6)))
    return float((roots[0] * roots[1]).sum())


def _count(colours: Index, cells: Index, weight: Field) -> Field:
    """Histogram `(cells, colours)` with sum 1."""
    bins = (cells * _COLOURS + colours).ravel()
    total = np.bincount(bins, weight.ravel(), minlength=_CELLS * _CELLS * _COLOURS)
    return np.asarray((total / max(total.sum(), 1e-6)).reshape(-1, _COLOURS), np.float32)


def _spread(histogram: Field) -> Field:
    """Blur along place and colour: neighbouring bins are alike."""
    table = histogram.reshape(_CELLS, _CELLS, _LIGHT, _TINT, _TINT)
    for axis in range(table.ndim):
        table = _blur(table, axis)
    return table.reshape(histogram.shape)


def _blur(table: Field, axis: int) -> Field:
    """Weights 1, 2, 1 along `axis`; the ends repeat."""
    front = np.take(table, [0, *range(table.shape[axis] - 1)], axis)
    back = np.take(table, [*range(1, table.shape[axis]), -1], axis)
    return np.asarray(0.5 * table + 0.25 * (front + back), np.float32)


def _back_off(table: Field) -> Field:
    """Mix in what is known of a colour wherever it is seen."""
    return np.asarray(table + _ELSEWHERE * table.sum(0) / len(table), np.float32)


def _ratio(mine: Field, other: Field, bins: int) -> Field:
    unseen = _UNSEEN / bins
    return np.clip(np.log((mine + unseen) / (other + unseen)), -_LIMIT, _LIMIT).astype(np.float32)


_DARKER = 0.12
"""Natural log of how much darker a shadow is than the ground above and under it, at least."""
_THICK = 0.2
"""A shadow is at most so thick, in heights of the object."""
_FOOT = 0.3
"""It lies beside the lowest part of the object, in heights of the object,"""
_LONG = 0.5
"""and is at least so long."""
_NEAR = 0.12
"""It begins so near to it: a runner's feet leave the ground."""
_INSIDE = 0.7


class CastShadow:
    """Finds an object's long shadow again on the side on which it was marked."""

    def __init__(self, frame: npt.NDArray[np.uint8], marked: Mask) -> None:
        """`frame` uint8 RGB (h, w, 3); `marked` bool (h, w) holds the object and its shadow."""
        body = find_body(marked)
        self._sides = [
            side for side in (-1, 1) if _is_inside(find_strip(frame, body, side), marked)
        ]

    def find(self, frame: npt.NDArray[np.uint8], body: Mask) -> Mask:
        """The shadow of `body` (h, w), bool (h, w), with a margin; often there is none."""
        found = np.zeros(body.shape, np.bool_)
        if self._sides and body.any():
            body = find_body(body)
            for side in self._sides:
                found |= find_strip(frame, body, side)
            found = dilate(found, round(0.04 * _measure_height(body)) + 1)
        return found


def _is_inside(strip: Mask, marked: Mask) -> bool:
    return bool(strip.any() and (strip & marked).sum() > _INSIDE * strip.sum())


def find_body(mask: Mask) -> Mask:
    """The largest part of `mask`, bool (h, w)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if len(stats) < 2:
        return mask
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def find_strip(frame: npt.NDArray[np.uint8], body: Mask, side: int) -> Mask:
    """A dark strip on the ground, bool (h, w), left (-1) or right (1) of `body`, from its foot on.

    A closing of the lightness along columns fills dark strips thinner than its kernel (the black
    hat transform); what is filled and touches the foot is the shadow.
    """
    none = np.zeros(body.shape, np.bool_)
    if not body.any():
        return none
    height, bottom = _measure_height(body), int(np.flatnonzero(body.any(1))[-1])
    light = np.log(cv2.GaussianBlur(frame, (0, 0), 1).max(-1).astype(np.float32) + 8)
    kernel = np.ones((2 * round(_THICK * height / 2) + 1, 1), np.uint8)
    dark = (cv2.morphologyEx(light, cv2.MORPH_BLACKHAT, kernel) > _DARKER).astype(np.uint8)
    dark[: max(bottom - round(_FOOT * height), 0)] = 0
    dark[bottom + round(_THICK * height) :] = 0
    centre = int(np.median(np.nonzero(body)[1]))
    dark[:, slice(centre, None) if side < 0 else slice(0, centre)] = 0
    bridge = np.ones((1, 2 * round(0.05 * height) + 1), np.uint8)
    dark = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, bridge)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
    touched = np.unique(labels[dilate(body, round(_NEAR * height) + 1)])
    long = [n for n in touched if n and stats[n, cv2.CC_STAT_WIDTH] > _LONG * height]
    return np.asarray(np.isin(labels, long)) if long else none


def _measure_height(mask: Mask) -> float:
    return float(cv2.boundingRect(mask.astype(np.uint8))[3])
