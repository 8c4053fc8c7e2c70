"""The timeline of a video: the timestamps of its frames, and excerpts of it."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import dropwhile
from typing import Any

from cleanplate.errors import InputError
from cleanplate.video.encoding import open_source
from cleanplate.video.info import Excerpt, VideoInfo
from cleanplate.video.probe import find_video_stream, read_ticks

_PRECISION = Fraction(1, 1000)
"""Precision of timestamps in containers and of times that people write, in seconds."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Timestamps of all frames of `info`, at eight bytes per frame."""

    info: VideoInfo
    ticks: Sequence[int]
    """Ascending, in `info.time_base`."""

    def __len__(self) -> int:
        return len(self.ticks)

    def __getitem__(self, index: int) -> Fraction:
        """Return the time of frame `index` in seconds, as in `Picture.time`."""
        return self.ticks[index] * self.info.time_base - self.info.start

    def find_end(self, time: Fraction) -> Fraction:
        """Return the end of the frame displayed at `time`: start of the next frame, or the end."""
        following = self._count_until(time)
        if following < len(self):
            return self[following]
        return max(time + 1 / self.info.rate, self.info.end or time)

    def find_shown(self, time: Fraction) -> int:
        """Find the index of the frame displayed at `time`; 0 before the video begins."""
        return max(self._count_until(time) - 1, 0)

    def find_nearest(self, time: Fraction) -> int:
        """Find the index of the frame with the timestamp nearest to `time`."""
        following = self._count_until(time)
        near = range(max(0, following - 1), min(following + 1, len(self)))
        return min(near, key=lambda index: abs(self[index] - time))

    def snap(self, time: Fraction) -> Fraction:
        """Return the start of a frame that is less than a millisecond from `time`, or `time`."""
        near = self[self.find_nearest(time)]
        return near if abs(near - time) < _PRECISION else time

    def count_before(self, time: Fraction) -> int:
        """Count the frames that begin before `time`."""
        return bisect_left(self.ticks, (time + self.info.start) / self.info.time_base)

    def _count_until(self, time: Fraction) -> int:
        """Count the frames with a timestamp of at most `time`."""
        return bisect_right(self.ticks, (time + self.info.start) / self.info.time_base)


def read_timeline(info: VideoInfo) -> Timeline:
    """Read the timeline of a video or folder; reads a video's packets without decoding.

    Raises VideoError if the file is no longer there.
    """
    if info.excerpt is not None:
        frames = info.excerpt.frames
        whole = read_timeline(info.excerpt.whole)
        return Timeline(
            info,
            whole.ticks[: len(frames)] if info.files else whole.ticks[frames.start : frames.stop],
        )
    if info.kind == "images":
        return Timeline(info, range(info.frame_count))
    ticks = read_ticks(info)
    fields = -(-len(ticks) // info.frame_count)  # 2 if each field has its own packet
    return Timeline(info, array("q", ticks[::fields]))


def cut(info: VideoInfo, start: Fraction | None, end: Fraction | None) -> VideoInfo:
    """Describe the excerpt of `info` from `start` to before `end`, in seconds; None: no limit.

    It holds every frame that is displayed during that time, and begins at 0. A time less than a
    millisecond from the start of a frame means that start. Raises InputError if
    there is none.
    """
    if start is None and end is None:
        return info
    timeline, name = read_timeline(info), info.path.name
    after = timeline.find_end(timeline[len(timeline) - 1])
    if start is not None and start >= after:
        raise InputError(
            f"`start` is {float(start):g} s, but '{name}' ends at {float(after):.2f} s; name an"
            " earlier time"
        )
    first = 0 if start is None else timeline.find_shown(timeline.snap(start))
    stop = len(timeline) if end is None else timeline.count_before(timeline.snap(end))
    if end is not None and stop <= first:
        raise InputError(
            f"`end` is {float(end):g} s, but the first frame of '{name}' is shown at"
            f" {float(timeline[0]):.2f} s; name a later time"
        )
    if (first, stop) == (0, len(timeline)):
        return info
    time = timeline[first]
    return replace(
        info,
        frame_count=stop - first,
        duration=timeline.find_end(timeline[stop - 1]) - time,
        start=info.start + time if info.kind == "video" else info.start,
        first=Fraction(0),
        files=info.files[first:stop],
        excerpt=Excerpt(info, range(first, stop), time),
    )


_MARGIN = Fraction(2)
"""Seconds that are decoded before an excerpt: frames that follow a seek may not be complete."""
_WORTHWHILE = Fraction(10)
"""Seconds before an excerpt from which seeking is worthwhile."""
_SEEKABLE = ("mov", "matroska")


def seek_excerpt(excerpt: Excerpt, container: Any, stream: Any) -> bool:
    """Seek to a keyframe before an excerpt; False: decode from the beginning of the file."""
    whole = excerpt.whole
    if excerpt.time < _WORTHWHILE or not whole.container.startswith(_SEEKABLE):
        return False
    target = excerpt.tick - round(_MARGIN / whole.time_base)
    # The keyframe that a seek finds may be displayed after the target: then it is of no use.
    with open_source(whole.path) as trial:
        picked = find_video_stream(trial)
        trial.seek(target, stream=picked)
        packet = next(iter(trial.demux(picked)), None)
        if packet is None or packet.pts is None or packet.pts > excerpt.tick:
            return False
    container.seek(target, stream=stream)
    return True


def number_frames(
    frames: Iterable[Any], excerpt: Excerpt | None, *, sought: bool
) -> Iterator[tuple[int, Any]]:
    """Number decoded frames from the beginning of the source; `sought`: see `seek_excerpt`."""
    if excerpt is None or not sought:
        return iter(enumerate(frames))
    tick = excerpt.tick
    later = dropwhile(lambda frame: frame.pts is None or frame.pts < tick, frames)
    return iter(enumerate(later, excerpt.frames.start))
