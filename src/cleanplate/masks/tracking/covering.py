"""From shares to the masks that are given out: closing, joining, a margin."""

from __future__ import annotations

import cv2
import numpy as np

from cleanplate.masks.source import Mask, dilate
from cleanplate.masks.tracking.appearance import Field
from cleanplate.masks.tracking.plate import SURE

LEVELS = (0.1, 0.15, 0.25, 0.4)
"""Shares from which a pixel is likely the object's: the lowest for which there is room."""
_ROOM = 1.75
"""Area of a mask over that of the object, estimated from its shares;"""
_MARGINS = (1.1, 1.4)
"""limits of that ratio to the area before the margin."""
_CLOSE, _JOIN = 0.12, 0.2
"""Gaps closed and parts joined, in square roots of the area."""


def cover(share: Field, usual: float) -> Mask:
    """The mask to give out for `share` (h, w): rather too much than too little.

    As much as the expected area of the object allows: what is likely joins what is sure not far
    from it, gaps are closed, and a margin is added. `usual` is the area in pixels when the object
    is seen well.
    """
    sure = share > SURE
    if not sure.any():
        return sure
    reach = float(np.sqrt(max(float(sure.sum()), usual)))
    room = _ROOM * float(share[share > LEVELS[0]].sum())
    near = dilate(sure, round(_JOIN * reach))
    for level in LEVELS:
        closed = _close((share > level) & near, sure, round(_CLOSE * reach))
        if _MARGINS[0] * closed.sum() <= room:
            break
    return grow(closed, float(np.clip(room / closed.sum(), *_MARGINS)))


def _close(likely: Mask, sure: Mask, radius: int) -> Mask:
    """`likely` (h, w) and `sure`, with gaps up to twice `radius` closed."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    closed = cv2.morphologyEx((likely | sure).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return np.asarray(closed > 0)


def grow(mask: Mask, times: float) -> Mask:
    """Add an even margin to `mask` (h, w), so that its area grows by about the factor `times`.

    Thin things get a thin margin.
    """
    wanted = int(times * mask.sum())
    if not 0 < wanted < mask.size:
        return mask
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= np.partition(distance.ravel(), wanted)[wanted])


def widen(mask: Mask) -> Mask:
    """`mask` (h, w) with the closing and the margin that masks are given out with."""
    return cover(mask.astype(np.float32), 0.0)
