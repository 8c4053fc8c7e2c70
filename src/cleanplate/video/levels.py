"""Depth: 16-bit RGB from grey and RGB of other depths, and back, without truncation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from cleanplate.video.info import VideoInfo

Deep = npt.NDArray[np.uint16]
_FULL = 65535
_LIMITED_WHITE = 65282.5
"""Measured white of swscale's 16-bit RGB from limited range."""
_LUMA = {1: (0.2126, 0.7152, 0.0722), 9: (0.2627, 0.678, 0.0593), 10: (0.2627, 0.678, 0.0593)}
"""Weights of red, green and blue by AVColorSpace; BT.601's for all others."""
_BT601 = (0.299, 0.587, 0.114)


class Levels:
    """Converts planes of grey or RGB samples of one video to 16-bit RGB, and back.

    Attributes:
        white: value that swscale gives white in 16-bit RGB from the video's YUV.
    """

    def __init__(self, info: VideoInfo) -> None:
        layout = info.format
        step = 1 << (layout.bits - 8)
        full = (1 << layout.bits) - 1
        self._black, self._span, self._most = 0, full, full
        if layout.family != "rgb" and not info.is_full_range:
            self._black, self._span = 16 * step, 219 * step
        self._is_grey = layout.family == "gray"
        self._is_planar = len(layout.channels) == 3
        self._luma = np.array(_LUMA.get(info.color_matrix, _BT601), np.float32)
        self.white = full << (16 - layout.bits) if info.is_full_range else _LIMITED_WHITE

    def to_deep(self, planes: Sequence[npt.NDArray[Any]]) -> Deep:
        """Convert planes (h, w, channels) to RGB (h, w, 3)."""
        if self._is_grey:
            packed = np.repeat(planes[0], 3, axis=2)
        elif self._is_planar:
            packed = np.concatenate([planes[2], planes[0], planes[1]], axis=2)  # from G, B, R
        else:
            packed = planes[0]
        if (self._black, self._span) == (0, _FULL):
            return np.array(packed, np.uint16, order="C")
        scaled = (packed.astype(np.float32) - self._black) * np.float32(_FULL / self._span)
        return np.asarray(np.rint(scaled).clip(0, _FULL), np.uint16)

    def put_into(self, planes: Sequence[npt.NDArray[Any]], rgb: Deep) -> None:
        """Write RGB (h, w, 3) into planes (h, w, channels)."""
        scale = np.float32(self._span / _FULL)
        if self._is_grey:
            planes[0][..., 0] = self._round((rgb @ self._luma) * scale)
            return
        levels = rgb if scale == 1 else self._round(rgb * scale)
        if self._is_planar:
            for plane, channel in zip(planes, (1, 2, 0), strict=True):
                plane[..., 0] = levels[..., channel]
        else:
            planes[0][...] = levels

    def _round(self, scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(np.rint(scaled + self._black).clip(0, self._most), np.float32)


def round_depth(deep: Deep) -> npt.NDArray[np.uint8]:
    """Round 16-bit samples to 8 bits."""
    return ((deep.astype(np.uint32) * 255 + _FULL // 2) // _FULL).astype(np.uint8)


def split_depth(pixels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], Any]:
    """Return RGB `(h, w, 3)` with 8 bits, and as a frame with 16 if `pixels` is uint16."""
    if pixels.dtype == np.uint8:
        return pixels, None
    return round_depth(pixels), VideoFrame.from_ndarray(pixels, "rgb48le")
