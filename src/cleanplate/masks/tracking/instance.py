"""Keep what is found to one instance: no more than motion explains, and none of its look-alikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Mask, dilate
from cleanplate.masks.tracking.appearance import Field
from cleanplate.masks.tracking.evidence import SURE


@dataclass(frozen=True)
class InstanceTuning:
    """Constants of the limits to an instance, and of the memory of its look-alikes."""

    reach: float = 0.06
    """Extents of the object by which a mask may lie beyond where motion carries it: limbs swing,
    and flow rounds corners off."""
    least_reach: float = 3.0
    """The same in pixels, for small objects: two pixels of blur and one of misplaced flow."""
    largest: float = 1.4
    """Usual areas that a mask may have: a walker's silhouette changes by a third in a stride."""
    zoom: float = 0.03
    """Largest change of scale taken from a frame's flow: more is an error of the fit."""
    clean: float = 1.15
    """Usual areas up to which a mask holds nothing but the object."""
    zoom_pace: float = 0.2
    """Part by which the scale's change is taken over in a frame: a real approach lasts."""
    size_pace: float = 0.5
    """Pace at which the usual area follows what is seen, over that of the looks."""
    growth: float = 1.5
    """Factor by which the usual area may ever exceed what is explained: the box may have been cut
    to a part, and things turn."""
    likely: float = 0.3
    """Share from which something that is not the object counts as its look-alike."""
    stands_out: float = 1.0
    """Log odds of the difference from the background from which a thing moves on its own."""
    learn: float = 0.35
    """Part by which a look-alike's share rises in a frame: it is one after two frames."""
    forget: float = 0.7
    """Factor of a look-alike's share in a frame in which nothing is seen there."""
    still: float = 1.0
    """Pixels a frame of motion against the camera's that count as none,"""
    restless: float = 0.02
    """or this many extents of the object: flow is smoother than a large thing's outline."""
    unrest: float = 3.0
    """or this many times the usual motion of the picture: waves and leaves."""
    pace: float = 0.3
    """Pace at which the motions of the object and its look-alikes are learnt."""
    pace_met: float = 0.05
    """The same for the object's while they touch, since some of what is seen may be the other's."""
    solid: float = 0.15
    """Usual areas of the object from which a thing counts as a look-alike: no speck, no shadow."""
    well: float = 0.75
    """Usual areas seen from which what lies beside the object is certainly not a part of it."""
    apart: float = 0.5
    """Pixels a frame that a motion must be closer to the object's than to its look-alike's."""


_TUNING = InstanceTuning()


class ObjectSize:
    """How large the object is: its area in pixels when it is seen whole."""

    def __init__(self, area: float, expected: Mapping[int, float] | None = None) -> None:
        """`expected` are the areas that an earlier run saw, by frame."""
        self.usual = area
        self._explained = area
        self._expected = expected or {}
        self._zoom = 0.0

    def zoom(self, factor: float, area: float) -> None:
        """The object's motion scaled it by `factor`; it now has `area` pixels.

        That two things move apart is no zoom: a mask that is already too large does not count.
        """
        if area > _TUNING.clean * self.usual:
            return
        step = float(np.clip(np.log(factor), -_TUNING.zoom, _TUNING.zoom))
        self._zoom += _TUNING.zoom_pace * (step - self._zoom)
        grown = float(np.exp(2 * self._zoom))
        self.usual *= grown
        self._explained *= grown

    def anchor(self, index: int) -> None:
        """Go by what the earlier run saw on frame `index`."""
        self._explained = self._expected.get(index, self._explained)
        self.usual = min(self.usual, _TUNING.growth * self._explained)

    def learn(self, area: float, pace: float) -> None:
        """Follow the `area` seen, within what is explained."""
        self.usual += _TUNING.size_pace * pace * (area - self.usual)
        self.usual = min(self.usual, _TUNING.growth * self._explained)


def measure_reach(extent: float) -> float:
    """Pixels by which a mask may lie beyond where motion carries an object of `extent` pixels."""
    return max(_TUNING.reach * extent, _TUNING.least_reach)


def limit(share: Field, support: Field, room: Mask, usual: float, reach: float) -> Field:
    """`share` (h, w) without what neither motion nor the memory of the shape explains.

    `support` (h, w) is how much they expect the object at each pixel, which is positive inside.
    Pieces go that touch neither that place, within `reach` pixels, nor `room` (h, w). What lies
    farther off than `reach` may only make up for what is missing of the `usual` area, the nearest
    first: parts that come out from behind a thing, or that flow did not carry. Of too large a mask
    the best supported part stays.
    """
    sure = share > SURE
    inside = support > 0
    if not sure.any() or not inside.any():
        return share
    away = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    kept = sure & _touching(sure, (away <= reach) | room)
    distances = np.sort(away[kept])
    enough = min(round(usual), len(distances)) - 1
    farthest = max(float(distances[enough]), reach) if enough >= 0 else reach
    kept &= away <= farthest
    most = round(_TUNING.largest * usual)
    if kept.sum() > most > 0:
        least = -np.partition(-support[kept], most - 1)[most - 1]
        kept &= support >= least
    faint = ~sure & (away <= farthest) & (dilate(kept, round(reach)) if kept.any() else kept)
    return np.where(kept | faint, share, np.float32(0))


def _touching(mask: Mask, place: Mask) -> Mask:
    """The pieces of `mask` (h, w) that `place` (h, w) touches."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    touched = np.zeros(count, np.bool_)
    touched[np.unique(labels[place & mask])] = True
    touched[0] = False
    return np.asarray(touched[labels])


class Rivals:
    """Remembers where other things are that look like the object, while they are apart from it.

    Those are what moves on its own but not with the object, and what the evidence alone would have
    added. Motion carries that along: when they touch or cross, what came from a rival stays one's.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.share = np.zeros(shape, np.float32)
        self.strange = np.zeros(shape, np.bool_)
        """Where something moves on its own, and not with the object."""
        self.meets = False
        """Whether one touches the object, so that its motion cannot be learnt."""
        self._ours: npt.NDArray[np.float32] | None = None
        self._theirs: npt.NDArray[np.float32] | None = None
        """Motion of the object, and of the rivals near it, (2,), from before they met."""

    def carry(self, x: Field, y: Field) -> None:
        """Move on: pixel p was at `x[p]`, `y[p]` in the last frame."""
        if self.share.any():
            self.share = np.asarray(cv2.remap(self.share, x, y, cv2.INTER_LINEAR), np.float32)

    def find(self, own: Field, prior: Field, near: Mask, extent: float, usual: float) -> Mask:
        """Which pixels are a rival's, bool (h, w) like the object's share `prior` carried here.

        `own` (h, w, 2) is the motion against the camera's, backwards in time; `near` (h, w) is
        round the object's place. What moves rather like the object has come out from behind the
        rival, and what moves rather like that and lies next to it is its own.
        """
        reach = round(measure_reach(extent))
        self._own = cv2.blur(own, (5, 5))
        noise = _TUNING.unrest * _median_length(self._own)
        self._noise = max(_TUNING.still, _TUNING.restless * extent, noise)
        sure, known = prior > SURE, _drop_small(self.share > SURE, _TUNING.solid * usual)
        alone = np.linalg.norm(self._own, axis=-1) > self._noise
        close = known & near
        self.meets = bool((close & dilate(sure, 3)).any()) if sure.any() else bool(close.any())
        if sure.any():
            pace = _TUNING.pace_met if self.meets else _TUNING.pace
            self._ours = _follow(self._ours, self._own[sure], pace)
        if close.any():
            self._theirs = _follow(self._theirs, self._own[close], _TUNING.pace)
        if self._ours is None:
            return np.asarray(known)
        like_ours = np.linalg.norm(self._own - self._ours, axis=-1)
        self.strange = alone & (like_ours > self._noise)
        if self._theirs is None or not close.any():
            return np.asarray(known)
        like_theirs = np.linalg.norm(self._own - self._theirs, axis=-1)
        closer = like_theirs + _TUNING.apart < like_ours
        around = dilate(close, reach)
        alien = (around & closer) | _touching(self.strange & closer, around)
        return np.asarray((known & ~(like_ours + _TUNING.apart < like_theirs)) | alien)

    def learn(self, likely: Mask, found: Mask, room: Mask, reach: float, usual: float) -> None:
        """Take in a frame: `likely` (h, w) looks like an object, `found` is ours.

        Nothing in `room` (h, w), where the object's own parts may be, begins to be a rival, and
        nothing while the object is not seen well: it may come out again somewhere else.
        """
        well = found.sum() > _TUNING.well * usual
        alone = np.linalg.norm(self._own, axis=-1) > self._noise
        likely = np.where(alone, self.strange, likely)
        near, known = dilate(found, round(reach) + 1), self.share > SURE
        theirs = likely & ~_touching(likely, near) & ~room & well
        theirs |= likely & ~found & dilate(known, round(reach))
        learnt = np.where(theirs, self.share + _TUNING.learn * (1 - self.share), self.share)
        learnt = np.where(likely, learnt, _TUNING.forget * self.share)
        learnt[found] = 0
        self.share = np.asarray(learnt, np.float32)


def _follow(
    before: npt.NDArray[np.float32] | None, seen: Field, pace: float
) -> npt.NDArray[np.float32]:
    """The motion `before` (2,), closer to what is `seen` (k, 2)."""
    now = np.median(seen, axis=0)
    return np.asarray(now if before is None else before + pace * (now - before), np.float32)


def _drop_small(mask: Mask, least: float) -> Mask:
    """`mask` (h, w) without pieces of fewer pixels than `least`."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    return np.asarray(large[labels])


def _median_length(motion: Field) -> float:
    return float(np.median(np.linalg.norm(motion[::4, ::4], axis=-1)))


def find_likely(share: Field, stand: Field | None) -> Mask:
    """Where something is that the evidence alone could take for the object, bool (h, w)."""
    likely = share > _TUNING.likely
    return likely if stand is None else likely | (stand > _TUNING.stands_out)
