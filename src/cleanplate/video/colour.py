"""Between a video's own samples and RGB, with the video's own matrix and range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from cleanplate.video.fields import FieldMarker
from cleanplate.video.info import VideoInfo

# swscale's default is off by more than one level; with these flags it rounds as exact arithmetic.
ACCURATE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
UNSPECIFIED = 2
BT709, BT601 = 1, 5

# AVColorSpace → swscale's number of the same matrix. 0 (RGB), 3 (reserved) say nothing about YUV;
# constant-luminance BT.2020 (10) differs from 9 only in theory of use.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}


def swscale_matrix(info: VideoInfo) -> int:
    """swscale's number of the matrix; where untagged, what players take (BT.709 from 720 lines)."""
    guess = BT709 if info.size.height >= 720 else BT601
    return MATRICES.get(info.color_matrix, guess)


class Converter:
    """Converts pictures of one video; keeps swscale's tables. Use one for each thread."""

    def __init__(self, info: VideoInfo) -> None:
        self._matrix = swscale_matrix(info)
        self._range = 2 if info.is_full_range else 1
        self._is_rgb = info.format.family == "rgb"
        self._format = info.pixel_format
        self._fields = FieldMarker(info.field_order) if info.is_woven else None
        self._to_rgb = VideoReformatter()
        self._from_rgb = VideoReformatter()

    def to_rgb(self, frame: Any) -> npt.NDArray[np.uint8]:
        """A decoded frame as uint8 `(h, w, 3)`; field by field where it is marked interlaced."""
        colours = (
            {}
            if self._is_rgb
            else {
                "src_colorspace": self._matrix,
                "src_color_range": self._range,
            }
        )
        rgb = self._to_rgb.reformat(frame, format="rgb24", interpolation=ACCURATE, **colours)
        return np.ascontiguousarray(rgb.to_ndarray())

    def from_rgb(self, rgb: npt.NDArray[np.uint8]) -> Any:
        """uint8 `(h, w, 3)` as a new frame in the video's pixel format."""
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
        if self._fields is not None:
            frame = self._fields.mark(frame)
        colours = (
            {}
            if self._is_rgb
            else {
                "dst_colorspace": self._matrix,
                "dst_color_range": self._range,
            }
        )
        return self._from_rgb.reformat(
            frame, format=self._format, interpolation=ACCURATE, **colours
        )
