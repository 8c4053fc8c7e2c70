"""Evidence of an object: its difference from the background plate, and what motion says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Mask
from cleanplate.masks.tracking.segmenter import Frames
from cleanplate.motion.areas import pull_push
from cleanplate.motion.flow import DisFlow, grid

Field = npt.NDArray[np.float32]
SURE = 0.5
"""Share from which a pixel counts as the object's."""

_BINS = 15
_LIMIT = 3.0


def compare_motion(own: Field, inside: Field, outside: Field) -> Field:
    """Log of how much likelier the motion at each pixel is the object's, float32 (h, w).

    `own` (h, w, 2) is motion against the camera's, in pixels; `inside` and `outside` (h, w) weigh
    where the object is thought to be, and where not. Both kinds of motion are learnt from there:
    an object that moves like its surroundings gives no evidence.
    """
    speed = np.hypot(own[..., 0], own[..., 1])
    known = outside > 0.5
    usual = max(float(np.median(speed[known])) if known.any() else 0.0, 0.25)
    scaled = np.sign(own) * np.log2(1 + np.abs(own) / usual) / 5
    place = np.clip((scaled + 1) / 2 * _BINS, 0, _BINS - 1).astype(np.int32)
    bins = place[..., 1] * _BINS + place[..., 0]
    mine, other = (_count(bins, weight) for weight in (inside, outside))
    unseen = 1 / _BINS**2
    table = np.clip(np.log((mine + unseen) / (other + unseen)), -_LIMIT, _LIMIT)
    return np.asarray(table.astype(np.float32)[bins])


def _count(bins: npt.NDArray[np.int32], weight: Field) -> Field:
    total = np.bincount(bins.ravel(), weight.ravel(), minlength=_BINS * _BINS)
    table = (total / max(total.sum(), 1e-6)).reshape(_BINS, _BINS).astype(np.float32)
    blurred = cv2.GaussianBlur(table, (0, 0), 0.8, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred.ravel(), np.float32)


def measure_depth(share: Field, reach: float) -> Field:
    """From -1, `reach` pixels outside of the outline of `share` > 0.5, to 1 inside; (h, w).

    Inside it rises within a few pixels, so that thin parts count as well.
    """
    mask = share > 0.5
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.clip(inside / 3 - outside / reach, -1, 1), np.float32)


def follow_edges(guide: Field, values: Field, radius: int, slack: float) -> Field:
    """Smooth `values` (h, w) except across edges of `guide` (h, w) in [0, 1].

    The guided filter (He et al., ECCV 2010, equation 5): locally values are linear in the guide.
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(x: npt.NDArray[np.floating[Any]]) -> Field:
        return np.asarray(cv2.blur(x, size, borderType=cv2.BORDER_REFLECT_101), np.float32)

    guide_mean, value_mean = mean(guide), mean(values)
    slope = (mean(guide * values) - guide_mean * value_mean) / (
        mean(guide * guide) - guide_mean * guide_mean + slack
    )
    offset = value_mean - slope * guide_mean
    return np.asarray(np.clip(mean(slope) * guide + mean(offset), 0, 1), np.float32)


def settle(odds: Field, frame: npt.NDArray[np.uint8], extent: float) -> Field:
    """From log odds (h, w) to a share whose outline follows the edges in `frame` (h, w, 3).

    `extent` is the size of the object in pixels. Parts too thin for it, such as spokes, stay when
    they are sure by themselves.
    """
    guide = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    radius = max(round(0.03 * extent), 2)
    share = follow_edges(guide, squash(odds), radius, 1e-3)
    share = follow_edges(guide, squash(odds + 3 * (share - 0.5)), radius, 1e-3)
    thin = cv2.GaussianBlur(squash(odds - 1), (3, 3), 0)
    return np.asarray(np.maximum(share, thin), np.float32)


def squash(x: Field) -> Field:
    """The logistic function: log odds to a share in [0, 1]."""
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


_UNSEEN = -0.5


class Standout:
    """How likely a difference from the background (see Plate) is the object's."""

    def __init__(self) -> None:
        self._strength: float | None = None

    def compare(self, difference: Field, inside: Field, outside: Field, pace: float) -> Field:
        """Log odds (h, w) for `difference` (h, w), little where that is not known (nan).

        `inside` and `outside` (h, w) weigh where the object is thought to be, and where not. The
        scale is what differs outside; an object that stands out no more often than its
        surroundings, since it rests, gets no evidence. `pace` is how fast that is learnt.
        """
        known = np.isfinite(difference)
        there = known & (outside > 0.5)
        if not there.any():
            return np.zeros_like(difference)
        times = np.where(known, difference, 0) / _find_usual(difference, there)
        high = (times > 3).astype(np.float32)
        more = _mean(high, inside * known) - _mean(high, outside * known)
        strength = float(np.clip(more / 0.1, 0, 1))
        before = strength if self._strength is None else self._strength
        self._strength = before + pace * (strength - before)
        odds = np.clip(1.5 * np.log2((times + 0.1) / 2), -2.5, _LIMIT)
        return np.asarray(np.where(known, odds, _UNSEEN) * self._strength, np.float32)


def _find_usual(difference: Field, there: Mask) -> Field:
    """What differs around each pixel, from where `there` (h, w) says that the background is seen.

    Grass in the wind differs more than a wall.
    """
    height, width = difference.shape
    size = (max(width // 8, 1), max(height // 8, 1))
    weight = cv2.resize(there.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # What differs much is no noise: another moving thing, or a part of the object not yet found.
    capped = np.where(there, np.minimum(difference, 2 * np.median(difference[there])), 0)
    total = cv2.resize(capped, size, interpolation=cv2.INTER_AREA)
    coarse = np.asarray(total / np.maximum(weight, 1e-3), np.float32)[..., None]
    smooth = pull_push(coarse, np.asarray(np.minimum(weight, 0.3), np.float32))
    usual = cv2.resize(smooth, (width, height)).reshape(height, width)
    return np.asarray(np.maximum(1.5 * usual, 0.5), np.float32)


def _mean(values: Field, weight: Field) -> float:
    return float((values * weight).sum() / max(float(weight.sum()), 1e-6))


Frame = npt.NDArray[np.uint8]
Homography = npt.NDArray[np.float64]

_NOISE = 3.0
"""Levels of difference that mean nothing."""
_EDGE = 0.08
"""Part of the local contrast that a small misplacement makes up for."""

_SMALLEST = 16
"""Sides, in pixels, under which no flow is estimated."""


class Camera:
    """The camera's motion between neighbouring frames, estimated when first asked for."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self._steps: dict[int, Homography] = {}
        self._dis = DisFlow("fast")

    def between(self, first: int, second: int) -> Homography:
        """Where points x, y of frame `first` are in frame `second`, (3, 3)."""
        low, high = sorted((first, second))
        chain = np.eye(3)
        for index in range(low, high):
            chain = self._step(index) @ chain
        return chain if first <= second else np.asarray(np.linalg.inv(chain), np.float64)

    def _step(self, index: int) -> Homography:
        if index not in self._steps:
            self._steps[index] = self._estimate(self.frames[index], self.frames[index + 1])
        return self._steps[index]

    def _estimate(self, frame: Frame, after: Frame) -> Homography:
        """A homography fitted to flow at half the size; no motion where none fits."""
        first, second = (_halve(_gray(picture)) for picture in (frame, after))
        if min(first.shape) < _SMALLEST:
            return np.eye(3)
        flow = self._dis.flow(first, second)
        x, y = grid(*first.shape)
        samples = (slice(2, None, 5), slice(2, None, 5))
        here = np.stack([x[samples], y[samples]], -1).reshape(-1, 2)
        there = here + flow[samples].reshape(-1, 2)
        # Cells of half the size: centres of pixels lie at 2 x + 0.5 of the full one.
        fitted, _ = cv2.findHomography(2 * here + 0.5, 2 * there + 0.5, cv2.USAC_MAGSAC, 1.5)
        usable = fitted is not None and abs(np.linalg.det(fitted)) > 0.1
        return np.asarray(fitted) if usable else np.eye(3)


class Plate:
    """The background behind one frame, as others show it."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._dis = DisFlow("fast")

    def compare(
        self,
        index: int,
        others: Sequence[int],
        hole: Mask,
        window: tuple[slice, slice],
        hidden: Mapping[int, Mask] | None = None,
    ) -> Field | None:
        """How much frame `index` differs from the background, float32 (h, w) of `window`.

        1 is what noise and misplacement explain. `hole`, bool (h, w) of the frame, holds the object
        with some room; `hidden` says of other frames, as far as it is known, where they show the
        object and not the background. The lower median over `others` counts; None when no two of
        them show it.
        """
        frame = self._camera.frames[index][window]
        gray = _gray(frame)
        smooth = cv2.GaussianBlur(frame, (0, 0), 0.8).astype(np.float32)
        away = hidden or {}
        layers = [
            self._layer(index, other, gray, smooth, hole[window], window, away.get(other))
            for other in others
        ]
        known = [layer for layer in layers if np.isfinite(layer).mean() > 0.3]
        if len(known) < 2:
            return None
        ordered = np.sort(np.stack(known), axis=0)
        count = np.isfinite(ordered).sum(0)
        middle = np.maximum((count - 1) // 2, 0)[None]
        difference = np.take_along_axis(ordered, middle, 0)[0]
        difference[count < 2] = np.nan
        kernel = np.ones((3, 3), np.uint8)
        contrast = (cv2.dilate(gray, kernel) - cv2.erode(gray, kernel)).astype(np.float32)
        return np.asarray(difference / (_NOISE + _EDGE * contrast), np.float32)

    def _layer(
        self,
        index: int,
        other: int,
        gray: npt.NDArray[np.uint8],
        smooth: Field,
        hole: Mask,
        window: tuple[slice, slice],
        hidden: Mask | None,
    ) -> Field:
        """Difference from one other frame laid over this one, levels (h, w); inf where unseen."""
        rows, columns = window
        place = np.array([[1, 0, columns.start], [0, 1, rows.start], [0, 0, 1]], np.float64)
        way = self._camera.between(index, other) @ place
        size = gray.shape[::-1]
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        source = self._camera.frames[other]
        laid = cv2.warpPerspective(source, way, size, flags=flags)
        shown = np.full(source.shape[:2], 255, np.uint8)
        if hidden is not None:
            shown[hidden] = 0
        seen = cv2.warpPerspective(shown, way, size, flags=flags) == 255
        if min(gray.shape) < 2 * _SMALLEST or seen.mean() < 0.3:
            return _subtract(smooth, np.asarray(laid, np.float32), seen)
        shift = self._align(gray, laid, hole, seen)
        x, y = grid(*gray.shape)
        laid = cv2.remap(laid, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR)
        laid = cv2.GaussianBlur(laid, (0, 0), 0.8).astype(np.float32)
        return _subtract(smooth, np.asarray(laid, np.float32), seen)

    def _align(self, gray: npt.NDArray[np.uint8], laid: Frame, hole: Mask, seen: Mask) -> Field:
        """What is left of the background's motion, (h, w, 2), completed inside the hole."""
        first, second = _halve(gray), _halve(_gray(laid))
        size = first.shape[::-1]
        flow = self._dis.flow(first, second)
        hidden = cv2.resize(hole.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        known = cv2.resize(seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        trust = ((cv2.dilate(hidden, np.ones((5, 5))) == 0) & (known > 0)).astype(np.float32)
        completed = pull_push(np.asarray(flow, np.float32), trust)
        return np.asarray(2 * cv2.resize(completed, gray.shape[::-1]), np.float32)


def _subtract(frame: Field, laid: Field, seen: Mask) -> Field:
    """Largest difference of the channels, float32 (h, w); inf where not `seen`."""
    apart = cv2.absdiff(frame, laid)
    most = np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2])
    return np.where(seen, most, np.float32(np.inf))


def _gray(frame: Frame) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.uint8)


def _halve(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    size = (max(gray.shape[1] // 2, 1), max(gray.shape[0] // 2, 1))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)


def find_others(index: int, base: float, count: int) -> list[int]:
    """Frames before and after `index`, about `base` frames away, of `count`."""
    steps = [round(base * times) for times in (0.5, 1, 2)]
    near = [index + sign * step for step in steps for sign in (-1, 1)]
    return [k for k in near if 0 <= k < count]
