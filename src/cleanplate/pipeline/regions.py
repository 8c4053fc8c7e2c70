"""Which pixels are worked on: the surroundings of the hole, at a resolution that is affordable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cleanplate.flow.boxes import bound, join, overlap
from cleanplate.types import Box, Size

Mask = npt.NDArray[np.bool_]

_MOST = 0.5
_KEPT = 1.5
"""Times as large as needed that a region may be."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture, and the size at which it is worked on."""

    box: Box
    work: Size

    def serves(self, other: Region) -> bool:
        """Whether this one can be kept where `other` is called for: it holds it, with little more.

        What is known of one region cannot be used in another.
        """
        if overlap(self.box, other.box) != other.box:
            return False
        return _area(self.box) <= _KEPT * _area(other.box)


def find_region(
    masks: Iterable[Mask], size: Size, *, margin: float, least: Size, pixels: int
) -> Region | None:
    """Region around all holes of `masks` (h, w), or None when there is no hole."""
    box = find_box(masks)
    if box is None:
        return None
    return place_region(box, size, margin=margin, least=least, pixels=pixels)


def place_region(box: Box, size: Size, *, margin: float, least: Size, pixels: int) -> Region:
    """Region around holes that lie in `box`.

    The holes' bounding box grows on each side by `margin` times its own longer side, and to at
    least `least`, within a picture of `size`. Above `pixels` pixels it is worked on scaled down.
    """
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
    return join(bound(mask) for mask in masks)


def _widen(start: int, length: int, wanted: int, limit: int) -> tuple[int, int]:
    """Grow an interval evenly to `wanted`, shifted and cut so that it stays in [0, limit)."""
    wanted = min(wanted, limit)
    first = start - (wanted - length) // 2
    return min(max(first, 0), limit - wanted), wanted


def _area(box: Box) -> int:
    return box.width * box.height
