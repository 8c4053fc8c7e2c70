"""Evidence of an object at each pixel: its motion, its depth inside the outline, image edges."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

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
