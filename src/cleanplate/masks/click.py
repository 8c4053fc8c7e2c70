"""What a single click on a picture means: the region round it that looks like one thing."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError
from cleanplate.masks.source import Mask

_SHORT_SIDE = 240
_SURE, _LIKELY, _REACH = 0.02, 0.10, 0.45
"""Radii round the click, in shares of the short side: is the thing, may be it, cannot be it."""
_ROUNDS = 4


def segment_click(picture: npt.NDArray[np.uint8], x: float, y: float) -> Mask:
    """The thing at `x, y` of `picture`, uint8 RGB (h, w, 3), as bool (h, w).

    Colours near the click are told from those farther away by GrabCut (Rother, Kolmogorov, Blake:
    "GrabCut", SIGGRAPH 2004); only what hangs together with the click is kept. A guess from one
    still picture, meant to be looked at. Raises MaskError for a click outside the picture.
    """
    height, width = picture.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise MaskError(f"the click {x:g},{y:g} is outside the picture, which is {width}x{height}")
    share = min(1.0, _SHORT_SIDE / min(height, width))
    small_size = max(round(width * share), 1), max(round(height * share), 1)
    small = cv2.resize(picture, small_size, interpolation=cv2.INTER_AREA)
    seed = min(int(x * share), small_size[0] - 1), min(int(y * share), small_size[1] - 1)
    region = _keep_connected(_cut(small, seed), seed)
    grown = cv2.resize(region.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown > 0.5, np.bool_)


def _cut(picture: npt.NDArray[np.uint8], seed: tuple[int, int]) -> Mask:
    """Foreground round `seed` (x, y)."""
    height, width = picture.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(columns - seed[0], rows - seed[1]) / min(height, width)
    labels = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    labels[distance < _LIKELY] = cv2.GC_PR_FGD
    labels[distance < _SURE] = cv2.GC_FGD
    labels[seed[1], seed[0]] = cv2.GC_FGD
    labels[distance > _REACH] = cv2.GC_BGD
    if not (labels == cv2.GC_BGD).any() and not (labels == cv2.GC_PR_BGD).any():
        return np.ones((height, width), np.bool_)
    state = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(picture[..., ::-1]), labels, None, *state, _ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )  # fmt: skip
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.bool_)


def _keep_connected(region: Mask, seed: tuple[int, int]) -> Mask:
    """The part of `region` in which `seed` lies, without holes."""
    parts = cv2.connectedComponents(region.astype(np.uint8), connectivity=4)[1]
    part = (parts == parts[seed[1], seed[0]]).astype(np.uint8)
    rims, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(part, rims, -1, 1, cv2.FILLED), np.bool_)
