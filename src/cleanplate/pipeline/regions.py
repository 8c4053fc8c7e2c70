"""Which pixels are worked on: the surroundings of the hole, at a resolution that is affordable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cleanplate.types import Box, Size

Mask = npt.NDArray[np.bool_]

_MOST = 0.5


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture, and the size at which it is worked on."""

    box: Box
    work: Size


def find_region(
    masks: Iterable[Mask], size: Size, *, margin: float, least: Size, pixels: int
) -> Region | None:
    """Region around all holes of `masks` (h, w), or None when there is no hole.

    The holes' bounding box grows on each side by `margin` times its own longer side, and to at
    least `least`, within a picture of `size`. Above `pixels` pixels it is worked on scaled down.
    """
    box = find_box(masks)
    if box is None:
        return None
    extra = 2 * round(margin * max(box.width, box.height))
    if (box.width + extra) * (box.height + extra) > _MOST * size.width * size.height:
        extra = 2 * max(size.width, size.height)
    x, width = _widen(box.x, box.width, max(box.width + extra, least.width), size.width)
    y, height = _widen(box.y, box.height, max(box.height + extra, least.height), size.height)
    scale = min(1.0, (pixels / (width * height)) ** 0.5)
    work = Size(max(1, round(width * scale)), max(1, round(height * scale)))
    return Region(Box(x, y, width, height), work)


def find_box(masks: Iterable[Mask]) -> Box | None:
    """The smallest rectangle that holds all holes of `masks` (h, w), or None without a hole."""
    shadows = [(mask.any(1), mask.any(0)) for mask in masks]
    rows = np.flatnonzero(np.logical_or.reduce([rows for rows, _ in shadows]))
    columns = np.flatnonzero(np.logical_or.reduce([columns for _, columns in shadows]))
    if not len(rows):
        return None
    x, y = int(columns[0]), int(rows[0])
    return Box(x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1)


def _widen(start: int, length: int, wanted: int, limit: int) -> tuple[int, int]:
    """Grow an interval evenly to `wanted`, shifted and cut so that it stays in [0, limit)."""
    wanted = min(wanted, limit)
    first = start - (wanted - length) // 2
    return min(max(first, 0), limit - wanted), wanted
