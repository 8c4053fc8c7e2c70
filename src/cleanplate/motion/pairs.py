"""Motion between neighbours: estimated where a hole needs it, completed inside holes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, join, widen
from cleanplate.motion.flow import (
    Flow,
    FlowEstimator,
    PictureMotion,
    Samples,
    complete_flow,
    fit_motion,
    measure_inconsistency,
    square_length,
    take_samples,
)
from cleanplate.motion.trace import Way, look_up
from cleanplate.types import Box

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
_RIM = 4
"""Pixels around a hole whose flow is not trusted: DIS compares patches of 8 pixels."""
_REACH = 32
"""Pixels around a hole, and half its size more, on which flow is estimated in full."""
_LEAST = 64
"""Height and width of what is compared, at least: an estimator wants something to look at."""
_FAR = 0.1
"""Weight of a vector of the first look beside one of the second, for the picture's own motion."""
_WHOLE = 0.5
"""Share of the picture from which on all of it is taken."""


@dataclass(frozen=True)
class LocalFlow:
    """Completed flow around the hole of a picture `width` pixels wide.

    `planes` (h, w, 3): motion and its inconsistency; `x`, `y`: where the first of them lies;
    `reach`: the longest motion in the hole.
    """

    planes: Field
    x: int
    y: int
    width: int
    reach: float

    def follow(self, x: Field, y: Field) -> Field:
        """See Way.follow."""
        return look_up(self.planes, x - np.float32(self.x), y - np.float32(self.y))


@dataclass(frozen=True)
class Pair:
    """How a frame and the next one move: there and back, in the hole and as a whole."""

    ahead: LocalFlow
    behind: LocalFlow
    model_ahead: PictureMotion
    model_behind: PictureMotion


@dataclass(frozen=True)
class Motion:
    """How the frames of a shot move: a Pair for each two neighbours."""

    pairs: tuple[Pair, ...] = ()

    def __len__(self) -> int:
        """Number of pairs of neighbours."""
        return len(self.pairs)

    def without(self, frames: int) -> Motion:
        """The motion of what is left when the first `frames` are dropped."""
        return Motion(self.pairs[frames:])

    def joined(self, other: Motion) -> Motion:
        """This motion, then `other`."""
        return Motion(self.pairs + other.pairs)

    @classmethod
    def none(cls) -> Motion:
        """Of no pair."""
        return cls()

    def in_hole(self, t: int, u: int) -> Way:
        """From frame t to its neighbour u, by the completed flow."""
        return self.pairs[t].ahead if u > t else self.pairs[u].behind

    def of_picture(self, t: int, u: int) -> Way:
        """From frame t to its neighbour u, by the picture's own motion."""
        return self.pairs[t].model_ahead if u > t else self.pairs[u].model_behind


@dataclass(frozen=True)
class FlowInput:
    """A picture (h, w, 3) as flow is estimated on it.

    `hole` (h, w): where flow is completed; `unknown` (h, w): where it shows nothing real.
    """

    picture: Frame
    hole: Mask
    unknown: Mask

    @classmethod
    def of(cls, picture: Frame, hole: Mask, unknown: Mask) -> FlowInput:
        """With the rims in which patches still see the hole; narrower where it is filled."""
        rim = _RIM if unknown is hole else _RIM // 2
        return cls(picture, _grow(hole, _RIM), _grow(unknown, rim))


@dataclass(frozen=True)
class Sketch:
    """A first look at a pair: the Pair, and samples of the flow there and back."""

    pair: Pair
    ahead: Samples
    behind: Samples


def estimate_whole(one: FlowInput, other: FlowInput, estimator: FlowEstimator) -> Sketch:
    """Motion between two pictures, from all of them."""
    height, width = one.hole.shape
    whole = Box(0, 0, width, height)
    return _Comparison(one, other, whole, whole, estimator).finish(None)


def stand_still(shape: tuple[int, int]) -> Sketch:
    """Of two pictures of (height, width) `shape` without a hole: nobody follows their motion."""
    flow = LocalFlow(np.zeros((1, 1, 3), np.float32), 0, 0, shape[1], 0.0)
    model = PictureMotion(np.zeros((6, 2), np.float32), shape)
    none = np.zeros(0, np.float32)
    samples = Samples(np.zeros((0, 2), np.float32), none, none, none)
    return Sketch(Pair(flow, flow, model, model), samples, samples)


def estimate_near_hole(
    one: FlowInput, other: FlowInput, sketch: Sketch, estimator: FlowEstimator
) -> Pair:
    """Motion between two pictures, from the surroundings of their holes.

    How they move further away is known from the `sketch`, which may be of a smaller size.
    """
    here, there = _choose_windows(one.hole, other.hole, sketch.pair.model_ahead)
    return _Comparison(one, other, here, there, estimator).finish(sketch).pair


class _Comparison:
    """Flow between the parts `here` and `there` of two pictures."""

    def __init__(
        self, one: FlowInput, other: FlowInput, here: Box, there: Box, estimator: FlowEstimator
    ) -> None:
        self._one, self._other = one, other
        first = estimator.prepare(np.ascontiguousarray(one.picture[here.slices]))
        second = estimator.prepare(np.ascontiguousarray(other.picture[there.slices]))
        self._ahead = _place(estimator, first, second, here, there)
        self._behind = _place(estimator, second, first, there, here)

    def finish(self, sketch: Sketch | None) -> Sketch:
        """Complete the flow inside the holes; what it does not cover is in the `sketch`."""
        one, other, ahead, behind = self._one, self._other, self._ahead, self._behind
        shape = one.hole.shape
        samples = take_samples(ahead, behind, one.unknown, other.unknown)
        returned = take_samples(behind, ahead, other.unknown, one.unknown)
        if sketch is not None:
            ratio = shape[1] / sketch.pair.model_ahead.width
            samples = samples.joined(sketch.ahead.enlarged(ratio, _FAR).outside(ahead))
            returned = returned.joined(sketch.behind.enlarged(ratio, _FAR).outside(behind))
        models = fit_motion(samples, shape), fit_motion(returned, shape)
        to = complete_flow(ahead, behind, one.hole, one.unknown, other.unknown, models[0])
        fro = complete_flow(behind, ahead, other.hole, other.unknown, one.unknown, models[1])
        pair = Pair(_check(to, fro, one.hole), _check(fro, to, other.hole), *models)
        return Sketch(pair, samples, returned)


def _place(estimator: FlowEstimator, source: Any, target: Any, here: Box, there: Box) -> Flow:
    vectors = estimator.flow(source, target)
    if (here.x, here.y) != (there.x, there.y):
        vectors = vectors + np.array([there.x - here.x, there.y - here.y], np.float32)
    return Flow(vectors, here.x, here.y)


def _check(flow: Flow, back: Flow, hole: Mask) -> LocalFlow:
    """What lies in the hole, with its inconsistency."""
    box = bound(hole[flow.window]) or Box(0, 0, 1, 1)
    part = box.slices
    doubt = measure_inconsistency(flow, back, part)
    planes = np.concatenate([flow.vectors[part], doubt[..., None]], axis=2)
    length = square_length(flow.vectors[part][hole[flow.window][part]])
    reach = float(np.sqrt(length.max(initial=0)))
    return LocalFlow(planes, flow.x + box.x, flow.y + box.y, hole.shape[1], reach)


def _choose_windows(hole: Mask, hole_there: Mask, model: PictureMotion) -> tuple[Box, Box]:
    """Parts of two pictures that show the same, around both holes; of the same size."""
    height, width = hole.shape
    whole = Box(0, 0, width, height)
    one, other = bound(hole), bound(hole_there)
    centre = join([one, other]) or whole
    dx, dy = _shift_at(centre, model, width)
    moved = other and replace(other, x=other.x - dx, y=other.y - dy)
    around = join([one, moved]) or whole
    wanted = _REACH + max(around.width, around.height) // 2
    margin = max(wanted, (_LEAST - min(around.width, around.height)) // 2)
    here = _cut(widen(around, margin, hole.shape), dx, dy, hole.shape)
    if here is None or here.width * here.height > _WHOLE * width * height:
        return whole, whole
    return here, replace(here, x=here.x + dx, y=here.y + dy)


def _shift_at(box: Box, model: PictureMotion, width: int) -> tuple[int, int]:
    """How far the middle of `box` moves, in whole pixels of a picture `width` wide."""
    ratio = model.width / width
    x = np.array([(box.x + box.width / 2) * ratio], np.float32)
    y = np.array([(box.y + box.height / 2) * ratio], np.float32)
    dx, dy = np.rint(model.at(x, y)[0] / ratio).astype(int).tolist()
    return dx, dy


def _cut(box: Box, dx: int, dy: int, shape: tuple[int, int]) -> Box | None:
    """The part of `box` that stays in the picture when moved; None where that is too small."""
    height, width = shape
    left, top = max(box.x, -dx), max(box.y, -dy)
    across = min(box.x + box.width, width - dx) - left
    down = min(box.y + box.height, height - dy) - top
    if across < min(_LEAST, width) or down < min(_LEAST, height):
        return None
    return Box(left, top, across, down)


def _grow(mask: Mask, pixels: int) -> Mask:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel), np.uint8).view(np.bool_)
