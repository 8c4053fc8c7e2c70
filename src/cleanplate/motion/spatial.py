"""What one frame says about its own hole: the fallback where no other frame helps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, enlarge, shrink, shrink_mask, spread_statistics, widen
from cleanplate.motion.trace import look_up
from cleanplate.types import Box

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SpatialTuning:
    """Constants of the spatial fallback."""

    least_variety: float = 4.0
    """Smallest variance in levels² of the surroundings: even flat ones leave a guess uncertain."""
    reach: int = 3
    """Radius in pixels of the neighbourhood from which Telea's method fills a pixel."""
    around: int = 8
    """Pixels around a hole, at the reduced size, from which edges are continued."""
    thin: int = 8
    """Height and width in pixels below which OpenCV's Telea reads beyond the picture."""


_TUNING = SpatialTuning()


@dataclass(frozen=True)
class Guess:
    """A smooth completion of a hole from its rim.

    `box`: the part of a picture `width` pixels wide that it covers; `planes` (h, w, 4): colours in
    [0, 255], and the variance of the colours around, in levels²: how wrong they can be.
    """

    box: Box
    width: int
    planes: Field

    def at(self, x: Field, y: Field, width: int) -> Field:
        """Colours and variance (k, 4) at points x, y of a picture `width` pixels wide."""
        scale = np.float32(self.width / width)
        x, y = ((axis + np.float32(0.5)) * scale - np.float32(0.5) for axis in (x, y))
        return look_up(self.planes, x - np.float32(self.box.x), y - np.float32(self.box.y))

    def in_hole(self, mask: Mask) -> Field:
        """Colours and variance (k, 4) at the k pixels of the hole `mask` (h, w)."""
        from cleanplate.motion import kernels

        count = int(np.count_nonzero(mask))
        return kernels.sample_in_hole(mask, self.planes, *self._convert(mask), count)

    def _convert(self, mask: Mask) -> tuple[np.float32, np.float32, np.float32]:
        """What converts pixels of `mask` (h, w) to those of `planes`: scale, left, top."""
        scale = self.width / mask.shape[1]
        return np.float32(scale), np.float32(self.box.x), np.float32(self.box.y)

    def put_into(self, frame: Frame, mask: Mask) -> None:
        """Fill the hole `mask` (h, w) of `frame` (h, w, c >= 3)."""
        from cleanplate.motion import kernels

        kernels.paint(frame, mask, self.planes, *self._convert(mask))


def guess_from_rim(frame: Frame, mask: Mask) -> Guess | None:
    """Complete the hole `mask` (h, w) of `frame` (h, w, 3) smoothly; None without a hole."""
    box = bound(mask)
    if box is None:
        return None
    box = widen(box, 8 + max(box.width, box.height) // 2, mask.shape)
    image, known = frame[box.slices].astype(np.float32), (~mask[box.slices]).astype(np.float32)
    planes = spread_statistics(image, known)
    np.maximum(planes[..., 3], np.float32(_TUNING.least_variety), out=planes[..., 3])
    return Guess(box, mask.shape[1], planes)


def guess_at(frame: Frame, mask: Mask, work: tuple[int, int]) -> Guess | None:
    """As `guess_from_rim`, at the (height, width) `work`, unless no known pixel is left there."""
    hole = shrink_mask(mask, work)
    if hole.all() and not mask.all():
        return guess_from_rim(frame, mask)
    return guess_from_rim(shrink(frame, work), hole)


def see_around(scale: float) -> int:
    """Pixels around a hole that `continue_edges` looks at."""
    return round(_TUNING.around * scale)


def continue_edges(frame: Frame, mask: Mask, scale: float = 1.0) -> Frame:
    """Fill the hole `mask` (h, w) of `frame` (h, w, 3) by Telea's method (2004).

    It continues edges into the hole, where a smooth completion ends them, and smears: the mean of
    both is nearer to the truth than either, as measured. Slow in large holes, so it is
    done `scale` times smaller. Returns a picture that is right in the hole, or `frame` where
    nothing is known at that size.
    """
    box = bound(mask)
    if box is None or mask.all():
        return frame
    part = widen(box, see_around(scale), mask.shape)
    small = max(1, round(part.height / scale)), max(1, round(part.width / scale))
    hole = shrink_mask(mask[part.slices], small)
    if hole.all():
        return frame
    picture = np.ascontiguousarray(shrink(frame[part.slices], small))
    filled = frame.copy()
    filled[part.slices] = enlarge(_inpaint(picture, hole), part.size.shape)
    return filled


def _inpaint(picture: Frame, hole: Mask) -> Frame:
    """Telea's method within the range of known colours, which it leaves far from the rim."""
    height, width = hole.shape
    below, beside = max(0, _TUNING.thin - height), max(0, _TUNING.thin - width)
    around, marked = (
        cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        for image in (picture, hole.astype(np.uint8))
    )
    made = cv2.inpaint(around, marked, _TUNING.reach, cv2.INPAINT_TELEA)[:height, :width]
    known = picture[~hole]
    return np.asarray(made.clip(known.min(0), known.max(0)), np.uint8)


def fill_from_rim(frame: Frame, mask: Mask, pixels: int) -> Frame:
    """`frame` (h, w, 3) with its hole `mask` (h, w) filled by the mean of both guesses.

    A larger frame than `pixels` is looked at in that size.
    """
    scale = max(1.0, (mask.size / pixels) ** 0.5)
    work = (max(1, round(mask.shape[0] / scale)), max(1, round(mask.shape[1] / scale)))
    guess = guess_at(frame, mask, work)
    if guess is None:
        return frame
    filled = frame.copy()
    guess.put_into(filled, mask)
    edges = continue_edges(filled, mask, scale)[mask].astype(np.float32)
    filled[mask] = np.rint((edges + filled[mask]) / 2)
    return filled
