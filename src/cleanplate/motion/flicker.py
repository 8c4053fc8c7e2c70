"""Measure flicker, take it out of frames before they are compared, and put it back afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import shrink, shrink_mask

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Gains = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FlickerTuning:
    """When changes of brightness count as flicker."""

    around: int = 6
    """Frames on either side that say how bright a frame would be without flicker."""
    least: float = 0.02
    """Relative change, root mean square over the frames, below which there is no flicker.

    A moving camera changes the brightness slowly, by less than this from its neighbours'.
    """
    size: int = 96
    """Longer side in pixels at which brightness is measured."""
    blur: float = 1.5
    """Sigma in pixels, at that size, over which small motion does not count."""
    darkest: float = 8.0
    """Mean level below which a frame is too dark to tell."""


_TUNING = FlickerTuning()


def measure_flicker(
    frames: Sequence[Frame], known: Mask, tuning: FlickerTuning = _TUNING
) -> Gains | None:
    """Gain (t,) of each frame relative to the others; None where nothing flickers.

    Args:
        frames: uint8 RGB (h, w, 3), neighbours in time, of one shot; whole pictures, as the mean
            of a small part changes with what moves through it.
        known: bool (h, w), pixels that no frame masks; others are not looked at.
    """
    height, width = known.shape
    scale = min(1.0, tuning.size / max(height, width))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    known = ~shrink_mask(~known, shape)
    if not known.any():
        return None
    small = [shrink(frame, shape).mean(axis=2) for frame in frames]
    if min(one[known].mean() for one in small) < tuning.darkest:
        return None
    # The median over pixels of each step in time: what moves through the picture does not count.
    logs = [np.log(cv2.GaussianBlur(one, (0, 0), tuning.blur)[known] + 1) for one in small]
    steps = [float(np.median(there - here)) for here, there in pairwise(logs)]
    level = np.concatenate([[0.0], np.cumsum(steps)])
    # Odd reflection continues a slow change beyond the first and last frames.
    reach = min(tuning.around, len(level) - 1)
    smooth = np.convolve(
        np.pad(level, reach, mode="reflect", reflect_type="odd"),
        np.full(2 * reach + 1, 1 / (2 * reach + 1)),
        "valid",
    )
    if np.sqrt(np.mean((level - smooth) ** 2)) < tuning.least:
        return None
    return np.asarray(np.exp(level - np.median(level)), np.float32)


def apply_gain(frame: Frame, gain: float) -> Frame:
    """`frame` uint8 times `gain`, rounded and clipped."""
    return np.asarray(cv2.convertScaleAbs(frame, alpha=gain), np.uint8)
