"""Template matching of a caption: its mean picture, matched in place, at an offset or a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TemplateTuning:
    """Constants of recognising a caption by its mean picture."""

    strength: float = 0.5
    """Minimum fraction of the template's contrast: less may be a faint copy, such as a shadow."""
    likeness: float = 0.55
    """Minimum correlation in place: fading text over a changing background still reaches it."""
    alike: float = 0.6
    """Minimum correlation at another place or size: there are many places, so it is stricter."""
    reach: int = 24
    """Pixels by which moving text can leave the expected place from one frame to the next."""
    visible: float = 0.3
    """Minimum fraction of sliding text inside the picture: less has too few letters to compare."""
    lowest: int = 5
    """Height and width in pixels below which a detection is noise: no letter is legible there."""
    margin: float = 0.6
    """Margin around the box in heights of the line: outline, shadow and bar end within it."""
    stroke: float = 0.5
    """Contrast of certain letter pixels as a fraction of the strongest: it excludes soft edges."""


_TUNING = TemplateTuning()


class Offset(NamedTuple):
    """Displacement of text from its box, in pixels."""

    x: int
    y: int

    def plus(self, other: Offset) -> Offset:
        """Add an offset."""
        return Offset(self.x + other.x, self.y + other.y)

    def less(self, other: Offset) -> Offset:
        """Subtract an offset."""
        return Offset(self.x - other.x, self.y - other.y)


class TemplateMatch(NamedTuple):
    """Comparison of a frame with a template."""

    strength: float
    """Fraction of the template's contrast in the frame: 1 there, 0 gone, between in a fade."""
    likeness: float
    """Correlation, -1 to 1."""

    @property
    def stands(self) -> bool:
        """Whether the caption is visible, even half faded."""
        # Strength alone is high on clutter, and likeness alone in a nearly finished fade.
        return self.strength > _TUNING.strength and self.likeness > _TUNING.likeness


class Template:
    """Mean picture of a caption in its box, over the frames that show it.

    The moving background averages out; the letters stay.
    """

    def __init__(self, box: Box, frame: Frame) -> None:
        self.box = box
        self.margin = max(4, round(_TUNING.margin * box.height))
        wide = Box(
            box.x - self.margin,
            box.y - self.margin,
            box.width + 2 * self.margin,
            box.height + 2 * self.margin,
        ).clipped(Size(frame.shape[1], frame.shape[0]))
        if wide is None:
            raise ValueError(f"box {box} is outside the frame")
        self.area = wide
        """The box with a margin, where an outline, a shadow or a bar may reach."""
        self.count = 0
        self._sum = np.zeros((*wide.size.shape, 3), np.float32)
        self._squares = np.zeros_like(self._sum)
        self.learn(frame)

    def learn(self, frame: Frame) -> None:
        """Add a frame that shows the caption."""
        pixels = frame[self.area.slices].astype(np.float32)
        self._sum += pixels
        self._squares += pixels * pixels
        self.count += 1
        self._detail = _sharpen(self.mean[self._inner], self.box.height)
        self._energy = float((self._detail**2).sum()) + 1e-3

    def match(self, frame: Frame) -> TemplateMatch:
        """Compare the box in `frame` with the template."""
        # Fine detail only: the brightness of the background must not count as similarity.
        detail = _sharpen(frame[self.box.slices].astype(np.float32), self.box.height)
        product = float((detail * self._detail).sum())
        energy = float((detail**2).sum()) + 1e-3
        return TemplateMatch(product / self._energy, product / np.sqrt(energy * self._energy))

    def is_beside(self, frame: Frame) -> bool:
        """Whether the best match in `frame` is near the box but not in it: the text has moved."""
        return self.find(frame, Offset(0, 0), _TUNING.reach) not in (None, Offset(0, 0))

    def find(self, frame: Frame, near: Offset, reach: int) -> Offset | None:
        """Find the text in `frame` within `reach` pixels of the offset `near` from its box.

        Parts outside the picture are not compared. Returns None if the correlation is too low.
        """
        box = replace(self.box, x=self.box.x + near.x, y=self.box.y + near.y)
        shown = box.clipped(Size(frame.shape[1], frame.shape[0]))
        if shown is None or shown.width * shown.height < _TUNING.visible * box.width * box.height:
            return None
        around = Box(
            shown.x - reach, shown.y - reach, shown.width + 2 * reach, shown.height + 2 * reach
        ).clipped(Size(frame.shape[1], frame.shape[0]))
        assert around is not None
        part = replace(shown, x=shown.x - box.x, y=shown.y - box.y)
        detail = _sharpen(frame[around.slices].astype(np.float32), self.box.height)
        known = np.ascontiguousarray(self._detail[part.slices])
        scores = cv2.matchTemplate(detail, known, cv2.TM_CCOEFF_NORMED)
        if float(scores.max()) < _TUNING.alike:
            return None
        y, x = (int(at) for at in np.unravel_index(int(scores.argmax()), scores.shape))
        return Offset(near.x + x + around.x - shown.x, near.y + y + around.y - shown.y)

    def find_scale(self, frame: Frame, scales: Sequence[float], least: float) -> float | None:
        """Find the scale with the best match of the text around the centre of its box.

        Returns None if the correlation is at most `least` at all `scales`.
        """
        best, found = least, None
        for scale in scales:
            width, height = round(self.box.width * scale), round(self.box.height * scale)
            if min(width, height) < _TUNING.lowest:
                continue
            around = Box(
                round(self.box.x + (self.box.width - width) / 2) - _TUNING.lowest,
                round(self.box.y + (self.box.height - height) / 2) - _TUNING.lowest,
                width + 2 * _TUNING.lowest,
                height + 2 * _TUNING.lowest,
            ).clipped(Size(frame.shape[1], frame.shape[0]))
            if around is None or around.width < width or around.height < height:
                continue
            # Scale before sharpening: "fine detail" depends on the height of the line.
            mean = self.mean[self._inner]
            text = cv2.resize(mean, (width, height), interpolation=cv2.INTER_AREA)
            seen = _sharpen(frame[around.slices].astype(np.float32), height)
            scores = cv2.matchTemplate(seen, _sharpen(text, height), cv2.TM_CCOEFF_NORMED)
            if float(scores.max()) > best:
                best, found = float(scores.max()), scale
        return found

    @property
    def mean(self) -> Field:
        """Mean colour over time in the area, `(h, w, 3)`, 0 to 255."""
        return np.asarray(self._sum / self.count, np.float32)

    @property
    def deviation(self) -> Field:
        """Largest standard deviation over time of the channels, `(h, w)`, in levels."""
        spread = self._squares / self.count - self.mean**2
        return np.asarray(np.sqrt(np.clip(spread, 0, None)).max(axis=2), np.float32)

    @property
    def strokes(self) -> Mask:
        """Pixels of the area that the letters certainly cover, bool `(h, w)`."""
        found = np.zeros(self.area.size.shape, np.bool_)
        contrast = np.abs(self._detail).max(axis=2)
        # Relative to nearly the strongest contrast, since the maximum may be a single pixel.
        found[self._inner] = contrast > _TUNING.stroke * np.percentile(contrast, 98)
        return found

    @property
    def signed_detail(self) -> Field:
        """Fine detail of the mean picture in the area, `(h, w)`: positive where it is brighter."""
        detail = np.zeros(self.area.size.shape, np.float32)
        detail[self._inner] = self._detail.mean(axis=2)
        return detail

    @property
    def _inner(self) -> tuple[slice, slice]:
        """Rows and columns of the box in the area."""
        x, y = self.box.x - self.area.x, self.box.y - self.area.y
        return slice(y, y + self.box.height), slice(x, x + self.box.width)

    @property
    def inside(self) -> Mask:
        """The box as a mask of the area."""
        mask = np.zeros(self.area.size.shape, np.bool_)
        mask[self._inner] = True
        return mask


def _sharpen(pixels: Field, height: int) -> Field:
    """Keep detail finer than half a line of text."""
    side = max(3, height // 2) | 1
    rough = cv2.blur(pixels, (side, side), borderType=cv2.BORDER_REFLECT)
    return np.asarray(pixels - rough, np.float32)
