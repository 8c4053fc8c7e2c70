"""Follow one object in one direction of time, and join both directions."""

from __future__ import annotations

from collections.abc import Mapping

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
from cleanplate.masks.tracking.covering import cover
from cleanplate.masks.tracking.judging import FrameView, Judge, forgive, weigh_plainly
from cleanplate.masks.tracking.plate import (
    SURE,
    Camera,
    Plate,
    Standout,
    compare_motion,
    find_others,
    measure_depth,
    squash,
)
from cleanplate.masks.tracking.sights import Sight
from cleanplate.motion import DisFlow
from cleanplate.motion.flow import grid

_GONE = 0.12
_SEEN_AGAIN = 0.15
"""Shares of the usual area under which the object is lost, and over which it is found again."""
_WELL = 0.75
"""Share of the usual area from which its motion is that of the whole."""
_UNLIKE, _LIKE = 0.2, 0.6
"""The same for its colours' likeness with those first marked."""
_PACE = 0.1
_LASTING = {"colour": 0.2, "motion": 0.6, "stand": 0.4}
"""Weights of evidence in what is remembered of the object's shape,"""
_CERTAIN = 4.0
"""the log odds at which that is certain,"""
_KEPT = 0.9
"""how much of it lasts from frame to frame,"""
_ABSENT = 0.5
"""and how much evidence against the object counts in it: parts are thin, blurred or hidden."""
_REMEMBERED = 0.3
"""Share that what is remembered of the shape gets where it is not seen."""
_SHIFT = 0.12
"""How far the memory may lie off, in extents of the object."""


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
    ) -> None:
        """`before` is a run of the same object that knows it already; see Plate for `hidden`."""
        self._judge, self._hidden = judge, hidden
        self.camera, self._frames = camera, camera.frames
        self._plate, self._standout = Plate(camera), Standout()
        self._dis = DisFlow()
        self._index = index
        frame = self._frames[index]
        self._last = self._dis.prepare(frame)
        self._cast = CastShadow(frame, mask)
        mask = mask & ~self._cast.find(frame, mask)
        self.share = mask.astype(np.float32)
        self._belief = np.where(mask, np.float32(_CERTAIN), np.float32(-_CERTAIN))
        self._seen = self._whole = True
        self._missing = 0
        self._place = Place.around(mask)
        self._speed, self._moves = np.zeros(2), 0
        self._step = np.zeros(2, np.float32)
        self._drift = np.zeros(2, np.float32)
        self._centre: npt.NDArray[np.float64] | None = None
        window = self._place.window(mask.shape)
        colours, share = find_colours(frame[window]), self.share[window]
        if before is None:
            self._look = Appearance(colours, self._place.cells(window), share, 1 - share)
            self._likeness = self._look.measure_likeness(colours, share)
            self._usual = float(mask.sum())
        else:
            self._look, self._likeness = before._look, before._likeness
            self._usual = max(float(mask.sum()), 0.5 * before._usual)

    def step(self, index: int) -> Sight:
        """How the object shows on frame `index`."""
        view = self._look_at(index)
        found = self.evidence(view)
        belief = self._remember(view, found)
        share = self._judge.weigh(view, found, belief, self._place)
        if not self._seen:
            plain = weigh_plainly(view, found, self._place)
            share = self._recognise(view, np.maximum(share, plain))
        confidence = self._conclude(view, share, found.get("stand"))
        shown = self.share.copy()
        if confidence > 0:
            part = shown[view.window]
            np.maximum(part, _REMEMBERED * (belief > 0), out=part)
        return Sight.keep(shown, confidence)

    def _remember(self, view: FrameView, found: dict[str, Field]) -> Field:
        """Log odds gathered along the object's motion, (h, w) of the window.

        While a part of the object is hidden, what was known before lasts longer.
        """
        news = np.sum([_LASTING[kind] * found[kind] for kind in _LASTING if kind in found], axis=0)
        before = register(self._belief[view.window], news, self._place.extent)
        whole = min(float((view.prior > SURE).sum()) / self._usual, 1.0)
        kept = 1 - whole * (1 - _KEPT)
        change = np.where(news < 0, _ABSENT * whole * news, news)
        belief = np.clip(kept * before + change, -_CERTAIN, _CERTAIN).astype(np.float32)
        self._belief = np.full(self.share.shape, -_CERTAIN, np.float32)
        self._belief[view.window] = belief
        return np.asarray(belief)

    def _look_at(self, index: int) -> FrameView:
        """Carry the object's place and share to frame `index`, and gather what is seen there."""
        frame = self._frames[index]
        gray = self._dis.prepare(frame)
        flow = self._dis.flow(gray, self._last)
        x, y = grid(*gray.shape)
        camera = _camera_flow(self.camera.between(index, self._index), x, y)
        self._last, self._index = gray, index
        own = flow - camera
        prior = cv2.remap(self.share, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
        self._move(prior > SURE, flow, camera)
        self._carry(prior > SURE, flow, x, y)
        window = self._place.window(gray.shape, 1.75 + min(0.1 * self._missing, 2.0))
        colours, cells = find_colours(frame[window]), self._place.cells(window)
        room = prior > SURE
        self._whole = float(room.sum()) > 0.4 * self._usual
        if not self._whole:
            room = room | self._place.box(gray.shape)
        room = dilate(room, round(0.06 * self._place.extent) + 3)
        stand = self._plate.compare(index, self._choose_others(index), room, window, self._hidden)
        parts = (frame[window], colours, cells, prior[window], own[window])
        return FrameView(window, *parts, stand, index, gray.shape)

    def _move(self, sure: Mask, flow: Field, camera: Field) -> None:
        """Move the place with the object; when little is seen, with the camera and as before."""
        row = int(np.clip(self._place.y, 0, len(camera) - 1))
        column = int(np.clip(self._place.x, 0, camera.shape[1] - 1))
        self._drift = camera[row, column]
        if sure.sum() > 0.25 * self._usual:
            step = np.asarray(np.median(flow[sure], axis=0), np.float32)
        else:
            self._speed *= 0.98
            step = np.asarray(self._drift + self._speed, np.float32)
        self._step = step
        self._place.x -= float(step[0])
        self._place.y -= float(step[1])

    def _carry(self, sure: Mask, flow: Field, x: Field, y: Field) -> None:
        """Move what is remembered with the object as a whole: thin parts do not tear off."""
        way = None
        if sure.sum() > max(0.25 * self._usual, 16):
            here = np.ascontiguousarray(np.stack([x[sure], y[sure]], -1)[::4])
            there = np.ascontiguousarray(here + flow[sure][::4])
            way, _ = cv2.estimateAffinePartial2D(here, there, maxIters=200)
        if way is None:
            way = np.array([[1, 0, self._step[0]], [0, 1, self._step[1]]], np.float64)
        self._belief = _warp(self._belief, way)

    def _learn_speed(self, area: float) -> None:
        """From how the centre moved against the camera, if all of the object is seen."""
        place = Place.around(self.share > SURE)
        centre = np.array([place.x, place.y]) if area > _WELL * self._usual else None
        if centre is not None and self._centre is not None:
            self._moves += 1
            own = self._centre - centre - self._drift
            self._speed += max(0.2, 1 / self._moves) * (own - self._speed)
        self._centre = centre

    def evidence(self, view: FrameView) -> dict[str, Field]:
        """Log odds of each kind."""
        depth = measure_depth(view.prior, max(0.06 * self._place.extent, 3))
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
            stand = self._standout.compare(view.stand, view.prior, outside, _PACE * self._whole)
            found["stand"] = forgive(stand, found["colour"])
        return found

    def _near(self, view: FrameView) -> Mask:
        """The box in which the object is expected, bool (h, w) of the window."""
        grown = 1.2 + min(0.1 * self._missing, 2.0)
        return self._place.box(self._last.shape, grown)[view.window]

    def _recognise(self, view: FrameView, share: Field) -> Field:
        """The part of `share` (h, w) that looks most like the object, if one is large enough."""
        _, labels, stats, _ = cv2.connectedComponentsWithStats((share > SURE).astype(np.uint8))
        best, most = np.zeros_like(share), 0.0
        for label in range(1, len(stats)):
            if stats[label, cv2.CC_STAT_AREA] > _SEEN_AGAIN * self._usual:
                part = np.where(labels == label, share, np.float32(0))
                likeness = self._look.measure_likeness(view.colours, part)
                if likeness > most:
                    best, most = part, likeness
        return best

    def _conclude(self, view: FrameView, share: Field, stand: Field | None) -> float:
        """Learn from `share`, and say how sure it is: 0 when the object is lost."""
        area = float((share > SURE).sum())
        likeness = self._look.measure_likeness(view.colours, share) / max(self._likeness, 0.1)
        least, like = (_GONE, _UNLIKE) if self._seen else (_SEEN_AGAIN, _LIKE)
        self._seen = area > least * self._usual and likeness > like
        self.share = np.zeros(self._last.shape, np.float32)
        self._missing = 0 if self._seen else self._missing + 1
        if not self._seen:
            return 0.0
        self.share[view.window] = share
        self._learn_speed(area)
        self._place.hold(Place.around(self.share > SURE))
        # A part that is seen says little about the whole's size.
        pace = _PACE if area > 0.5 * self._usual else 0.2 * _PACE
        learnt = share if stand is None else share * squash(2 * stand)
        self._look.learn(view.colours, view.cells, learnt, 1 - share, pace)
        self._place.approach(Place.around(self.share > SURE), pace)
        self._usual += pace * (area - self._usual)
        return min(area / (0.5 * self._usual), 1.0) * min(likeness, 1.0)

    def finish(self, index: int, share: Field) -> Mask:
        """The mask to give out, bool (h, w), where `share` was found on frame `index`."""
        mask = cover(share, 0.8 * self._usual)
        return mask | self._cast.find(self._frames[index], mask)

    def _choose_others(self, index: int) -> list[int]:
        """Frames far enough away for the object to have moved off its place."""
        speed = float(np.hypot(*self._speed))
        base = float(np.clip(0.6 * self._place.extent / max(speed, 0.1), 4, 14))
        return find_others(index, base, len(self._frames))


def register(memory: Field, news: Field, extent: float) -> Field:
    """`memory`, log odds (h, w), shifted to where it agrees best with `news` (h, w).

    Flow is wrong where things hide the object, so that what is carried along it lags behind.
    """
    reach = int(np.clip(round(_SHIFT * extent), 1, 8))
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
        cv2.warpAffine(memory, way, size, flags=flags, borderValue=-_CERTAIN), np.float32
    )


def _camera_flow(homography: npt.NDArray[np.float64], x: Field, y: Field) -> Field:
    points = np.stack([x, y], -1)
    return np.asarray(cv2.perspectiveTransform(points, homography) - points, np.float32)
