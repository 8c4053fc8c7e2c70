"""Follow hole pixels along flow to frames that show them, through pairs of neighbouring frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

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
from cleanplate.types import Box

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float32]

NOWHERE = -1


@dataclass(frozen=True)
class TraceTuning:
    """Constants of traces through holes and of the windows in which flow is estimated."""

    slack: float = 1.1
    """Safety factor on the motion that is left when a trace is given up: bounds are approximate."""
    rim_depth: float = 3.0
    """Distance in pixels to the nearest known pixel up to which a hole pixel belongs to the rim."""
    untrusted_rim: int = 4
    """Pixels around a hole whose flow is not trusted: DIS compares patches of 8 pixels."""
    reach: int = 32
    """Pixels around a hole, plus half its longer side, in which flow is estimated at full work
    size."""
    least_window: int = 64
    """Smallest height and width in pixels of a compared window: DIS needs some texture to match."""
    far_weight: float = 0.1
    """Weight of a vector of the first estimate, relative to the second, in the motion model."""
    whole: float = 0.5
    """Fraction of the picture above which the whole picture is compared instead of a window."""


_TUNING = TraceTuning()


class Way(Protocol):
    """How the points of a frame move to a neighbour; pictures there are `width` pixels wide."""

    @property
    def width(self) -> int:
        """Of the pictures in whose pixels points and motion are."""

    @property
    def reach(self) -> float:
        """How far a point of the hole moves at the most, in pixels."""

    def follow(self, x: Points, y: Points) -> Field:
        """Motion and inconsistency (k, 3) of points x, y (k): pixels, pixels, pixels²."""


def follow(way: Way, x: Points, y: Points, width: int) -> Field:
    """As `way.follow`, for points and in pixels of a picture `width` pixels wide."""
    scale = np.float32(way.width / width)
    x, y = ((axis + np.float32(0.5)) * scale - np.float32(0.5) for axis in (x, y))
    moved = way.follow(x, y) / scale
    moved[:, 2] /= scale
    return moved


@dataclass(frozen=True)
class Traces:
    """Where each hole pixel was seen, in the order of `np.nonzero` over the masks.

    `source`: index of the frame that saw it, or NOWHERE; `x`, `y`: where in that frame, in pixels;
    `age`: frames between the two; `doubt`: summed inconsistency of the flow on the way, pixels².
    """

    source: npt.NDArray[np.int32]
    x: Points
    y: Points
    age: npt.NDArray[np.int32]
    doubt: Points


class _Particles:
    """Points on their way, and the numbers of their pixels; room for `most` of them."""

    def __init__(self, most: int) -> None:
        self.x, self.y, self.doubt = (np.empty(most, np.float32) for _ in range(3))
        self.index = np.empty(most, np.int32)
        self.count = 0

    def add(self, mask: Mask, first: int) -> None:
        """Begin at all pixels of `mask` (h, w), the first of which has the number `first`."""
        from cleanplate.motion import kernels

        own = self.x, self.y, self.doubt, self.index
        self.count = kernels.begin(mask, first, *own, self.count)

    def move(self, way: Way, width: int) -> None:
        """Follow `way` in a picture `width` pixels wide."""
        from cleanplate.motion import kernels

        scale, points = np.float32(way.width / width), (self.x, self.y)
        if isinstance(way, LocalFlow):
            left, top = np.float32(way.x), np.float32(way.y)
            kernels.move_by_flow(way.planes, left, top, scale, *points, self.doubt, self.count)
        elif isinstance(way, PictureMotion):
            limits = np.float32(way.farthest), np.float32(way.width), np.float32(way.shape[0])
            kernels.move_by_model(way.weights, *limits, scale, *points, self.count)
        else:
            some = slice(0, self.count)
            step = follow(way, self.x[some], self.y[some], width)
            for axis, moved in zip((*points, self.doubt), step.T, strict=True):
                axis[some] += moved

    def keep_near(self, depth: Field, reach: float) -> None:
        """Give up those that cannot come out with the motion that is left."""
        from cleanplate.motion import kernels

        most = np.float32(reach * _TUNING.slack + 2)
        self.count = kernels.keep_near(
            depth, most, self.x, self.y, self.doubt, self.index, self.count
        )

    def settle(self, found: Traces, hole: Mask, frame: int) -> None:
        """Note in `found` which of them the `frame` with this `hole` shows; keep the others."""
        from cleanplate.motion import kernels

        own = self.x, self.y, self.doubt, self.index
        noted = found.source, found.x, found.y, found.doubt
        self.count = kernels.settle(hole, frame, *own, self.count, *noted)


def look_up(
    image: npt.NDArray[np.uint8] | Field, x: Points, y: Points, how: int = cv2.INTER_LINEAR
) -> npt.NDArray[Any]:
    """Sample `image` (h, w[, c]) at points x, y (k) → (k[, c]); outside, the border's value."""
    if not len(x):
        return np.zeros((0, *image.shape[2:]), image.dtype)
    width = 1024  # cv2.remap wants a picture of points, no side of which exceeds 32,767
    maps = np.zeros((2, -(-len(x) // width) * width), np.float32)
    maps[0, : len(x)], maps[1, : len(x)] = x, y
    map_x, map_y = maps.reshape(2, -1, width)
    found = np.asarray(cv2.remap(image, map_x, map_y, how, borderMode=cv2.BORDER_REPLICATE))
    return found.reshape(-1, *image.shape[2:])[: len(x)]


class Holes:
    """The holes `masks` (h, w) of a shot, as `trace` looks at them."""

    def __init__(self, masks: Sequence[Mask]) -> None:
        self.masks = masks
        always = np.logical_and.reduce(masks)
        self.depth: Field | None = None
        """Distance (h, w) to the nearest pixel that some frame shows; None where that is all."""
        if always.any():
            inside = always.view(np.uint8)
            self.depth = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 3), np.float32)


def trace(holes: Holes, way_to: Callable[[int, int], Way], step: int, wanted: range) -> Traces:
    """Follow the hole pixels of the `wanted` frames forwards (`step` 1) or backwards (-1) in time.

    `way_to(t, u)` leads from frame t to u. Particles that leave the picture are given up, and so
    are those that cannot come out of the hole any more with all the motion that is left.
    """
    masks = holes.masks
    width = masks[0].shape[1]
    first = count_before(masks, wanted)
    found = _nothing(int(first[-1]))
    active = _Particles(int(first[-1]))
    last = len(masks) - 1 if step > 0 else 0
    way = range(wanted[0], last, 1) if step > 0 else range(wanted[-1], last, -1)
    left = 0.0
    if holes.depth is not None:
        left = sum(_measure_reach(way_to(t, t + step), width) for t in way)
    for t in way:
        if t in wanted:
            active.add(masks[t], int(first[wanted.index(t)]))
        if holes.depth is not None:
            active.keep_near(holes.depth, left)
            left -= _measure_reach(way_to(t, t + step), width)
        if active.count:
            active.move(way_to(t, t + step), width)
            active.settle(found, masks[t + step], t + step)
    _measure_age(found, first, wanted)
    return found


def count_before(masks: Sequence[Mask], wanted: range) -> npt.NDArray[np.int64]:
    """Hole pixels in the wanted frames before each of them, and in all: (len(wanted) + 1,)."""
    counts = [int(np.count_nonzero(masks[t])) for t in wanted]
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def group_by_source(source: npt.NDArray[np.int32], frames: int) -> list[npt.NDArray[np.int32]]:
    """For each of `frames` frames, the numbers of the pixels (k,) that were seen there."""
    from cleanplate.motion import kernels

    order, bounds = kernels.sort_by_source(source, frames)
    return [order[start:stop] for start, stop in pairwise(bounds)]


def _nothing(count: int) -> Traces:
    zeros = np.zeros(count, np.float32)
    nowhere = np.full(count, NOWHERE, np.int32)
    return Traces(nowhere, zeros, zeros.copy(), np.zeros(count, np.int32), zeros.copy())


def _measure_age(found: Traces, first: npt.NDArray[np.int64], wanted: range) -> None:
    """Frames between each pixel of the `wanted` frames and its source."""
    for t, (start, stop) in zip(wanted, pairwise(first), strict=True):
        source = found.source[start:stop]
        found.age[start:stop] = np.where(source == NOWHERE, 0, np.abs(source - t))


def _measure_reach(way: Way, width: int) -> float:
    return way.reach * width / way.width


Frame = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rim:
    """The m hole pixels near known ones, of all frames.

    `index`: which of all hole pixels, in the order of the traces; `dx`, `dy`: from each to a known
    pixel beside it; `colours` (m, 3): of that known pixel, in [0, 255].
    """

    index: npt.NDArray[np.int64]
    dx: Values
    dy: Values
    colours: Values


def find_rim(frames: Sequence[Frame], masks: Sequence[Mask], wanted: range) -> Rim:
    """The rim of the holes `masks` (h, w) in the `wanted` ones of `frames` (h, w, 3)."""
    first = count_before(masks, wanted)
    parts = [
        _find_in_frame(frames[t], masks[t], int(before))
        for t, before in zip(wanted, first[:-1], strict=True)
    ]
    return Rim(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Seams:
    """How the surroundings of the m pixels of a rim differ from those of what a trace found.

    `step` (m,): squared difference in levels², NaN where nothing is compared; `offset` (m, 3):
    known colour minus the source frame's, in levels, 0 where nothing is compared.
    """

    step: Values
    offset: Values

    @classmethod
    def blank(cls, count: int) -> Seams:
        """Of `count` pixels, with nothing compared yet."""
        return cls(np.full(count, np.nan, np.float32), np.zeros((count, 3), np.float32))

    def compare(self, rim: Rim, which: npt.NDArray[np.int32], seen: npt.NDArray[np.uint8]) -> None:
        """Note what was `seen` (j, 4) beside the rim pixels `which` (j): colour, and 0 if known."""
        known = seen[:, 3] == 0
        which = which[known]
        offset = rim.colours[which] - seen[known, :3]
        self.step[which] = square_length(offset) / 3
        self.offset[which] = offset


def _find_in_frame(frame: Frame, mask: Mask, first: int) -> tuple[npt.NDArray[np.generic], ...]:
    nothing = np.zeros(0, np.float32)
    box = bound(mask)
    if box is None or mask.all():
        return np.zeros(0, np.int64), nothing, nothing, np.zeros((0, 3), np.float32)
    part = widen(box, 2, mask.shape).slices
    hole, picture = mask[part], frame[part]
    distance, labels = cv2.distanceTransformWithLabels(
        hole.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    near = (distance <= _TUNING.rim_depth)[hole]
    y, x = (axis[near] for axis in np.nonzero(hole))
    known_y, known_x = np.nonzero(~hole)
    order = np.zeros(int(labels.max()) + 1, np.int64)
    order[labels[~hole]] = np.arange(len(known_x))
    nearest = order[labels[y, x]]
    to_x, to_y = known_x[nearest], known_y[nearest]
    dx, dy = (to_x - x).astype(np.float32), (to_y - y).astype(np.float32)
    return first + np.flatnonzero(near), dx, dy, picture[to_y, to_x].astype(np.float32)


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
        rim = _TUNING.untrusted_rim if unknown is hole else _TUNING.untrusted_rim // 2
        return cls(picture, _grow(hole, _TUNING.untrusted_rim), _grow(unknown, rim))


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
        self._ahead = _place(estimator.flow(first, second), here, there)
        self._behind = _place(estimator.flow(second, first), there, here)

    def finish(self, sketch: Sketch | None) -> Sketch:
        """Complete the flow inside the holes; what it does not cover is in the `sketch`."""
        one, other, ahead, behind = self._one, self._other, self._ahead, self._behind
        shape = one.hole.shape
        samples = take_samples(ahead, behind, one.unknown, other.unknown)
        returned = take_samples(behind, ahead, other.unknown, one.unknown)
        if sketch is not None:
            ratio = shape[1] / sketch.pair.model_ahead.width
            samples = samples.joined(
                sketch.ahead.enlarged(ratio, _TUNING.far_weight).outside(ahead)
            )
            returned = returned.joined(
                sketch.behind.enlarged(ratio, _TUNING.far_weight).outside(behind)
            )
        models = fit_motion(samples, shape), fit_motion(returned, shape)
        to = complete_flow(ahead, behind, one.hole, one.unknown, other.unknown, models[0])
        fro = complete_flow(behind, ahead, other.hole, other.unknown, one.unknown, models[1])
        pair = Pair(_check(to, fro, one.hole), _check(fro, to, other.hole), *models)
        return Sketch(pair, samples, returned)


def _place(vectors: Field, here: Box, there: Box) -> Flow:
    """Convert `vectors` (h, w, 2) between two windows to motion in pixels of the whole picture."""
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
    wanted = _TUNING.reach + max(around.width, around.height) // 2
    margin = max(wanted, (_TUNING.least_window - min(around.width, around.height)) // 2)
    here = _cut(widen(around, margin, hole.shape), dx, dy, hole.shape)
    if here is None or here.width * here.height > _TUNING.whole * width * height:
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
    if across < min(_TUNING.least_window, width) or down < min(_TUNING.least_window, height):
        return None
    return Box(left, top, across, down)


def _grow(mask: Mask, pixels: int) -> Mask:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel), np.uint8).view(np.bool_)
