"""Keep what is found to one instance: no more than motion explains, and none of its look-alikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

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
