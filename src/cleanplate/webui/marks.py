"""What a person marked on a clip: boxes, clicks and strokes, in display pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from cleanplate.types import Box, Size

Mask = npt.NDArray[np.bool_]
Length = Annotated[float, Field(ge=-20_000, le=20_000, allow_inf_nan=False)]
Point = tuple[Length, Length]
_PARTS = 4
"""Binary digits behind the point that OpenCV draws with."""


class _Mark(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    frame: Annotated[int, Field(ge=0, le=10_000_000)]


class BoxMark(_Mark):
    """A rectangle `x, y, width, height` round the object."""

    kind: Literal["box"]
    box: tuple[Length, Length, Length, Length]


class ClickMark(_Mark):
    """A point on the object."""

    kind: Literal["click"]
    point: Point


class Stroke(_Mark):
    """A line painted with a round brush of `radius` that adds to the mask or erases from it."""

    kind: Literal["brush", "erase"]
    radius: Annotated[float, Field(gt=0, le=2000, allow_inf_nan=False)]
    points: Annotated[list[Point], Field(min_length=1, max_length=4000)]


Mark = Annotated[BoxMark | ClickMark | Stroke, Field(discriminator="kind")]


class Marks(BaseModel):
    """All marks of one clip, in the order in which they were made.

    Attributes:
        kind: "moving" is followed through the clip; of "fixed", every mark holds in every frame;
            "text" is looked for by itself, inside the boxes if there are any.
        shadows: take what moves along with a moving object, too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["moving", "fixed", "text"] = "moving"
    shadows: bool = False
    marks: Annotated[list[Mark], Field(max_length=2000)] = []

    @property
    def boxes(self) -> list[BoxMark]:
        """The boxes alone."""
        return [mark for mark in self.marks if isinstance(mark, BoxMark)]

    def painted(self) -> dict[int, list[ClickMark | Stroke]]:
        """Clicks and strokes by frame, each in order."""
        found: dict[int, list[ClickMark | Stroke]] = {}
        for mark in self.marks:
            if not isinstance(mark, BoxMark):
                found.setdefault(mark.frame, []).append(mark)
        return found


def paint(
    mask: Mask, marks: Sequence[ClickMark | Stroke], segment: Callable[[ClickMark], Mask]
) -> Mask:
    """`mask`, bool `(h, w)`, with `marks` drawn in, in order; `segment` says what a click means.

    Painting the same marks again changes nothing: at each pixel the last of them decides.
    """
    drawn = mask.astype(np.uint8)
    for mark in marks:
        if isinstance(mark, ClickMark):
            drawn |= segment(mark).astype(np.uint8)
        else:
            _draw(drawn, mark)
    return drawn.astype(np.bool_)


def round_box(mark: BoxMark) -> Box:
    """The box in whole pixels, of at least one."""
    left, top, width, height = mark.box
    x, y = round(left), round(top)
    return Box(x, y, max(round(left + width) - x, 1), max(round(top + height) - y, 1))


def fill_box(shape: tuple[int, int], mark: BoxMark) -> Mask:
    """The box as a mask `(h, w)`."""
    mask = np.zeros(shape, np.bool_)
    box = round_box(mark).clipped(Size(shape[1], shape[0]))
    if box is not None:
        mask[box.slices] = True
    return mask


def _draw(drawn: npt.NDArray[np.uint8], stroke: Stroke) -> None:
    """Draw a stroke in place: discs at its points, and lines as wide between them."""
    value = int(stroke.kind == "brush")
    scale = 1 << _PARTS
    # Pixel i covers i to i + 1 on the page, and its middle is i for OpenCV.
    points = np.rint((np.asarray(stroke.points) - 0.5) * scale).astype(np.int32)
    for x, y in points.tolist():
        radius = max(round(stroke.radius * scale), scale // 2)
        cv2.circle(drawn, (x, y), radius, value, cv2.FILLED, cv2.LINE_8, _PARTS)
    width = max(round(2 * stroke.radius), 1)
    cv2.polylines(drawn, [points[:, None]], False, value, width, cv2.LINE_8, _PARTS)
