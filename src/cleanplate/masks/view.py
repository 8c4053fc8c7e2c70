"""The working frame: a smaller picture, upright, in which text and logos are looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError
from cleanplate.masks.source import Mask
from cleanplate.types import Box, Size
from cleanplate.video import VideoInfo

Frame = npt.NDArray[np.uint8]

LONG_SIDE = 640
"""Pixels of the longer side of a working frame at most."""


class Shape(NamedTuple):
    """Pixels that something covers: bool `(h, w)` in `area` of the working frame."""

    area: Box
    covers: Mask


@dataclass(frozen=True, slots=True)
class View:
    """How the working frame, in which text is looked for, lies in the video.

    Attributes:
        region: the part of the video that is looked at, as people see it.
        size: the working frame's size; at most `LONG_SIDE` on the longer side.
    """

    info: VideoInfo
    region: Box
    size: Size

    @classmethod
    def choose(cls, info: VideoInfo, region: Box | None) -> View:
        """Look at `region`, or at all of the picture; raises MaskError when it is outside."""
        whole = info.display_size
        seen = Box(0, 0, whole.width, whole.height) if region is None else region.clipped(whole)
        if seen is None:
            raise MaskError(f"region {region} is outside the frame, which is {whole}")
        scale = min(1.0, LONG_SIDE / max(seen.width, seen.height))
        size = Size(max(1, round(seen.width * scale)), max(1, round(seen.height * scale)))
        return cls(info, seen, size)

    def shrink(self, rgb: Frame) -> Frame:
        """The working frame of a coded frame."""
        shown = np.rot90(rgb, -(self.info.rotation // 90))[self.region.slices]
        size = (self.size.width, self.size.height)
        if shown.shape[:2] == self.size.shape:
            return np.ascontiguousarray(shown)
        return np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), np.uint8)

    def enlarge(self, shapes: Sequence[Shape]) -> Mask:
        """The pixels that `shapes` cover, bool `(h, w)` of the video as people see it."""
        working = np.zeros(self.size.shape, np.uint8)
        for area, covers in shapes:
            working[area.slices][covers] = 255
        size = (self.region.width, self.region.height)
        large = cv2.resize(working, size, interpolation=cv2.INTER_LINEAR) > 64
        mask = np.zeros(self.info.display_size.shape, np.bool_)
        mask[self.region.slices] = large
        return mask

    def locate(self, box: Box) -> Box:
        """A box of the working frame, in the video as people see it."""
        across, down = self.region.width / self.size.width, self.region.height / self.size.height
        x, y = self.region.x + int(box.x * across), self.region.y + int(box.y * down)
        return Box(x, y, round(box.width * across), round(box.height * down))
