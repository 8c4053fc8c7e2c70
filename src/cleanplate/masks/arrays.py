"""Masks that are held in memory."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from cleanplate.arrays import to_masks
from cleanplate.errors import MaskError, name_count
from cleanplate.masks.source import Mask, check_size, turn_to_coded
from cleanplate.types import Size

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo


class ArrayMask:
    """One mask (h, w) for all frames, or one a frame (t, h, w).

    Takes bool with True = hole, or uint8 of 0 and 1 or of 0 and 255, as an array, a tensor or a
    list of masks. Raises MaskError for anything else.
    """

    def __init__(self, masks: Any) -> None:
        self._masks = to_masks("mask", masks)

    def prepare(self, info: VideoInfo) -> None:
        """Compare size and number of the masks with the video."""
        height, width = self._masks.shape[-2:]
        check_size(Size(width, height), info, "array")
        if self._masks.ndim == 3 and len(self._masks) != info.frame_count:
            raise MaskError(
                f"`mask` holds {name_count(len(self._masks), 'mask')} but the video has"
                f" {info.frame_count}"
                " frames; give one mask a frame, or one for all"
            )
        self._info = info

    def mask(self, index: int, time: Fraction) -> Mask:
        """The mask of frame `index`."""
        if self._masks.ndim == 2:
            return self._turned(self._masks)
        if index >= len(self._masks):
            raise MaskError(
                f"`mask` holds {name_count(len(self._masks), 'mask')} but the video goes on"
                f" to frame {index + 1}; give one mask a frame"
            )
        return self._turned(self._masks[index])

    def still(self) -> Mask | None:
        """The mask of all frames, when it is one."""
        return self._turned(self._masks) if self._masks.ndim == 2 else None

    def close(self) -> None:
        """Nothing is open."""

    def _turned(self, mask: Mask) -> Mask:
        """A copy in coded orientation."""
        return np.array(turn_to_coded(mask, self._info), order="C")
