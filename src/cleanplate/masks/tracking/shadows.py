"""Grow masks to what moves together with an object: its shadow, its reflection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from cleanplate.masks.morphology import dilate
from cleanplate.masks.source import Mask
from cleanplate.masks.tracking.appearance import Place
from cleanplate.masks.tracking.evidence import Standout
from cleanplate.masks.tracking.plate import Camera, Plate
from cleanplate.masks.tracking.result import PackedMask
from cleanplate.masks.tracking.run import find_joined, find_others
from cleanplate.masks.tracking.segmenter import Frames

_REACH = 2.5
"""A shadow is looked for so many half extents of the object around its centre."""
_STEP = 10
_LEAST = 0.3


def add_shadows(
    frames: Frames, masks: Sequence[PackedMask], step: Callable[[], None]
) -> Iterator[PackedMask]:
    """`masks`, each with what stands out from the background on its frame and touches it.

    A shadow or reflection comes and goes with its object, so other frames show the ground without
    it. Where something does not move against the background, nothing is added.
    """
    plate = Plate(Camera(frames))
    for index, packed in enumerate(masks):
        mask = packed.unpack()
        if mask.any():
            mask = mask | _find_shadow(plate, frames, index, mask)
        yield PackedMask.pack(mask)
        step()


def _find_shadow(plate: Plate, frames: Frames, index: int, mask: Mask) -> Mask:
    """What stands out near `mask`, bool (h, w), and is joined to it."""
    place = Place.around(mask)
    window = place.window(frames.shape, _REACH)
    room = dilate(mask, round(0.1 * place.extent) + 3)
    found = np.zeros(mask.shape, np.bool_)
    stand = plate.compare(index, find_others(index, _STEP, len(frames)), room, window)
    if stand is None:
        return found
    inside = mask[window]
    odds = Standout().compare(stand, inside.astype(np.float32), (~inside).astype(np.float32), 1.0)
    smooth = cv2.GaussianBlur(odds, (0, 0), 1.5)
    likely = ((smooth > _LEAST) | inside).astype(np.uint8)
    likely = cv2.morphologyEx(likely, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | inside
    joined = find_joined(likely.astype(np.float32), inside) > 0
    found[window] = dilate(joined & (likely > 0) & ~inside, 2)
    return found
