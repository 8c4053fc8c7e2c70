"""Grow masks and soften their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Alpha = npt.NDArray[np.float32]

_ROUNDING = 1e-4
"""Slack for float32 distances; the next distance beyond r is r + 1/(2 r), larger to r = 5000."""


def dilate(mask: Mask, pixels: int) -> Mask:
    """Grow `mask`, bool `(h, w)`, by a disc: every pixel at most `pixels` away from it.

    The distance is Euclidean and exact, and the time does not depend on `pixels`.
    """
    if pixels < 0:
        raise ValueError("pixels must not be negative")
    if pixels == 0 or not mask.any():
        return mask.copy()
    return _around(mask, pixels, lambda distance: distance <= pixels + _ROUNDING)


def dilate_cross(mask: Mask, times: int) -> Mask:
    """Grow `mask`, bool `(h, w)`, `times` times by a 3×3 cross; STTN's protocol does so 4 times."""
    if times < 0:
        raise ValueError("times must not be negative")
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    grown = cv2.dilate(mask.astype(np.uint8), cross, iterations=times) if times else mask
    return np.array(grown, dtype=np.bool_)


def feather(mask: Mask, pixels: int) -> Alpha:
    """Alpha for `mask`, float32 `(h, w)` in [0, 1].

    It is 1 in the mask, falls smoothly (3 s² - 2 s³) with the distance from it and is 0 farther
    away than `pixels`: `feather(m, n) > 0` is `dilate(m, n)`.
    """
    if pixels < 0:
        raise ValueError("pixels must not be negative")
    if pixels == 0 or not mask.any():
        return mask.astype(np.float32)

    def fall(distance: Alpha) -> Alpha:
        share = np.clip(1 - distance / np.float32(pixels + 1), 0, 1)
        share[distance > pixels + _ROUNDING] = 0
        return np.asarray(share * share * (3 - 2 * share), np.float32)

    return _around(mask, pixels, fall)


T = TypeVar("T", bound=np.generic)


def _around(mask: Mask, pixels: int, change: Callable[[Alpha], npt.NDArray[T]]) -> npt.NDArray[T]:
    """Apply `change` to the distance from `mask`, only in the rectangle where it can matter."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    rows = slice(max(y - pixels, 0), y + height + pixels)
    columns = slice(max(x - pixels, 0), x + width + pixels)
    outside = np.asarray(~mask[rows, columns], np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = change(np.asarray(distance, np.float32))
    whole = np.zeros(mask.shape, near.dtype)
    whole[rows, columns] = near
    return whole
