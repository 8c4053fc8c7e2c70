"""A tiny network and made-up clips."""

from __future__ import annotations

import cv2
import numpy as np

from cleanplate.network.light import LightConfig
from cleanplate.research.data.sampling import Sample

TINY = LightConfig(matching=8, widths=(8, 12, 16), heads=2, blocks=1)


def draw(number: int, frames: int = 3, size: tuple[int, int] = (32, 48)) -> Sample:
    """A textured clip that shifts, with a hole; the same number gives the same sample."""
    rng = np.random.default_rng((7, number))
    coarse = rng.integers(0, 256, (6, 10, 3), np.uint8)
    wide = cv2.resize(coarse, (size[1] + 4 * frames, size[0]), interpolation=cv2.INTER_CUBIC)
    clip = np.stack([wide[:, 4 * k : 4 * k + size[1]] for k in range(frames)])
    masks = np.zeros((frames, *size), bool)
    top, left = rng.integers(4, 12, 2)
    masks[:, top : top + 14, left : left + 18] = True
    return Sample(clip, masks)


def draw_still(number: int) -> Sample:
    """A single frame."""
    return draw(number + 1000, frames=1)
