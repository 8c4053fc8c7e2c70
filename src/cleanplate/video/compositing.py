"""Compose finished pictures: new where touched, the source's own samples everywhere else."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cleanplate.types import Box
from cleanplate.video.colour import Converter, paste_touched, samples, surround
from cleanplate.video.depth import restore_depth, widen_box
from cleanplate.video.info import Picture, VideoInfo


class WriteTask(NamedTuple):
    """A picture to write: `rgb` uint8 (h, w, 3) where `touched` (h, w), its own elsewhere."""

    picture: Picture
    rgb: npt.NDArray[np.uint8]
    touched: npt.NDArray[np.bool_]


class Compositor:
    """Composes the pictures of one video; use one per thread.

    Args:
        info: the source.
        result: how samples are written where pictures have no planes of their own.
    """

    def __init__(self, info: VideoInfo, result: VideoInfo) -> None:
        self._info = info
        self._converter = Converter(info if info.has_planes else result)

    def to_frame(self, work: WriteTask) -> Any:
        """Compose an `av.VideoFrame`."""
        own = work.picture.planes
        if own is None:
            return self._converter.from_rgb(to_rgb(work))
        if not work.touched.any():
            return own
        layout, woven = self._info.format, self._info.is_woven
        # Convert only the touched region and paste its samples into the source's planes: a round
        # trip through RGB would change all others.
        box = surround(work.touched, woven=woven)
        part = self._converter.from_rgb(self._restore(work, box))
        return paste_touched(own, part, work.touched, box, layout, woven=woven)

    def _restore(self, work: WriteTask, box: Box) -> npt.NDArray[Any]:
        """Return RGB of the box in the depth of the source."""
        if self._info.bit_depth == 8:
            return work.rgb[box.slices]
        wide = widen_box(box, work.touched.shape)
        deep = self._converter.to_deep(work.picture.planes, wide)
        woven = self._info.is_woven
        made = restore_depth(work.rgb[wide.slices], deep, work.touched[wide.slices], woven=woven)
        top, left = box.y - wide.y, box.x - wide.x
        return made[top : top + box.height, left : left + box.width]

    def to_image(self, work: WriteTask) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """Compose RGB (h, w, 3): uint16 from sources with more than 8 bits, otherwise uint8."""
        if self._info.bit_depth == 8:
            return to_rgb(work)
        if self._info.format.name == "rgb48le":
            return np.asarray(samples(self.to_frame(work), self._info.format)[0], np.uint16)
        deep = self._converter.to_deep(work.picture.planes)
        if work.touched.any():
            box = surround(work.touched)
            deep[box.slices] = self._restore(work, box)
        return deep


def to_rgb(work: WriteTask) -> npt.NDArray[np.uint8]:
    """Compose in 8-bit RGB."""
    return np.where(work.touched[..., None], work.rgb, work.picture.rgb)
