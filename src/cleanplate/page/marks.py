"""Boxes, clicks and strokes that a user marked on a clip, in display pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cleanplate.errors import InputError, MaskError
from cleanplate.masks.source import Mask
from cleanplate.page.downloads import name_frame
from cleanplate.types import Box, Size


@dataclass(frozen=True)
class ClickTuning:
    """Constants of the segmentation around a click; radii are fractions of the short side."""

    short_side: int = 240
    """Maximum short side of the segmented picture in pixels: a click must answer at once."""
    sure: float = 0.02
    """Radius of certain foreground: users click well inside an object."""
    likely: float = 0.10
    """Radius of probable foreground, from which the colours of the object are learned."""
    reach: float = 0.45
    """Radius beyond which everything is background: a larger object needs a box."""
    rounds: int = 4
    """Iterations of GrabCut: more hardly change the result."""


_TUNING = ClickTuning()


def segment_click(picture: npt.NDArray[np.uint8], x: float, y: float) -> Mask:
    """Segment the object at `x, y` of `picture`, uint8 RGB `(h, w, 3)`, as bool `(h, w)`.

    GrabCut (Rother, Kolmogorov, Blake: "GrabCut", SIGGRAPH 2004) separates colours near the click
    from those farther away; only the component connected to the click is kept. The user should
    check the result, which comes from a single frame. Raises MaskError for a click outside the
    picture.
    """
    height, width = picture.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise MaskError(f"the click {x:g},{y:g} is outside the picture, which is {width}x{height}")
    share = min(1.0, _TUNING.short_side / min(height, width))
    small_size = max(round(width * share), 1), max(round(height * share), 1)
    small = cv2.resize(picture, small_size, interpolation=cv2.INTER_AREA)
    seed = min(int(x * share), small_size[0] - 1), min(int(y * share), small_size[1] - 1)
    region = _keep_connected(_cut(small, seed), seed)
    grown = cv2.resize(region.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown > 0.5, np.bool_)


def _cut(picture: npt.NDArray[np.uint8], seed: tuple[int, int]) -> Mask:
    """Segment the foreground around `seed` (x, y)."""
    height, width = picture.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(columns - seed[0], rows - seed[1]) / min(height, width)
    labels = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    labels[distance < _TUNING.likely] = cv2.GC_PR_FGD
    labels[distance < _TUNING.sure] = cv2.GC_FGD
    labels[seed[1], seed[0]] = cv2.GC_FGD
    labels[distance > _TUNING.reach] = cv2.GC_BGD
    if not (labels == cv2.GC_BGD).any() and not (labels == cv2.GC_PR_BGD).any():
        return np.ones((height, width), np.bool_)
    state = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(picture[..., ::-1]), labels, None, *state, _TUNING.rounds,
        cv2.GC_INIT_WITH_MASK,
    )  # fmt: skip
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.bool_)


def _keep_connected(region: Mask, seed: tuple[int, int]) -> Mask:
    """Find the connected component of `region` that contains `seed`, and fill its holes."""
    parts = cv2.connectedComponents(region.astype(np.uint8), connectivity=4)[1]
    part = (parts == parts[seed[1], seed[0]]).astype(np.uint8)
    rims, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(part, rims, -1, 1, cv2.FILLED), np.bool_)


Length = Annotated[float, Field(ge=-20_000, le=20_000, allow_inf_nan=False)]
Point = tuple[Length, Length]
_PARTS = 4
"""Fractional bits of the coordinates that OpenCV draws with."""


class _Mark(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    frame: Annotated[int, Field(ge=0, le=10_000_000)]


class BoxMark(_Mark):
    """A rectangle `x, y, width, height` around the object."""

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


class Thing(BaseModel):
    """One thing to remove, and its marks in the order in which they were made.

    Attributes:
        id: identifies the thing in its clip for as long as the clip is open.
        name: what the user calls it.
        kind: "moving" is tracked through the clip; marks of "fixed" apply to every frame;
            "text" is detected automatically, inside the boxes if there are any.
        shadows: also cover the shadows and reflections of a moving object.
        on: whether it is removed.
        first: first frame in which it is removed.
        last: last frame in which it is removed; None is the end of the clip.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: Annotated[str, Field(pattern=r"^[0-9]{1,6}$")] = "1"
    name: Annotated[str, Field(max_length=60)] = ""
    kind: Literal["moving", "fixed", "text"] = "moving"
    shadows: bool = False
    on: bool = True
    first: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    last: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    marks: Annotated[list[Mark], Field(max_length=2000)] = []

    @property
    def is_marked(self) -> bool:
        """Whether it can be found: text is detected without marks."""
        return bool(self.marks) or self.kind == "text"

    @property
    def boxes(self) -> list[BoxMark]:
        """The boxes alone."""
        return [mark for mark in self.marks if isinstance(mark, BoxMark)]

    @property
    def corrections(self) -> list[ClickMark | Stroke]:
        """The clicks and strokes alone."""
        return [mark for mark in self.marks if not isinstance(mark, BoxMark)]

    def painted(self) -> dict[int, list[ClickMark | Stroke]]:
        """Group clicks and strokes by frame, in order."""
        found: dict[int, list[ClickMark | Stroke]] = {}
        for mark in self.corrections:
            found.setdefault(mark.frame, []).append(mark)
        return found

    def covers(self, frame: int) -> bool:
        """Whether it is removed from `frame`."""
        return self.first <= frame and (self.last is None or frame <= self.last)


class Marks(BaseModel):
    """All things marked on one clip."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    things: Annotated[list[Thing], Field(min_length=1, max_length=12)] = [Thing()]

    @field_validator("things")
    @classmethod
    def _check_ids(cls, things: list[Thing]) -> list[Thing]:
        if len({thing.id for thing in things}) < len(things):
            raise ValueError("two things have the same id")
        return things

    def check(self, size: Size, frames: int) -> None:
        """Raise InputError for a mark outside a video of this size and number of frames."""
        for mark in (mark for thing in self.things for mark in thing.marks):
            if mark.frame >= frames:
                raise InputError(f"there is no frame {mark.frame + 1}; the last is {frames}")
            if isinstance(mark, BoxMark):
                _check_box(mark, size)

    @property
    def wanted(self) -> list[Thing]:
        """The things that are on and marked, without their names, which change no pixel."""
        return [
            thing.model_copy(update={"name": ""})
            for thing in self.things
            if thing.on and thing.is_marked
        ]


def _check_box(mark: BoxMark, size: Size) -> None:
    left, top, width, height = mark.box
    if width <= 0 or height <= 0:
        raise InputError("the box has no size; draw it from corner to corner")
    right, bottom = min(left + width, size.width), min(top + height, size.height)
    if right <= max(left, 0) or bottom <= max(top, 0):
        raise InputError(
            f"the box is outside the picture, which is {size.width} by {size.height} pixels"
        )


def paint(
    mask: Mask, marks: Sequence[ClickMark | Stroke], segment: Callable[[ClickMark], Mask]
) -> Mask:
    """Draw `marks` into a copy of `mask`, bool `(h, w)`, in order; `segment` resolves clicks.

    Idempotent: at each pixel the last mark decides.
    """
    drawn = mask.astype(np.uint8)
    for mark in marks:
        if isinstance(mark, ClickMark):
            drawn |= segment(mark).astype(np.uint8)
        else:
            _draw(drawn, mark)
    return drawn.astype(np.bool_)


def round_box(mark: BoxMark) -> Box:
    """Round the box to whole pixels, at least 1x1."""
    left, top, width, height = mark.box
    x, y = round(left), round(top)
    return Box(x, y, max(round(left + width) - x, 1), max(round(top + height) - y, 1))


def fill_box(shape: tuple[int, int], mark: BoxMark) -> Mask:
    """Draw the box as a mask `(h, w)`."""
    mask = np.zeros(shape, np.bool_)
    box = round_box(mark).clipped(Size(shape[1], shape[0]))
    if box is not None:
        mask[box.slices] = True
    return mask


def _draw(drawn: npt.NDArray[np.uint8], stroke: Stroke) -> None:
    """Draw a stroke in place: discs at its points, connected by lines of the same width."""
    value = int(stroke.kind == "brush")
    scale = 1 << _PARTS
    # On the page, pixel i covers i to i + 1; OpenCV puts its centre at i.
    points = np.rint((np.asarray(stroke.points) - 0.5) * scale).astype(np.int32)
    for x, y in points.tolist():
        radius = max(round(stroke.radius * scale), scale // 2)
        cv2.circle(drawn, (x, y), radius, value, cv2.FILLED, cv2.LINE_8, _PARTS)
    width = max(round(2 * stroke.radius), 1)
    cv2.polylines(drawn, [points[:, None]], False, value, width, cv2.LINE_8, _PARTS)


def read_click(previews: Path, size: Size, click: ClickMark) -> Mask:
    """Segment the object under a click in the preview, bool `(h, w)`; `size` is the video's.

    Raises InputError for a frame that does not exist, MaskError for a point outside.
    """
    picture = cv2.imread(str(previews / name_frame(click.frame, "jpg")), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"there is no frame {click.frame + 1} to click on")
    height, width = picture.shape[:2]
    x, y = click.point[0] * width / size.width, click.point[1] * height / size.height
    return segment_click(np.ascontiguousarray(picture[..., ::-1], np.uint8), x, y)


def enlarge_mask(mask: Mask, size: Size) -> Mask:
    """Upsample `mask` to `size`."""
    large = cv2.resize(
        mask.astype(np.float32), (size.width, size.height), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(large > 0.5, np.bool_)
