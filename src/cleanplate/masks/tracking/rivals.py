"""Look-alikes of a tracked object: where they are, and how they move while they touch it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Mask
from cleanplate.masks.tracking.appearance import Index, Place, measure_overlap
from cleanplate.masks.tracking.course import Course
from cleanplate.masks.tracking.evidence import Field


@dataclass(frozen=True)
class RivalTuning:
    """Constants of finding look-alikes and of carrying them through a crossing."""

    still: float = 1.0
    """Pixels per frame of motion against the camera that count as none,"""
    restless: float = 0.02
    """or this many extents of the object: flow is smoother than the outline of a large object,"""
    unrest: float = 3.0
    """or this many times the usual motion of the picture: waves and leaves."""
    alike: float = 1.0
    """Log ratio of a colour's frequency in the object and in the rest of the picture from which it
    is a look-alike's: the colours of a look-alike are rare elsewhere, as the object's are."""
    smooth: float = 0.03
    """Blur of that ratio, in extents of the object: a jacket counts, a speck in the grass does
    not."""
    join: float = 0.06
    """Half the width of gaps closed in a look-alike, in extents of the object: its belt."""
    smallest: float = 0.4
    """Area of a look-alike in usual areas of the object, at least: no speck and no shadow,"""
    largest: float = 1.8
    """and at most: a wall of the same colour is none."""
    stretch: float = 1.7
    """Largest ratio of its height to the object's, or the inverse: a post is none either."""
    overlap: float = 0.2
    """Intersection over union of two boxes from which they are of the same thing: it moves by less
    than half its size in a frame."""
    likeness: float = 0.65
    """Likeness of its colours to the object's (Bhattacharyya coefficient) from which a thing can be
    mistaken for it: of two people in the same uniform it is about 0.9."""
    proven: int = 2
    """Frames in which a look-alike must be seen to count."""
    patience: int = 4
    """Frames in which it may be missing before it is forgotten, unless it touches the object."""
    coast: int = 60
    """Frames for which its motion is predicted while it touches the object: two seconds."""
    apart: float = 0.5
    """Pixels per frame by which a motion must be closer to one of two velocities to decide."""


_TUNING = RivalTuning()


@dataclass
class _Rival:
    place: Place
    course: Course = field(default_factory=Course)
    seen: int = 1
    missing: int = 0


class Rivals:
    """Other things that look like the object, or move on their own, as boxes with a velocity.

    They are found while they are apart from the object. While they touch it, each moves on at its
    velocity, so that it is known which of the two comes out on which side.
    """

    def __init__(self) -> None:
        self._all: list[_Rival] = []
        self._met: list[_Rival] = []

    @property
    def meets(self) -> bool:
        """Whether one touches the object, so that what is seen there may be either's."""
        return bool(self._met)

    def carry(self, camera: Field, place: Place, reach: float) -> None:
        """Move on to the next frame; `place` is where the object is expected there.

        `camera` (h, w, 2) is the camera's backward flow; `reach` in pixels widens the object.
        """
        for rival in self._all:
            x, y = _clip(rival.place, camera.shape)
            step = camera[y, x] + rival.course.speed
            rival.place.x -= float(step[0])
            rival.place.y -= float(step[1])
        self._met = [
            rival
            for rival in self._all
            if rival.seen >= _TUNING.proven and _touch(rival.place, place, reach)
        ]

    def move_along(self, own: Field, course: Course) -> Mask:
        """Which pixels move rather like a look-alike that touches the object, bool (h, w).

        `own` (h, w, 2) is motion against the camera.
        """
        shape = (own.shape[0], own.shape[1])
        along = np.zeros(shape, np.bool_)
        for rival in self._met:
            nearer = rival.course.depart(own) + _TUNING.apart < course.depart(own)
            along |= rival.place.box(shape) & nearer
        return along

    def claim(self, own: Field, course: Course, known: Mask) -> Mask:
        """Which pixels belong to a look-alike that touches the object, bool (h, w).

        Inside its box, a pixel belongs to the one whose velocity it has. Where both move alike, it
        is the object's if that is `known` (h, w) to be there.
        """
        claimed = self.move_along(own, course)
        for rival in self._met:
            ours = course.depart(own) + _TUNING.apart < rival.course.depart(own)
            claimed |= rival.place.box((known.shape[0], known.shape[1])) & ~known & ~ours
        return claimed

    def learn(
        self,
        candidates: Mask,
        view: Surroundings,
        place: Place,
        usual: float,
        *,
        new: bool = True,
    ) -> None:
        """Take in a frame: `candidates` (h, w) are not the object, but could be mistaken for it.

        `place` is the object's, `usual` its area in pixels. Only where `new` may a look-alike be
        found that was not known before.
        """
        own = view.own
        found = [
            blob
            for blob in _find_blobs(candidates, place.extent, usual)
            if 1 / _TUNING.stretch < blob[0].half_height / place.half_height < _TUNING.stretch
            and view.measure_likeness(blob[1]) > _TUNING.likeness
        ]
        for rival in self._all:
            if rival in self._met:
                rival.missing += 1
                continue
            best = max(found, key=lambda blob: _overlap(blob[0], rival.place), default=None)
            if best is None or _overlap(best[0], rival.place) < _TUNING.overlap:
                rival.missing += 1
                continue
            found.remove(best)
            rival.course.measure(own[best[1]])
            rival.place.approach(best[0], 0.5)
            rival.seen, rival.missing = rival.seen + 1, 0
        self._all = [r for r in self._all if r.missing <= self._endure(r)]
        # What comes out from behind a post beside the object is a part of it, no look-alike.
        others = [place, *(rival.place for rival in self._met)]
        for blob, inside in found:
            if new and not any(_touch(blob, other, 0) for other in others):
                self._all.append(_Rival(blob))
                self._all[-1].course.measure(own[inside])

    def _endure(self, rival: _Rival) -> int:
        return _TUNING.coast if rival in self._met else _TUNING.patience


_UNSEEN = 1e-4
"""Frequency of a colour that counts as never seen."""

Pixels = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Rows and columns."""
Blob = tuple[Place, Pixels]
"""The box of a piece and the pixels in it."""


def _find_blobs(candidates: Mask, extent: float, usual: float) -> list[Blob]:
    radius = round(_TUNING.join * extent)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    closed = cv2.morphologyEx(candidates.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    blobs: list[Blob] = []
    for label in range(1, len(stats)):
        if _TUNING.smallest * usual <= stats[label, cv2.CC_STAT_AREA] <= _TUNING.largest * usual:
            x, y, width, height = (int(v) for v in stats[label, :4])
            part = labels[y : y + height, x : x + width] == label
            rows, columns = np.nonzero(part)
            place = Place(x + width / 2, y + height / 2, width / 2, height / 2)
            blobs.append((place, (rows + y, columns + x)))
    return blobs


@dataclass(frozen=True)
class Surroundings:
    """What a whole frame shows around the object."""

    colours: Index
    """Bin of each pixel's colour, (h, w)."""
    ours: Field
    """Frequency of each colour in the object."""
    own: Field
    """Motion against the camera, (h, w, 2) in pixels."""

    def find_candidates(self, course: Course, mask: Mask, extent: float) -> Mask:
        """What has the object's colours or moves by itself, bool (h, w).

        `mask` (h, w) is the object with a margin, `course` its motion, `extent` its size in pixels.
        """
        outside = ~mask
        counts = np.bincount(self.colours[outside], minlength=len(self.ours)).astype(np.float32)
        theirs = counts / max(float(counts.sum()), 1.0)
        ratio = np.log((self.ours + _UNSEEN) / (theirs + _UNSEEN)).astype(np.float32)
        alike = cv2.GaussianBlur(ratio[self.colours], (0, 0), _TUNING.smooth * extent + 1)
        lengths = np.hypot(self.own[..., 0], self.own[..., 1])
        noise = max(
            _TUNING.still,
            _TUNING.restless * extent,
            _TUNING.unrest * float(np.median(lengths[::4, ::4])),
        )
        strange = (lengths > noise) & (course.depart(self.own) > noise)
        return np.asarray(((alike > _TUNING.alike) | strange) & outside)

    def measure_likeness(self, pixels: Pixels) -> float:
        """How far the colours of `pixels` are the object's, 0 to 1."""
        counts = np.bincount(self.colours[pixels], minlength=len(self.ours)).astype(np.float32)
        return measure_overlap(self.ours, counts)


def _touch(one: Place, other: Place, reach: float) -> bool:
    wide = one.half_width + other.half_width + reach
    high = one.half_height + other.half_height + reach
    return abs(one.x - other.x) < wide and abs(one.y - other.y) < high


def _overlap(one: Place, other: Place) -> float:
    """Intersection over union of two boxes."""
    wide = _common(one.x, one.half_width, other.x, other.half_width)
    high = _common(one.y, one.half_height, other.y, other.half_height)
    both = wide * high
    areas = 4 * (one.half_width * one.half_height + other.half_width * other.half_height)
    return both / max(areas - both, 1e-6)


def _common(x: float, half: float, other: float, other_half: float) -> float:
    return max(min(x + half, other + other_half) - max(x - half, other - other_half), 0.0)


def _clip(place: Place, shape: Sequence[int]) -> tuple[int, int]:
    x, y = int(np.clip(place.x, 0, shape[1] - 1)), int(np.clip(place.y, 0, shape[0] - 1))
    return x, y
