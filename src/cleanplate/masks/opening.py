"""One mask source from what callers hand in: paths, arrays, boxes and sources."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.arguments import check_path, to_int, wrong
from cleanplate.arrays import is_array
from cleanplate.errors import MaskError
from cleanplate.masks.arrays import ArrayMask
from cleanplate.masks.boxes import BoxMask, TimedBox
from cleanplate.masks.files import open_mask
from cleanplate.masks.source import MaskSource, Union
from cleanplate.types import Box

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
        return open_mask(Path(check_path("mask", mask)))
    if is_array(mask) or isinstance(mask, list | tuple):
        return ArrayMask(mask)
    is_source = all(callable(getattr(mask, name, None)) for name in ("prepare", "mask", "close"))
    if not is_source or isinstance(mask, type):
        raise wrong("mask", "a path, an array, a MaskSource or a list of them", mask)
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
