"""Join, translate and cut shapes: covered pixels in a part of the working frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cleanplate.masks.source import Shape
from cleanplate.masks.template import Offset
from cleanplate.motion.areas import overlap, within
from cleanplate.types import Box, Size


def join_shapes(shapes: Sequence[Shape]) -> Shape:
    """Join shapes to one that covers all of them."""
    left, top = (min(getattr(shape.area, name) for shape in shapes) for name in ("x", "y"))
    right = max(shape.area.x + shape.area.width for shape in shapes)
    bottom = max(shape.area.y + shape.area.height for shape in shapes)
    joined = np.zeros((bottom - top, right - left), np.bool_)
    for area, covers in shapes:
        x, y = area.x - left, area.y - top
        joined[y : y + area.height, x : x + area.width] |= covers
    return Shape(Box(left, top, right - left, bottom - top), joined)


def fill_box(box: Box, size: Size) -> Shape:
    """Make a shape of the part of a rectangle inside a frame of `size`."""
    inside = box.clipped(size)
    if inside is None:
        raise ValueError(f"box {box} is outside the frame")
    return Shape(inside, np.ones(inside.size.shape, np.bool_))


def move_shape(shape: Shape, offset: Offset, size: Size) -> Shape | None:
    """Translate `shape` and clip it to a picture of `size`; None if it is outside."""
    if offset == (0, 0):
        return shape
    area = replace(shape.area, x=shape.area.x + offset.x, y=shape.area.y + offset.y)
    inside = area.clipped(size)
    if inside is None:
        return None
    return Shape(inside, shape.covers[within(inside, area).slices])


def cut_off(shape: Shape, picture: Box) -> Shape:
    """Return the part of `shape` outside `picture`."""
    common = overlap(shape.area, picture)
    if common is None:
        return shape
    covers = shape.covers.copy()
    covers[within(common, shape.area).slices] = False
    return Shape(shape.area, covers)
