"""Luma and colour differences: what codecs store, and what an overlay is learned and solved in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Planes = npt.NDArray[np.float32]

# Luma and the differences of blue and red to it (BT.601), 0 to 255 and around 0.
_TO_PLANES = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
_TO_RGB = np.linalg.inv(_TO_PLANES.astype(np.float64)).astype(np.float32)


def to_planes(rgb: npt.NDArray[np.uint8]) -> Planes:
    """Convert RGB (..., 3), 0 to 255, to luma and two colour differences (..., 3)."""
    return np.asarray(rgb.astype(np.float32) @ _TO_PLANES.T, np.float32)


def to_rgb(planes: Planes) -> npt.NDArray[np.uint8]:
    """Convert luma and colour differences (..., 3) to the nearest RGB."""
    return np.asarray(np.rint(planes @ _TO_RGB.T).clip(0, 255), np.uint8)
