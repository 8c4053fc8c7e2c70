"""Open masks of any kind: arrays, tensors, files, sources."""

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
import os
from collections.abc import Sequence
from pathlib import Path

import numpy.typing as npt

from cleanplate.arguments import check_path, to_int, wrong
from cleanplate.arrays import is_array
from cleanplate.masks.boxes import BoxMask, TimedBox
from cleanplate.masks.files import open_mask
from cleanplate.masks.source import MaskSource, Union
from cleanplate.types import Box


class ArrayMask:
    """One mask (h, w) for all frames, or one a frame (t, h, w).

    Takes bool with True = hole, or uint8 of 0 and 1 or of 0 and 255, as an array, a tensor or a
    list of masks. Raises MaskError for anything else.
    """

    def __init__(self, masks: Any) -> None:
        self._masks = to_masks("masks", masks)

    def prepare(self, info: VideoInfo) -> None:
        """Compare size and number of the masks with the video."""
        height, width = self._masks.shape[-2:]
        check_size(Size(width, height), info, "array")
        if self._masks.ndim == 3 and len(self._masks) != info.frame_count:
            raise MaskError(
                f"`masks` holds {name_count(len(self._masks), 'mask')} but the video has"
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
                f"`masks` holds {name_count(len(self._masks), 'mask')} but the video goes on"
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


MaskLike = str | bytes | os.PathLike[str] | npt.NDArray[Any] | MaskSource
"""A path, an array (h, w) or (t, h, w), or a source; tensors are taken like arrays."""
BoxLike = str | Box | TimedBox | Sequence[int]
"""A text such as "X,Y,W,H" or "X,Y,W,H@START-END", or four whole numbers."""


def open_masks(mask: MaskLike | Sequence[MaskLike], box: BoxLike | Sequence[BoxLike]) -> MaskSource:
    """All that `mask` and `box` mark, as one source.

    A list of arrays (h, w) is one mask a frame; any other list is a list of masks that are united.
    Raises MaskError, or InputError for what is no mask or box.
    """
    sources = [_open_one(one) for one in _list_masks(mask)]
    if boxes := [_place_one(one) for one in _list_boxes(box)]:
        sources.append(BoxMask(boxes))
    return sources[0] if len(sources) == 1 else Union(sources)


def _list_masks(mask: Any) -> Sequence[Any]:
    if not isinstance(mask, list | tuple):
        return [mask]
    is_clip = mask and all(is_array(one) and np.ndim(one) == 2 for one in mask)
    return [mask] if is_clip else mask


def _open_one(mask: Any) -> MaskSource:
    if isinstance(mask, str | bytes | os.PathLike):
        return open_mask(Path(check_path("masks", mask)))
    if is_array(mask) or isinstance(mask, list | tuple):
        return ArrayMask(mask)
    is_source = all(callable(getattr(mask, name, None)) for name in ("prepare", "mask", "close"))
    if not is_source or isinstance(mask, type):
        raise wrong("masks", "a path, an array, a MaskSource or a list of them", mask)
    source: MaskSource = mask
    return source


def _list_boxes(box: Any) -> Sequence[Any]:
    if isinstance(box, str | Box | TimedBox) or _is_four(box):
        return [box]
    if not _is_list(box):
        raise _no_box(box)
    return list(box)


def _place_one(box: Any) -> TimedBox:
    if isinstance(box, str):
        return TimedBox.parse(box)
    if _is_four(box):
        box = Box(*box)
    timed = TimedBox(box) if isinstance(box, Box) else box
    if not isinstance(timed, TimedBox):
        raise _no_box(box)
    if not (timed.box.width and timed.box.height):
        raise MaskError(f"box {timed.box} has no size; width and height must be positive")
    return timed


def _is_four(box: Any) -> bool:
    return _is_list(box) and len(box) == 4 and all(to_int(one) is not None for one in box)


def _is_list(box: Any) -> bool:
    return isinstance(box, list | tuple) or (isinstance(box, np.ndarray) and box.ndim > 0)


def _no_box(box: Any) -> Exception:
    words = 'a text "X,Y,W,H", a Box, four whole numbers or a list of them'
    return wrong("box", words, box)
