"""Boxes as mask sources, and `open_masks` for all kinds of masks that a caller passes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cleanplate.arguments import check_kind, check_path, read_time, show, to_int, wrong
from cleanplate.errors import MaskError, name_count
from cleanplate.masks.files import open_mask
from cleanplate.masks.source import (
    Mask,
    MaskSource,
    Union,
    check_size,
    describe_size,
    turn_to_coded,
)
from cleanplate.types import Box, Size, is_array, to_masks
from cleanplate.video import read_timeline

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo


_NAMED = 4
"""Maximum number of boxes that a note names."""


@dataclass(frozen=True, slots=True)
class TimedBox:
    """Box from `start` to before `end`, in seconds; None is the start or end of the video.

    It covers every frame that is displayed during that time.
    """

    box: Box
    start: Fraction | None = None
    end: Fraction | None = None

    @classmethod
    def parse(cls, text: str) -> TimedBox:
        """Parse `X,Y,W,H` or `X,Y,W,H@START-END`; START or END may be left out.

        Times are seconds, `MM:SS` or `HH:MM:SS`, optionally with a fraction.
        Raises InputError if `text` has another form or the span is empty.
        """
        check_kind("box", text, str, "a text such as 20,30,200,80@3-7.5")
        place, at, span = text.partition("@")
        box = Box.parse(place)
        if not at:
            return cls(box)
        first, dash, last = span.partition("-")
        if not dash or not (first or last):
            raise MaskError(
                f"box {show(text)} has no span START-END behind @, such as @3-7.5 or @3-"
            )
        start = parse_time(first) if first else None
        end = parse_time(last) if last else None
        if end is not None and end <= (start or 0):
            raise MaskError(f"box {show(text)} ends before it starts; write @START-END")
        return cls(box, start, end)

    def meets(self, start: Fraction, end: Fraction) -> bool:
        """Whether a frame displayed from `start` to before `end` seconds is in the span."""
        return (self.start is None or end > self.start) and (self.end is None or start < self.end)

    @property
    def is_timed(self) -> bool:
        """Whether the box has a time span."""
        return self.start is not None or self.end is not None


def parse_time(text: str) -> Fraction:
    """Parse `SS.fff`, `MM:SS.fff` or `HH:MM:SS.fff` to seconds; raise MaskError otherwise."""
    try:
        return read_time(text)
    except ValueError as error:
        raise MaskError(str(error)) from None


class BoxMask:
    """Union of `boxes`, given in display orientation."""

    def __init__(self, boxes: Sequence[TimedBox | Box]) -> None:
        self._boxes = [TimedBox(box) if isinstance(box, Box) else box for box in boxes]
        self._areas: list[tuple[TimedBox, tuple[slice, slice]]] = []

    def prepare(self, info: VideoInfo) -> None:
        """Clip the boxes to the frame; refuse a box outside the frame or the duration."""
        self._areas = [(timed, _place(timed, info)) for timed in self._boxes]
        self._info = info
        timed = any(one.is_timed for one in self._boxes)
        self._timeline = read_timeline(info) if timed else None

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask of the frame displayed from `time`, bool `(h, w)`."""
        hole = np.zeros(self._info.size.shape, np.bool_)
        end = time if self._timeline is None else self._timeline.find_end(time)
        for timed, area in self._areas:
            if timed.meets(time, end):
                hole[area] = True
        return hole

    def still(self) -> Mask | None:
        """Return the union of all boxes if none has a time span; otherwise None."""
        timed = any(one.is_timed for one in self._boxes)
        return None if timed else self.mask(0, Fraction(0))

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """Note the boxes that are cut at the border of the frame."""
        return describe_cuts([timed.box for timed in self._boxes], self._info.display_size)

    def close(self) -> None:
        """Do nothing; no file is open."""


def describe_cuts(boxes: Iterable[Box], size: Size) -> list[str]:
    """Note the boxes that cross the border of a frame of `size`; an empty list if none do."""
    parts = {box: box.clipped(size) for box in boxes}
    cuts = [f"{box} to {part}" for box, part in parts.items() if part not in (box, None)]
    if not cuts:
        return []
    more = f" and {len(cuts) - _NAMED} more" if len(cuts) > _NAMED else ""
    return [f"cut at the edge of the frame ({size}): box {', '.join(cuts[:_NAMED])}{more}"]


def _place(timed: TimedBox, info: VideoInfo) -> tuple[slice, slice]:
    """Convert the box to rows and columns in coded orientation."""
    box = timed.box.clipped(info.display_size)
    if box is None:
        raise MaskError(f"box {timed.box} is outside the frame, which is {describe_size(info)}")
    if timed.start is not None and info.end and timed.start >= info.end:
        raise MaskError(
            f"box {timed.box} starts at {float(timed.start):g} s"
            f" but the video ends at {float(info.end):.3g} s"
        )
    if timed.end is not None and timed.end <= info.first:
        raise MaskError(
            f"box {timed.box} ends at {float(timed.end):g} s"
            f" but the first frame is shown at {float(info.first):.3g} s"
        )
    area = np.zeros(info.display_size.shape, np.bool_)
    area[box.slices] = True
    coded = turn_to_coded(area, info)
    rows, columns = (np.flatnonzero(coded.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


class ArrayMask:
    """One mask `(h, w)` for all frames, or one per frame, `(t, h, w)`.

    Takes bool with True = hole, or uint8 of 0 and 1 or of 0 and 255, as an array, a tensor or a
    list of masks. Raises MaskError for anything else.
    """

    def __init__(self, masks: Any) -> None:
        self._masks = to_masks("masks", masks)

    def prepare(self, info: VideoInfo) -> None:
        """Compare the size and number of the masks with the video."""
        height, width = self._masks.shape[-2:]
        check_size(Size(width, height), info, "array")
        if self._masks.ndim == 3 and len(self._masks) != info.frame_count:
            raise MaskError(
                f"`masks` holds {name_count(len(self._masks), 'mask')} but the video has"
                f" {info.frame_count}"
                " frames; give one mask per frame, or one for all"
            )
        self._info = info

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask of frame `index`, bool `(h, w)`."""
        if self._masks.ndim == 2:
            return self._turned(self._masks)
        if index >= len(self._masks):
            raise MaskError(
                f"`masks` holds {name_count(len(self._masks), 'mask')} but the video continues"
                f" to frame {index + 1}; give one mask per frame"
            )
        return self._turned(self._masks[index])

    def still(self) -> Mask | None:
        """Return the mask of all frames if it is constant; otherwise None."""
        return self._turned(self._masks) if self._masks.ndim == 2 else None

    def close(self) -> None:
        """Do nothing; no file is open."""

    def _turned(self, mask: Mask) -> Mask:
        """Copy a mask to coded orientation."""
        return np.array(turn_to_coded(mask, self._info), order="C")


class EmptyMask:
    """Marks nothing: what is removed is known otherwise, such as by an overlay."""

    def prepare(self, info: VideoInfo) -> None:
        """Take the size of the frames."""
        self._shape = info.size.shape

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return an empty mask."""
        return np.zeros(self._shape, np.bool_)

    def still(self) -> Mask | None:
        """Return the mask of all frames."""
        return np.zeros(self._shape, np.bool_)

    def close(self) -> None:
        """Do nothing; no file is open."""


MaskLike = str | bytes | os.PathLike[str] | npt.NDArray[Any] | MaskSource
"""A path, an array `(h, w)` or `(t, h, w)`, or a source; tensors are accepted like arrays."""
BoxLike = str | Box | TimedBox | Sequence[int]
"""A text such as "X,Y,W,H" or "X,Y,W,H@START-END", or four integers."""


def open_masks(mask: MaskLike | Sequence[MaskLike], box: BoxLike | Sequence[BoxLike]) -> MaskSource:
    """Combine `mask` and `box` into one source.

    A list of arrays `(h, w)` is one mask per frame. Any other list is a list of masks to unite.
    Raises MaskError, or InputError for a value that is no mask or box.
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
