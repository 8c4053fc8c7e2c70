"""Methods without a network that everything has to beat: frame by frame, and over time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import TemporaryFile

import cv2
import numpy as np

from cleanplate.evaluation.clips import Clip, Frame, Mask, Survey

RADIUS = 5
"""Reach of both OpenCV methods in pixels, as in the published table of the evaluation footage."""


class FrameByFrame:
    """Each frame by itself, by OpenCV's `inpaint`.

    `telea` is Telea's fast marching (2004), `navier-stokes` Bertalmio et al. (2001).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._algorithm = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}[name]

    def describe(self) -> dict[str, str]:
        """What a report says about it."""
        return {"kind": f"OpenCV {cv2.__version__}, radius {RADIUS}", "device": "cpu"}

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """The frames with their holes filled."""
        for frame, mask in clip.blanked():
            yield _inpaint(frame, mask, self._algorithm)


class TemporalMedian:
    """One plate for the whole clip: the median over time of what each pixel shows outside holes.

    Telea's method fills the plate where every frame has a hole.
    """

    name = "median"

    def describe(self) -> dict[str, str]:
        """What a report says about it."""
        return {"kind": "temporal median", "device": "cpu"}

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """The frames with their holes filled."""
        plate = make_plate(clip)
        for frame, mask in clip.blanked():
            frame[mask] = plate[mask]
            yield frame


def make_plate(clip: Clip) -> Frame:
    """The median plate of `clip`, uint8 (h, w, 3).

    The clip is kept in a file, not in memory, and read from it row by row.
    """
    height, width = clip.size.shape
    plate = np.zeros((height, width, 3), np.uint8)
    unseen = np.zeros((height, width), np.uint8)
    with TemporaryFile() as frames_file, TemporaryFile() as masks_file:
        for frame, mask in clip.blanked():
            frames_file.write(frame.tobytes())
            masks_file.write(mask.tobytes())
        for file in (frames_file, masks_file):
            file.flush()
            os.fsync(file.fileno())
        shape = (clip.count, height, width)
        frames = np.memmap(frames_file, np.uint8, "r", shape=(*shape, 3))
        masks = np.memmap(masks_file, np.bool_, "r", shape=shape)
        for row in range(height):
            unseen[row] = masks[:, row].all(0)
            seen = ~unseen[row].astype(np.bool_)
            if seen.any():
                shown = frames[:, row][:, seen].astype(np.float32)
                shown[masks[:, row][:, seen]] = np.nan
                plate[row, seen] = np.nanmedian(shown, axis=0)
    return _inpaint(plate, unseen, cv2.INPAINT_TELEA)


def _inpaint(frame: Frame, mask: Mask | Frame, algorithm: int) -> Frame:
    if not mask.any():
        return frame
    return np.asarray(cv2.inpaint(frame, mask.astype(np.uint8), RADIUS, algorithm), np.uint8)
