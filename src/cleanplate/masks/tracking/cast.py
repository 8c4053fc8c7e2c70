"""Long shadows that the sun casts on the ground beside an object."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.morphology import dilate
from cleanplate.masks.source import Mask

_DARKER = 0.12
"""Natural log of how much darker a shadow is than the ground above and under it, at least."""
_THICK = 0.2
"""A shadow is at most so thick, in heights of the object."""
_FOOT = 0.3
"""It lies beside the lowest part of the object, in heights of the object,"""
_LONG = 0.5
"""and is at least so long."""
_NEAR = 0.12
"""It begins so near to it: a runner's feet leave the ground."""
_INSIDE = 0.7


class CastShadow:
    """Finds an object's long shadow again on the side on which it was marked."""

    def __init__(self, frame: npt.NDArray[np.uint8], marked: Mask) -> None:
        """`frame` uint8 RGB (h, w, 3); `marked` bool (h, w) holds the object and its shadow."""
        body = find_body(marked)
        self._sides = [
            side for side in (-1, 1) if _is_inside(find_strip(frame, body, side), marked)
        ]

    def find(self, frame: npt.NDArray[np.uint8], body: Mask) -> Mask:
        """The shadow of `body` (h, w), bool (h, w), with a margin; often there is none."""
        found = np.zeros(body.shape, np.bool_)
        if self._sides and body.any():
            body = find_body(body)
            for side in self._sides:
                found |= find_strip(frame, body, side)
            found = dilate(found, round(0.04 * _measure_height(body)) + 1)
        return found


def _is_inside(strip: Mask, marked: Mask) -> bool:
    return bool(strip.any() and (strip & marked).sum() > _INSIDE * strip.sum())


def find_body(mask: Mask) -> Mask:
    """The largest part of `mask`, bool (h, w)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if len(stats) < 2:
        return mask
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def find_strip(frame: npt.NDArray[np.uint8], body: Mask, side: int) -> Mask:
    """A dark strip on the ground, bool (h, w), left (-1) or right (1) of `body`, from its foot on.

    A closing of the lightness along columns fills dark strips thinner than its kernel (the black
    hat transform); what is filled and touches the foot is the shadow.
    """
    none = np.zeros(body.shape, np.bool_)
    if not body.any():
        return none
    height, bottom = _measure_height(body), int(np.flatnonzero(body.any(1))[-1])
    light = np.log(cv2.GaussianBlur(frame, (0, 0), 1).max(-1).astype(np.float32) + 8)
    kernel = np.ones((2 * round(_THICK * height / 2) + 1, 1), np.uint8)
    dark = (cv2.morphologyEx(light, cv2.MORPH_BLACKHAT, kernel) > _DARKER).astype(np.uint8)
    dark[: max(bottom - round(_FOOT * height), 0)] = 0
    dark[bottom + round(_THICK * height) :] = 0
    centre = int(np.median(np.nonzero(body)[1]))
    dark[:, slice(centre, None) if side < 0 else slice(0, centre)] = 0
    bridge = np.ones((1, 2 * round(0.05 * height) + 1), np.uint8)
    dark = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, bridge)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
    touched = np.unique(labels[dilate(body, round(_NEAR * height) + 1)])
    long = [n for n in touched if n and stats[n, cv2.CC_STAT_WIDTH] > _LONG * height]
    return np.asarray(np.isin(labels, long)) if long else none


def _measure_height(mask: Mask) -> float:
    return float(cv2.boundingRect(mask.astype(np.uint8))[3])
