"""A caption's fine structure, and how much of it a frame shows: a matched filter."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_RANGE = 24
"""Pixels that moving text is looked for around its place, from one frame to the next."""


class Match(NamedTuple):
    """How a frame compares with a template."""

    strength: float
    """Share of the template's contrast that the frame shows: 1 there, 0 gone, between in a fade."""
    likeness: float
    """Correlation, -1 to 1."""

    @property
    def stands(self) -> bool:
        """The caption is there, be it half faded."""
        return self.strength > 0.5 and self.likeness > 0.55


class Template:
    """The mean picture of a caption in its box, over the frames in which it stood.

    What moves behind the letters averages out; the letters stay.
    """

    def __init__(self, box: Box, frame: Frame) -> None:
        self.box = box
        self.margin = max(4, round(0.6 * box.height))
        wide = Box(
            box.x - self.margin,
            box.y - self.margin,
            box.width + 2 * self.margin,
            box.height + 2 * self.margin,
        ).clipped(Size(frame.shape[1], frame.shape[0]))
        if wide is None:
            raise ValueError(f"box {box} is outside the frame")
        self.area = wide
        """The box and what is around it, where an outline, a shadow or a bar may reach."""
        self.count = 0
        self._sum = np.zeros((*wide.size.shape, 3), np.float32)
        self._squares = np.zeros_like(self._sum)
        self.learn(frame)

    def learn(self, frame: Frame) -> None:
        """Take in a frame in which the caption stands."""
        pixels = frame[self.area.slices].astype(np.float32)
        self._sum += pixels
        self._squares += pixels * pixels
        self.count += 1
        self._detail = _sharpen(self.mean[self._inner], self.box.height)
        self._energy = float((self._detail**2).sum()) + 1e-3

    def match(self, frame: Frame) -> Match:
        """Compare the box in `frame` with the template."""
        detail = _sharpen(frame[self.box.slices].astype(np.float32), self.box.height)
        product = float((detail * self._detail).sum())
        energy = float((detail**2).sum()) + 1e-3
        return Match(product / self._energy, product / np.sqrt(energy * self._energy))

    def is_beside(self, frame: Frame) -> bool:
        """True when the text stands in `frame`, but elsewhere than in the box."""
        around = Box(
            self.box.x - _RANGE,
            self.box.y - _RANGE,
            self.box.width + 2 * _RANGE,
            self.box.height + 2 * _RANGE,
        ).clipped(Size(frame.shape[1], frame.shape[0]))
        if around is None:
            return False
        detail = _sharpen(frame[around.slices].astype(np.float32), self.box.height)
        scores = cv2.matchTemplate(detail, self._detail, cv2.TM_CCOEFF_NORMED)
        at = np.unravel_index(int(scores.argmax()), scores.shape)
        moved = (int(at[1]) + around.x, int(at[0]) + around.y) != (self.box.x, self.box.y)
        return moved and float(scores.max()) > 0.6

    @property
    def mean(self) -> Field:
        """Mean colour over time in the area, `(h, w, 3)` in levels."""
        return np.asarray(self._sum / self.count, np.float32)

    @property
    def deviation(self) -> Field:
        """Deviation over time of the liveliest channel in the area, `(h, w)` in levels."""
        spread = self._squares / self.count - self.mean**2
        return np.asarray(np.sqrt(np.clip(spread, 0, None)).max(axis=2), np.float32)

    @property
    def strokes(self) -> Mask:
        """Pixels of the area that the letters surely cover, bool `(h, w)`."""
        found = np.zeros(self.area.size.shape, np.bool_)
        contrast = np.abs(self._detail).max(axis=2)
        found[self._inner] = contrast > 0.5 * np.percentile(contrast, 98)
        return found

    @property
    def _inner(self) -> tuple[slice, slice]:
        """The box inside the area."""
        x, y = self.box.x - self.area.x, self.box.y - self.area.y
        return slice(y, y + self.box.height), slice(x, x + self.box.width)

    @property
    def inside(self) -> Mask:
        """The box as a mask of the area."""
        mask = np.zeros(self.area.size.shape, np.bool_)
        mask[self._inner] = True
        return mask


def _sharpen(pixels: Field, height: int) -> Field:
    """What is finer than half a line of text."""
    side = max(3, height // 2) | 1
    rough = cv2.blur(pixels, (side, side), borderType=cv2.BORDER_REFLECT)
    return np.asarray(pixels - rough, np.float32)
