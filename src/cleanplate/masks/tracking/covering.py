"""From shares to the masks that are given out: closing, joining, a margin."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cleanplate.masks.source import Mask, dilate
from cleanplate.masks.tracking.appearance import Field
from cleanplate.masks.tracking.evidence import SURE


@dataclass(frozen=True)
class CoverTuning:
    """Constants of the masks that are given out."""

    levels: tuple[float, ...] = (0.1, 0.15, 0.25, 0.4)
    """Shares from which a pixel is likely the object's: the lowest for which there is room."""
    room: float = 1.75
    """Area of a mask over that of the object, estimated from its shares: to miss a part is worse
    than to take too much."""
    margins: tuple[float, float] = (1.1, 1.4)
    """Limits of the ratio of the areas with and without the margin."""
    close: float = 0.12
    """Half the width of gaps closed, in square roots of the area: between an arm and the body."""
    join: float = 0.2
    """Distance, in square roots of the area, up to which what is likely joins what is sure."""


_TUNING = CoverTuning()


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
    room = _TUNING.room * float(share[share > _TUNING.levels[0]].sum())
    near = dilate(sure, round(_TUNING.join * reach))
    for level in _TUNING.levels:
        closed = _close((share > level) & near, sure, round(_TUNING.close * reach))
        if _TUNING.margins[0] * closed.sum() <= room:
            break
    return grow(closed, float(np.clip(room / closed.sum(), *_TUNING.margins)))


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
