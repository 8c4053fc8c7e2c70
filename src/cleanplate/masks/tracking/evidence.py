"""Evidence beside colour: what moves differently, where it was, and outlines in the picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow.smooth import pull_push

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

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
