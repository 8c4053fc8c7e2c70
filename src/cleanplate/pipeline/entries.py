"""A frame that is held until it is filled, its hole, and the two fields it may be woven of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cleanplate.flow.boxes import bound, overlap, widen, within
from cleanplate.masks import dilate as grow
from cleanplate.types import Box

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Entry:
    """A frame that is held, and its hole; masks cover `box` only."""

    frame: Frame
    box: Box | None = None
    mask: Mask | None = None  # what must go: the user's mask, dilated
    touched: Mask | None = None  # that and its feathered rim: the hole that is filled

    @classmethod
    def of(cls, frame: Frame, mask: Mask, dilate: int, feather: int) -> Entry:
        """A frame and its user's mask, which grows by `dilate` and fades over `feather` more."""
        box = bound(mask)
        if box is None:
            return cls(frame)
        box = widen(box, dilate + feather, mask.shape)
        return cls(frame, box, *_grow_within(mask, box, dilate, feather))

    def hole(self, part: Box) -> Mask:
        """The hole within `part` of the picture, (h, w) of that part."""
        whole = np.zeros(part.size.shape, np.bool_)
        if self.box is None or self.touched is None:
            return whole
        common = overlap(self.box, part)
        if common is not None:
            whole[within(common, part).slices] = self.touched[within(common, self.box).slices]
        return whole

    def field(self, parity: int) -> Entry:
        """The lines of one field, as a picture of its own; `parity` is that of their numbers.

        What was masked is not told: holes grow in frames, whose pixels are what people count.
        """
        frame = self.frame[parity::2]
        if self.box is None or self.touched is None:
            return Entry(frame)
        lines = field_lines(self.box, parity)
        touched = self.touched[lines]
        if not touched.any():
            return Entry(frame)
        y = (self.box.y + lines.start - parity) // 2
        return Entry(frame, Box(self.box.x, y, self.box.width, len(touched)), touched=touched)


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


def field_lines(box: Box, parity: int) -> slice:
    """Which lines of `box` belong to the field whose lines in the frame have that parity."""
    return slice((parity - box.y) % 2, None, 2)


def cut(frame: Frame, box: Box | None) -> Frame:
    """A copy of what `box` holds of `frame`."""
    return frame[box.slices].copy() if box is not None else frame[:0]


def pasted(frame: Frame, box: Box, part: Frame) -> Frame:
    """A copy of `frame` with `part` in `box`."""
    copy = frame.copy()
    copy[box.slices] = part
    return copy
