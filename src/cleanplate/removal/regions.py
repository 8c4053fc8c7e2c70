"""Frames that are held, their holes, and the regions around them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cleanplate.masks import dilate as grow
from cleanplate.motion.areas import bound, join, overlap, widen, within
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Entry:
    """A frame that is held, and its hole; masks cover `box` only."""

    frame: Frame
    box: Box | None = None
    mask: Mask | None = None  # what must go: the user's mask, dilated
    touched: Mask | None = None  # that and its feathered rim: the hole that is filled
    core: Box | None = None  # around the user's mask as it came
    given: Mask | None = None  # the user's mask as it came

    @classmethod
    def of(cls, frame: Frame, mask: Mask, dilate: int, feather: int) -> Entry:
        """A frame and its user's mask, which grows by `dilate` and fades over `feather` more."""
        box = bound(mask)
        if box is None:
            return cls(frame)
        core, box = box, widen(box, dilate + feather, mask.shape)
        return cls(
            frame, box, *_grow_within(mask, box, dilate, feather), core, mask[box.slices].copy()
        )

    def hole(self, part: Box) -> Mask:
        """The hole within `part` of the picture, (h, w) of that part."""
        whole = np.zeros(part.size.shape, np.bool_)
        if self.box is None or self.touched is None:
            return whole
        common = overlap(self.box, part)
        if common is not None:
            whole[within(common, part).slices] = self.touched[within(common, self.box).slices]
        return whole

    def has_hole_of(self, other: Entry) -> bool:
        """Whether the hole is the same as that of `other`."""
        if self.box != other.box or self.touched is None or other.touched is None:
            return self.touched is other.touched
        return np.array_equal(self.touched, other.touched)

    def without(self, part: Box) -> Entry:
        """The same with no hole in `part` of the picture."""
        common = overlap(self.box, part) if self.box is not None else None
        if common is None or self.box is None or self.touched is None:
            return self
        touched = self.touched.copy()
        touched[within(common, self.box).slices] = False
        return replace(self, touched=touched)


def _grow_within(mask: Mask, box: Box, dilate: int, feather: int) -> tuple[Mask, Mask]:
    """The `box` of `mask` (h, w), grown, and with its rim; less, where that would cover the frame.

    Of a frame that is covered nothing is left to fill from.
    """
    for pixels, rim in ((dilate, feather), (dilate, 0), (0, 0)):
        core = grow(mask[box.slices], pixels)
        touched = grow(core, rim)
        if touched.size < mask.size or not touched.all():
            break
    return core, touched


def cut(frame: Frame, box: Box | None) -> Frame:
    """A copy of what `box` holds of `frame`."""
    return frame[box.slices].copy() if box is not None else frame[:0]


def pasted(frame: Frame, box: Box, part: Frame) -> Frame:
    """A copy of `frame` with `part` in `box`."""
    copy = frame.copy()
    copy[box.slices] = part
    return copy


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
