"""A mask that is itself a video, matched to the other one frame by frame or in time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from cleanplate.errors import MaskError, VideoError, name_count
from cleanplate.masks.doubts import SAMPLES, describe_doubts
from cleanplate.masks.source import Mask, check_size, describe_scaling, turn_to_coded
from cleanplate.video import (
    Timeline,
    VideoInfo,
    open_reader,
    probe,
    read_timeline,
    sample_pictures,
)

_ROUNDING = Fraction(1, 1000)
"""Seconds to which containers round timestamps."""
_SAME_RATE = Fraction(1, 100)
"""Difference of two rates, as a share, that needs no word: 24 and 23.976, but not 25 and 29.97."""


class VideoMask:
    """One frame of a mask video for each frame of the video.

    Two videos with the same number of frames are matched frame by frame, whatever rates their
    headers claim. Another number is refused, except where a frame rate is variable, as when an
    editor wrote a phone's clip with a constant rate: then both must last as long, within a frame,
    and each frame takes the mask frame with the nearest timestamp, counted from the first of each,
    which must be at most half a frame away. All of this is known before the first frame is read.
    """

    def __init__(self, path: Path | str, threshold: int = 127) -> None:
        self._path, self._threshold = Path(path), threshold
        self._files = ExitStack()

    def prepare(self, info: VideoInfo) -> None:
        """Compare sizes, numbers and times, and open the mask video."""
        self.close()
        try:
            self._mine = probe(self._path)
        except VideoError as error:
            raise MaskError(f"mask is neither image nor video: {error}") from error
        self._info = info
        check_size(self._mine.display_size, info, str(self._path))
        self._timeline = None
        if self._mine.frame_count != info.frame_count:
            if not (info.is_variable_rate or self._mine.is_variable_rate):
                raise self._mismatched(
                    "export one mask frame for each frame of the video, or give one image for all"
                )
            self._timeline = self._match_times()
        self._upcoming = self._read()
        self._number, self._hole = -1, np.zeros((0, 0), np.bool_)

    def mask(self, index: int, time: Fraction) -> Mask:
        """The marks of the mask frame that belongs to frame `index` at `time`."""
        wanted = index
        if self._timeline is not None:
            wanted = self._timeline.find_nearest(time - self._info.first + self._timeline[0])
        while self._number < wanted:
            hole = next(self._upcoming, None)
            if hole is None:
                raise self._mismatched(f"it breaks off after frame {self._number}; write it again")
            self._number, self._hole = self._number + 1, hole
        return self._hole.copy()

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """What looks wrong about the mask video: its rate, its size, and some of its frames."""
        mine, info, name = self._mine, self._info, str(self._path)
        samples = (rgb.max(axis=2) for rgb in sample_pictures(mine, SAMPLES))
        notes = describe_scaling(mine.display_size, info, name)
        if self._timeline is not None:
            notes.append(
                f"mask {name} has {name_count(mine.frame_count, 'frame')} and the video"
                f" {info.frame_count}, at a"
                " variable rate: they are matched by time"
            )
        elif abs(mine.rate / info.rate - 1) > _SAME_RATE:
            notes.append(
                f"mask {name} has as many frames as the video at another rate, {_rate(mine)} and"
                f" not {_rate(info)} a second: they are matched one by one"
            )
        return [*notes, *describe_doubts(name, samples, self._threshold, inverted=inverted)]

    def paths(self) -> list[Path]:
        """The mask video."""
        return [self._path]

    def close(self) -> None:
        """Close the mask video."""
        self._files.close()

    def _match_times(self) -> Timeline:
        """The mask's timeline; raises MaskError unless every frame has a mask frame at its time."""
        mine, info = self._mine, self._info
        longest = max(1 / mine.rate, 1 / info.rate) + _ROUNDING
        if abs(_length(mine) - _length(info)) > longest:
            raise self._mismatched("export the mask with the video's length and frame times")
        masks, frames = read_timeline(mine), read_timeline(info)
        most = min(1 / mine.rate, 1 / info.rate) / 2 + _ROUNDING
        for index in range(len(frames)):
            time = frames[index] - frames[0]
            nearest = masks[masks.find_nearest(time + masks[0])] - masks[0]
            if abs(nearest - time) > most:
                raise self._mismatched(
                    f"frame {index} at {float(time):.3f} s has no mask frame nearer than"
                    f" {float(nearest):.3f} s; export the mask with the video's frame times"
                )
        return masks

    def _read(self) -> Iterator[Mask]:
        """Decode the mask video, in coded orientation of the video it is for."""
        reader = self._files.enter_context(open_reader(self._path))
        for picture in reader:
            marked = np.asarray((picture.rgb > self._threshold).any(axis=2))
            shown = np.rot90(marked, -(self._mine.rotation // 90))
            yield turn_to_coded(shown, self._info)

    def _mismatched(self, remedy: str) -> MaskError:
        """Both numbers, lengths and rates, and what to do."""
        mine, info = self._mine, self._info
        return MaskError(
            f"mask {self._path} has {name_count(mine.frame_count, 'frame')} in"
            f" {float(_length(mine)):.3g} s"
            f" ({_rate(mine)} a second) but the video has {info.frame_count} in"
            f" {float(_length(info)):.3g} s ({_rate(info)}); {remedy}"
        )


def _rate(info: VideoInfo) -> str:
    return f"{float(info.rate):.5g}" + (" on average" if info.is_variable_rate else "")


def _length(info: VideoInfo) -> Fraction:
    """Seconds that `info` lasts."""
    return info.frame_count / info.rate if info.duration is None else info.duration
