"""Boxes in a picture: around a hole, around several, where two meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.types import Box

Mask = npt.NDArray[np.bool_]


def bound(mask: Mask) -> Box | None:
    """The smallest box around the True pixels of `mask` (h, w)."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return Box(x, y, width, height) if width else None


def widen(box: Box, margin: int, shape: tuple[int, int]) -> Box:
    """`box` with `margin` pixels more on each side, inside a picture of (height, width)."""
    x, y = max(0, box.x - margin), max(0, box.y - margin)
    right = min(shape[1], box.x + box.width + margin)
    bottom = min(shape[0], box.y + box.height + margin)
    return Box(x, y, right - x, bottom - y)


def join(boxes: Iterable[Box | None]) -> Box | None:
    """The smallest box around all of them."""
    some = [box for box in boxes if box is not None]
    if not some:
        return None
    x, y = min(box.x for box in some), min(box.y for box in some)
    right = max(box.x + box.width for box in some)
    bottom = max(box.y + box.height for box in some)
    return Box(x, y, right - x, bottom - y)


def overlap(one: Box, other: Box) -> Box | None:
    """What lies in both, if anything."""
    x, y = max(one.x, other.x), max(one.y, other.y)
    right = min(one.x + one.width, other.x + other.width)
    bottom = min(one.y + one.height, other.y + other.height)
    return Box(x, y, right - x, bottom - y) if right > x and bottom > y else None


def within(box: Box, outer: Box) -> Box:
    """`box` counted from the corner of `outer`."""
    return replace(box, x=box.x - outer.x, y=box.y - outer.y)
