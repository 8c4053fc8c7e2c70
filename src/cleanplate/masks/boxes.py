"""Masks made of rectangles, each for the whole video or for a span of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from cleanplate.errors import MaskError
from cleanplate.masks.source import Mask, turn_to_coded
from cleanplate.types import Box

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo

# Nine digits are thirty years; far more would be too large for a float, or to be read at all.
_TIME = re.compile(r"(?:(?:(\d{1,6}):)?([0-5]?\d):)?(\d{1,9}(?:\.\d{0,99})?|\.\d{1,99})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimedBox:
    """A box shown from `start` to before `end`, in seconds; None is the video's own end."""

    box: Box
    start: Fraction | None = None
    end: Fraction | None = None

    @classmethod
    def parse(cls, text: str) -> TimedBox:
        """Read `X,Y,W,H` or `X,Y,W,H@START-END`; START or END may be left out.

        Times are seconds, `MM:SS` or `HH:MM:SS`, with a fraction if wanted.
        Raises InputError when `text` is none of these or the span is empty.
        """
        place, at, span = text.partition("@")
        box = Box.parse(place)
        if not at:
            return cls(box)
        first, dash, last = span.partition("-")
        if not dash or not (first or last):
            raise MaskError(f"box '{text}' has no span START-END behind @, such as @3-7.5 or @3-")
        start = parse_time(first) if first else None
        end = parse_time(last) if last else None
        if end is not None and end <= (start or 0):
            raise MaskError(f"box '{text}' ends before it starts; write @START-END")
        return cls(box, start, end)

    def covers(self, time: Fraction) -> bool:
        """True when the box is shown at `time` seconds."""
        return (self.start is None or self.start <= time) and (self.end is None or time < self.end)


def parse_time(text: str) -> Fraction:
    """Seconds in `SS.fff`, `MM:SS.fff` or `HH:MM:SS.fff`; raises MaskError for anything else."""
    match = _TIME.fullmatch(text.strip())
    if match is None or (match[2] is not None and Fraction(match[3]) >= 60):
        raise MaskError(f"'{text}' is no time; write seconds, MM:SS or HH:MM:SS, such as 1:02.5")
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + Fraction(match[3])


class BoxMask:
    """The hole is the union of `boxes`, given as people see the video."""

    def __init__(self, boxes: Sequence[TimedBox | Box]) -> None:
        self._boxes = [TimedBox(box) if isinstance(box, Box) else box for box in boxes]
        self._areas: list[tuple[TimedBox, tuple[slice, slice]]] = []

    def prepare(self, info: VideoInfo) -> None:
        """Clip the boxes to the frame; a box outside the frame or the video's time is refused."""
        self._areas = [(timed, _place(timed, info)) for timed in self._boxes]
        self._shape = info.size.shape

    def mask(self, index: int, time: Fraction) -> Mask:
        """The boxes shown at `time`."""
        hole = np.zeros(self._shape, np.bool_)
        for timed, area in self._areas:
            if timed.covers(time):
                hole[area] = True
        return hole

    def still(self) -> Mask | None:
        """The boxes together, when none of them comes or goes."""
        timed = any(one.start is not None or one.end is not None for one in self._boxes)
        return None if timed else self.mask(0, Fraction(0))

    def close(self) -> None:
        """Nothing is open."""


def _place(timed: TimedBox, info: VideoInfo) -> tuple[slice, slice]:
    """The box's rows and columns in coded orientation."""
    box = timed.box.clipped(info.display_size)
    if box is None:
        raise MaskError(f"box {timed.box} is outside the frame, which is {info.display_size}")
    if timed.start is not None and info.end and timed.start >= info.end:
        raise MaskError(
            f"box {timed.box} starts at {float(timed.start):g} s"
            f" but the video ends at {float(info.end):.3g} s"
        )
    area = np.zeros(info.display_size.shape, np.bool_)
    area[box.slices] = True
    coded = turn_to_coded(area, info)
    rows, columns = (np.flatnonzero(coded.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
