"""Mask sources: files, boxes, text, logos and tracking; dilation and feather."""

from cleanplate.masks.excerpts import PartMask, match_excerpt
from cleanplate.masks.files import FolderMask, ImageMask, open_mask, read_marked, read_size
from cleanplate.masks.opening import (
    ArrayMask,
    BoxLike,
    BoxMask,
    EmptyMask,
    MaskLike,
    TimedBox,
    open_masks,
    parse_time,
)
from cleanplate.masks.source import (
    Inverted,
    Mask,
    MaskSource,
    Union,
    dilate,
    dilate_cross,
    feather,
    list_doubts,
    list_paths,
    still_mask,
)

__all__ = [
    "ArrayMask",
    "BoxLike",
    "BoxMask",
    "EmptyMask",
    "FolderMask",
    "ImageMask",
    "Inverted",
    "Mask",
    "MaskLike",
    "MaskSource",
    "PartMask",
    "TimedBox",
    "Union",
    "dilate",
    "dilate_cross",
    "feather",
    "list_doubts",
    "list_paths",
    "match_excerpt",
    "open_mask",
    "open_masks",
    "parse_time",
    "read_marked",
    "read_size",
    "still_mask",
]
