"""A mask that is itself a video, matched to the other one in time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cleanplate.errors import MaskError, VideoError
from cleanplate.masks.source import Mask, check_size, turn_to_coded
from cleanplate.video import VideoInfo, open_reader, probe


class _Marked(NamedTuple):
    """A mask frame and its place: a number, or seconds since the first one."""

    place: Fraction
    hole: Mask


class VideoMask:
    """One frame of a mask video for each frame of the video.

    Two videos with the same number of frames are matched frame by frame, whatever rates their
    headers claim. Otherwise the mask frame shown at the same moment is taken, counted from the
    first frame of each and with half a frame of tolerance, since containers round timestamps; a
    mask that ends more than one frame too early is refused.
    """

    def __init__(self, path: Path | str, threshold: int = 127) -> None:
        self._path, self._threshold = Path(path), threshold
        self._files = ExitStack()

    def prepare(self, info: VideoInfo) -> None:
        """Compare sizes and lengths, and open the mask video."""
        self.close()
        try:
            self._mine = probe(self._path)
        except VideoError as error:
            raise MaskError(f"mask is neither image nor video: {error}") from error
        self._info = info
        check_size(self._mine.display_size, info, str(self._path))
        self._by_index = self._mine.frame_count == info.frame_count
        steps = _frame_time(self._mine), _frame_time(info)
        # Half a frame, and one and a half: rounded times never lie near these borders.
        self._early = Fraction(0) if self._by_index else min(steps) / 2
        self._late = Fraction(0) if self._by_index else max(steps) * 3 / 2
        if not self._by_index and _length(self._mine) + self._late < _length(info):
            raise self._too_short()
        self._first: Fraction | None = None
        self._upcoming = self._read()
        self._now = next(self._upcoming, None)
        self._next = next(self._upcoming, None)

    def mask(self, index: int, time: Fraction) -> Mask:
        """The marks of the mask frame that belongs to frame `index` at `time`."""
        own = Fraction(index) if self._by_index else time
        self._first = own if self._first is None else self._first
        place = own - self._first
        while self._next is not None and self._next.place <= place + self._early:
            self._now, self._next = self._next, next(self._upcoming, None)
        if self._now is None or (self._next is None and place > self._now.place + self._late):
            raise self._too_short()
        return self._now.hole.copy()

    def paths(self) -> list[Path]:
        """The mask video."""
        return [self._path]

    def close(self) -> None:
        """Close the mask video."""
        self._files.close()

    def _read(self) -> Iterator[_Marked]:
        """Decode the mask video, in coded orientation of the video it is for."""
        first: Fraction | None = None
        reader = self._files.enter_context(open_reader(self._path))
        for number, picture in enumerate(reader):
            first = picture.time if first is None else first
            place = Fraction(number) if self._by_index else picture.time - first
            marked = np.asarray((picture.rgb > self._threshold).any(axis=2))
            shown = np.rot90(marked, -(self._mine.rotation // 90))
            yield _Marked(place, turn_to_coded(shown, self._info))

    def _too_short(self) -> MaskError:
        """The mask video does not reach the end of the video."""
        mine, info = self._mine, self._info
        return MaskError(
            f"mask {self._path} has {mine.frame_count} frames in {float(_length(mine)):.3g} s but"
            f" the video has {info.frame_count} in {float(_length(info)):.3g} s; make it as long"
        )


def _frame_time(info: VideoInfo) -> Fraction:
    """How long one frame of `info` is shown on average."""
    return 1 / info.rate


def _length(info: VideoInfo) -> Fraction:
    """Seconds that `info` lasts."""
    return info.frame_count * _frame_time(info) if info.duration is None else info.duration
