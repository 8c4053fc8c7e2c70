"""Between full resolution and the size that is worked at."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def shrink(frame: Frame, shape: tuple[int, int]) -> Frame:
    """`frame` (h, w, 3) at a smaller (height, width), averaging."""
    if frame.shape[:2] == shape:
        return frame
    return np.asarray(cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def shrink_mask(mask: Mask, shape: tuple[int, int]) -> Mask:
    """`mask` (h, w) at a smaller (height, width); a pixel that holds any hole is a hole."""
    if mask.shape == shape:
        return mask
    share = cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(share > 0)


def enlarge(frame: Frame, shape: tuple[int, int]) -> Frame:
    """`frame` (h, w, 3) at a larger (height, width)."""
    if frame.shape[:2] == shape:
        return frame
    return np.asarray(cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
