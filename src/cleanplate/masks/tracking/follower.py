"""Follow one object in one direction of time, and join both directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Mask, dilate
from cleanplate.masks.tracking.appearance import (
    Appearance,
    CastShadow,
    Field,
    Place,
    find_colours,
)
from cleanplate.masks.tracking.background import Background, Standout, find_others
from cleanplate.masks.tracking.camera import Camera
from cleanplate.masks.tracking.course import Course
from cleanplate.masks.tracking.covering import cover
from cleanplate.masks.tracking.evidence import SURE, compare_motion, measure_depth, squash
from cleanplate.masks.tracking.instance import ObjectSize, limit, measure_reach
from cleanplate.masks.tracking.judging import FrameView, Judge, forgive, weigh_plainly
from cleanplate.masks.tracking.rivals import Rivals, Surroundings
from cleanplate.masks.tracking.sights import Sight
from cleanplate.motion import DisFlow
from cleanplate.motion.flow import grid

_LASTING = {"colour": 0.2, "motion": 0.6, "stand": 0.4}
"""Weights of evidence in what is remembered of the object's shape; motion tells it best."""


@dataclass(frozen=True)
class FollowerTuning:
    """Constants of following an object. Areas are relative to its usual area."""

    gone: float = 0.12
    """Area below which the object counts as lost: smaller remains are often something else."""
    seen_again: float = 0.15
    """Area above which it counts as found again; hysteresis avoids flicker."""
    unlike: float = 0.2
    """Likeness of the colours with those first marked under which it is lost; light may change."""
    like: float = 0.6
    """Likeness over which it is found again: now nothing but the looks speaks for it."""
    moves: float = 0.25
    """Area from which its own flow moves its place; in less, the flow is that of the occluder."""
    whole: float = 0.4
    """Area from which it counts as not occluded."""
    well: float = 0.75
    """Area from which its centre moves as the whole object does."""
    half: float = 0.5
    """Area below which size and appearance are learnt slowly and confidence falls."""
    pace: float = 0.1
    """Pace at which looks, place and size are learnt: a turn of the body takes about a second."""
    slow: float = 0.2
    """Factor of that where less than `half` of it is seen."""
    certain: float = 4.0
    """Log odds at which the memory of its shape is certain, so that it can still be changed."""
    kept: float = 0.9
    """How much of that memory lasts from frame to frame: limbs move on in half a second."""
    absent: float = 0.5
    """How much evidence against the object counts in it: parts are thin, blurred or hidden."""
    alien: float = -2.0
    """Log odds that a look-alike's pixel counts in it."""
    remembered: float = 0.3
    """Share that what is remembered of the shape gets where it is not seen."""
    shift: float = 0.12
    """Extents of the object that the memory may lie off: flow lags behind what is half hidden."""
    window: float = 1.75
    """Half extents of the object that the window reaches from its centre: surroundings to compare
    with, and what it can move in a frame."""
    search: float = 0.1
    """Half extents by which the window grows with each frame in which the object is hidden,"""
    search_most: float = 2.0
    """and grows at most."""
    expected: float = 1.2
    """Sides of the box in which it is expected, over its own: it may come out at its rim."""
    room: float = 1.1
    """The same for the box whose parts count as its own until more is known."""
    shrink: float = 0.97
    """Factor by which the sides of the largest box of late shrink in a frame: a stride lasts half a
    second."""
    edge: float = 0.06
    """Margin, in extents of the object, of what may be its own and not the background, plus"""
    edge_pixels: int = 3
    """this many pixels."""
    consistent: float = 0.7
    """Part of its flow that a zoom must explain to count."""


_TUNING = FollowerTuning()


class Follower:
    """Carries an object's mask from frame to frame; `step` is called with neighbouring frames."""

    def __init__(
        self,
        camera: Camera,
        mask: Mask,
        index: int,
        judge: Judge,
        before: Follower | None = None,
        hidden: Mapping[int, Mask] | None = None,
        expected: Mapping[int, float] | None = None,
    ) -> None:
        """`before` is a run of the same object that knows it already; see Background for `hidden`.

        `expected` says how large the object was on each frame in that run, in pixels.
        """
        self._judge, self._hidden = judge, hidden
        self.camera, self._frames = camera, camera.frames
        self._background, self._standout = Background(camera), Standout()
        self._dis = DisFlow()
        self._index = index
        frame = self._frames[index]
        self._last = self._dis.prepare(frame)
        self._cast = CastShadow(frame, mask)
        mask = mask & ~self._cast.find(frame, mask)
        self.share = mask.astype(np.float32)
        self._belief = np.where(mask, np.float32(_TUNING.certain), np.float32(-_TUNING.certain))
        self._seen = self._whole = True
        self._missing = 0
        self._place = Place.around(mask)
        self._course, self._rivals = Course(), Rivals()
        self._widest = replace(self._place)
        self._step = self._drift = np.zeros(2, np.float32)
        self._centre: npt.NDArray[np.float64] | None = None
        self._foreign = np.zeros(mask.shape, np.bool_)
        window = self._place.window(mask.shape)
        colours, share = find_colours(frame[window]), self.share[window]
        if before is None:
            self._look = Appearance(colours, self._place.cells(window), share, 1 - share)
            self._likeness = self._look.measure_likeness(colours, share)
            self._size = ObjectSize(float(mask.sum()))
        else:
            self._look, self._likeness = before._look, before._likeness
            self._size = ObjectSize(max(float(mask.sum()), 0.5 * before._size.usual), expected)

    def step(self, index: int) -> Sight:
        """How the object shows on frame `index`."""
        view = self._look_at(index)
        found = self.evidence(view)
        stand = found.get("stand")
        belief = self._remember(view, found)
        share = self._judge.weigh(view, found, belief, self._place)
        share = self._keep_to_instance(view, found, belief, share)
        self._size.anchor(index)
        confidence = self._conclude(view, share, stand)
        self._find_rivals()
        shown = self.share.copy()
        if confidence > 0:
            part = shown[view.window]
            np.maximum(part, _TUNING.remembered * (belief > 0), out=part)
        return Sight.keep(shown, confidence)

    def _keep_to_instance(
        self, view: FrameView, found: dict[str, Field], belief: Field, share: Field
    ) -> Field:
        """`share` (h, w) of the window without look-alikes, and what motion does not explain."""
        alien = self._foreign[view.window]
        if self._rivals.meets:
            # What lies beyond the box that the object can fill by now came along with the other.
            alien = alien | ~self._widest.box(self.share.shape, _TUNING.room)[view.window]
        if not self._seen:
            share = np.maximum(share, weigh_plainly(view, found, self._place))
        share = np.where(alien, np.float32(0), share)
        if not self._seen:
            return self._recognise(view, share)
        # Flow fails where the object is half hidden, the memory of its shape where it turns.
        support = np.maximum(view.prior - SURE, 0) + np.maximum(belief, 0) / _TUNING.certain
        room = self._place.box(self.share.shape, _TUNING.room)[view.window]
        return limit(share, support, room, self._size.usual, measure_reach(self._place.extent))

    def _remember(self, view: FrameView, found: dict[str, Field]) -> Field:
        """Log odds gathered along the object's motion, (h, w) of the window.

        While a part of the object is hidden, what was known before lasts longer.
        """
        news = np.sum([_LASTING[kind] * found[kind] for kind in _LASTING if kind in found], axis=0)
        news[self._foreign[view.window]] = _TUNING.alien
        before = register(self._belief[view.window], news, self._place.extent)
        whole = min(float((view.prior > SURE).sum()) / self._size.usual, 1.0)
        kept = 1 - whole * (1 - _TUNING.kept)
        change = np.where(news < 0, _TUNING.absent * whole * news, news)
        belief = np.clip(kept * before + change, -_TUNING.certain, _TUNING.certain)
        self._belief = np.full(self.share.shape, -_TUNING.certain, np.float32)
        self._belief[view.window] = belief
        return np.asarray(belief, np.float32)

    def _look_at(self, index: int) -> FrameView:
        """Carry the object's place and share to frame `index`, and gather what is seen there."""
        frame = self._frames[index]
        gray = self._dis.prepare(frame)
        flow = self._dis.flow(gray, self._last)
        x, y = grid(*gray.shape)
        camera = _camera_flow(self.camera.between(index, self._index), x, y)
        self._last, self._index = gray, index
        own = flow - camera
        from_x, from_y = x + flow[..., 0], y + flow[..., 1]
        prior = cv2.remap(self.share, from_x, from_y, cv2.INTER_LINEAR)
        self._own = cv2.blur(own, (5, 5))
        sure = self._move(prior > SURE, flow, camera)
        self._carry(sure, flow, x, y)
        self._rivals.carry(camera, self._widest, measure_reach(self._place.extent))
        self._foreign = self._rivals.claim(self._own, self._course, self._belief > 0)
        window = self._place.window(gray.shape, _TUNING.window + self._widen_search())
        self._colours = find_colours(frame)
        colours, cells = self._colours[window], self._place.cells(window)
        room = prior > SURE
        self._whole = float(room.sum()) > _TUNING.whole * self._size.usual
        if not self._whole:
            room = room | self._place.box(gray.shape)
        room = dilate(room, round(_TUNING.edge * self._place.extent) + _TUNING.edge_pixels)
        stand = self._background.compare(
            index, self._choose_others(index), room, window, self._hidden
        )
        parts = (frame[window], colours, cells, prior[window], own[window])
        return FrameView(window, *parts, stand, index, gray.shape)

    def _move(self, sure: Mask, flow: Field, camera: Field) -> Mask:
        """Move the place with the object; when little is seen, with the camera and as before.

        Returns what of `sure` (h, w) moves with the object.
        """
        if self._rivals.meets:
            sure = sure & ~self._rivals.move_along(self._own, self._course)
        row = int(np.clip(self._place.y, 0, len(camera) - 1))
        column = int(np.clip(self._place.x, 0, camera.shape[1] - 1))
        self._drift = camera[row, column]
        if sure.sum() > _TUNING.moves * self._size.usual:
            if self._rivals.meets:
                self._course.measure(self._own[sure], _TUNING.slow)
            step = np.asarray(np.median(flow[sure], axis=0), np.float32)
        else:
            self._course.coast()
            step = np.asarray(self._drift + self._course.speed, np.float32)
        self._step = step
        for place in (self._place, self._widest):
            place.x -= float(step[0])
            place.y -= float(step[1])
        return sure

    def _carry(self, sure: Mask, flow: Field, x: Field, y: Field) -> None:
        """Move what is remembered with the object as a whole: thin parts do not tear off."""
        way = None
        if sure.sum() > max(_TUNING.moves * self._size.usual, 16):
            here = np.ascontiguousarray(np.stack([x[sure], y[sure]], -1)[::4])
            there = np.ascontiguousarray(here + flow[sure][::4])
            way, fits = cv2.estimateAffinePartial2D(
                here, there, maxIters=200, ransacReprojThreshold=1.0
            )
        if way is None:
            way = np.array([[1, 0, self._step[0]], [0, 1, self._step[1]]], np.float64)
        elif fits.mean() > _TUNING.consistent and not self._rivals.meets:
            self._size.zoom(1 / float(np.hypot(way[0, 0], way[1, 0])), float(sure.sum()))
        self._belief = _warp(self._belief, way)

    def _measure_course(self, seen: Place, area: float) -> None:
        """From how the centre moved against the camera, if all of the object is seen, and alone.

        The flow of what is half hidden is partly that of what hides it.
        """
        whole = area > _TUNING.well * self._size.usual and not self._rivals.meets
        centre = np.array([seen.x, seen.y]) if whole else None
        if centre is not None and self._centre is not None:
            own = self._centre - centre - self._drift
            self._course.measure(np.asarray(own[None], np.float32))
        self._centre = centre

    def _find_rivals(self) -> None:
        """Look for what could be mistaken for the object, while that is seen well."""
        if not self._seen:
            return
        margin = round(measure_reach(self._place.extent)) + 1
        mask = dilate((self.share > SURE) | (self._belief > 0), margin)
        view = Surroundings(self._colours, self._look.overall, self._own)
        candidates = view.find_candidates(self._course, mask, self._place.extent)
        # While a part of the object is hidden, that part may come out again somewhere else.
        whole = float((self.share > SURE).sum()) > _TUNING.well * self._size.usual
        self._rivals.learn(candidates, view, self._widest, self._size.usual, new=whole)

    def evidence(self, view: FrameView) -> dict[str, Field]:
        """Log odds of each kind."""
        depth = measure_depth(
            view.prior, max(_TUNING.edge * self._place.extent, _TUNING.edge_pixels)
        )
        outside = (depth <= -1).astype(np.float32)
        if not self._whole:  # it may come out again anywhere in its box
            outside[self._near(view)] = 0
        self._look.look_around(view.colours, view.cells, outside)
        found = {
            "bias": np.ones_like(depth),
            "depth": depth,
            "colour": self._look.compare(view.colours, view.cells),
            "motion": compare_motion(view.own, view.prior, outside),
        }
        if view.stand is not None:
            stand = self._standout.compare(
                view.stand, view.prior, outside, _TUNING.pace * self._whole
            )
            found["stand"] = forgive(stand, found["colour"])
        return found

    def _widen_search(self) -> float:
        """Half extents to look farther, the longer the object is hidden."""
        return min(_TUNING.search * self._missing, _TUNING.search_most)

    def _near(self, view: FrameView) -> Mask:
        """The box in which the object is expected, bool (h, w) of the window."""
        grown = _TUNING.expected + self._widen_search()
        return self._place.box(self._last.shape, grown)[view.window]

    def _recognise(self, view: FrameView, share: Field) -> Field:
        """The part of `share` (h, w) that looks most like the object, if one is large enough."""
        _, labels, stats, _ = cv2.connectedComponentsWithStats((share > SURE).astype(np.uint8))
        best, most = np.zeros_like(share), 0.0
        for label in range(1, len(stats)):
            if stats[label, cv2.CC_STAT_AREA] > _TUNING.seen_again * self._size.usual:
                part = np.where(labels == label, share, np.float32(0))
                likeness = self._look.measure_likeness(view.colours, part)
                if likeness > most:
                    best, most = part, likeness
        return best

    def _conclude(self, view: FrameView, share: Field, stand: Field | None) -> float:
        """Learn from `share`, and say how sure it is: 0 when the object is lost."""
        area = float((share > SURE).sum())
        likeness = self._look.measure_likeness(view.colours, share) / max(self._likeness, 0.1)
        least, like = (
            (_TUNING.gone, _TUNING.unlike) if self._seen else (_TUNING.seen_again, _TUNING.like)
        )
        self._seen = area > least * self._size.usual and likeness > like
        self.share = np.zeros(self._last.shape, np.float32)
        self._missing = 0 if self._seen else self._missing + 1
        if not self._seen:
            return 0.0
        self.share[view.window] = share
        meets = self._rivals.meets
        seen = Place.around(self.share > SURE)
        self._measure_course(seen, area)
        if not meets:
            self._place.hold(seen)
        # A part that is seen says little about the whole, as does a mask of two things.
        whole = area > _TUNING.half * self._size.usual and not meets
        pace = _TUNING.pace if whole else _TUNING.slow * _TUNING.pace
        learnt = share if stand is None else share * squash(2 * stand)
        self._look.learn(view.colours, view.cells, learnt, 1 - share, pace)
        if not meets:
            self._place.approach(seen, pace)
            self._size.learn(area, pace)
            self._widest = self._widest.cover(seen, _TUNING.shrink)
        return min(area / (_TUNING.half * self._size.usual), 1.0) * min(likeness, 1.0)

    def finish(self, index: int, share: Field) -> Mask:
        """The mask to give out, bool (h, w), where `share` was found on frame `index`."""
        mask = cover(share, 0.8 * self._size.usual)
        return mask | self._cast.find(self._frames[index], mask)

    def _choose_others(self, index: int) -> list[int]:
        """Frames far enough away for the object to have moved off its place."""
        speed = float(np.hypot(*self._course.speed))
        base = float(np.clip(0.6 * self._place.extent / max(speed, 0.1), 4, 14))
        return find_others(index, base, len(self._frames))


def register(memory: Field, news: Field, extent: float) -> Field:
    """`memory`, log odds (h, w), shifted to where it agrees best with `news` (h, w).

    Flow is wrong where things hide the object, so that what is carried along it lags behind.
    """
    reach = int(np.clip(round(_TUNING.shift * extent), 1, 8))
    inside = np.ascontiguousarray(news[reach:-reach, reach:-reach], np.float32)
    if min(inside.shape, default=0) < reach:
        return memory
    score = cv2.matchTemplate(squash(memory), inside, cv2.TM_CCORR)
    y, x = np.unravel_index(int(score.argmax()), score.shape)
    return _warp(memory, np.array([[1, 0, x - reach], [0, 1, y - reach]], np.float64))


def _warp(memory: Field, way: npt.NDArray[np.float64]) -> Field:
    """Look `memory` (h, w) up at `way` (2, 3) of each pixel; certain to be nothing outside."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (memory.shape[1], memory.shape[0])
    return np.asarray(
        cv2.warpAffine(memory, way, size, flags=flags, borderValue=-_TUNING.certain), np.float32
    )


def _camera_flow(homography: npt.NDArray[np.float64], x: Field, y: Field) -> Field:
    points = np.stack([x, y], -1)
    return np.asarray(cv2.perspectiveTransform(points, homography) - points, np.float32)
