"""Times of frames, and frames sampled over a clip."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import av
import numpy as np
import numpy.typing as npt

from cleanplate.video.colour import Converter
from cleanplate.video.encoding import open_source
from cleanplate.video.info import VideoInfo
from cleanplate.video.probe import find_video_stream, read_ticks


@dataclass(frozen=True, slots=True)
class Timeline:
    """The timestamps of all frames of `info`, eight bytes each."""

    info: VideoInfo
    ticks: Sequence[int]
    """Ascending, in `info.time_base`."""

    def __len__(self) -> int:
        return len(self.ticks)

    def __getitem__(self, index: int) -> Fraction:
        """Seconds at which frame `index` is shown, as `Picture.time` counts them."""
        return self.ticks[index] * self.info.time_base - self.info.start

    def find_end(self, time: Fraction) -> Fraction:
        """When the frame that is shown at `time` gives way to the next one, or the video ends."""
        following = self._count_until(time)
        if following < len(self):
            return self[following]
        return max(time + 1 / self.info.rate, self.info.end or time)

    def find_shown(self, time: Fraction) -> int:
        """Number of the frame that is on the screen at `time`; the first one before it begins."""
        return max(self._count_until(time) - 1, 0)

    def find_nearest(self, time: Fraction) -> int:
        """Number of the frame whose timestamp is nearest to `time`."""
        following = self._count_until(time)
        near = range(max(0, following - 1), min(following + 1, len(self)))
        return min(near, key=lambda index: abs(self[index] - time))

    def _count_until(self, time: Fraction) -> int:
        """How many frames have a timestamp of at most `time`."""
        return bisect_right(self.ticks, (time + self.info.start) / self.info.time_base)


def read_timeline(info: VideoInfo) -> Timeline:
    """The timeline of a video or folder; a video's packets are read once more, not decoded.

    Raises VideoError when the file is no longer there.
    """
    if info.kind == "images":
        return Timeline(info, range(info.frame_count))
    ticks = read_ticks(info)
    fields = -(-len(ticks) // info.frame_count)  # 2 where each field has a packet of its own
    return Timeline(info, array("q", ticks[::fields]))


_MOST_DECODED = 48
"""Pictures decoded from a key picture towards the moment that is wanted."""


def sample_pictures(info: VideoInfo, most: int) -> Iterator[npt.NDArray[np.uint8]]:
    """At most `most` pictures, uint8 `(h, w, 3)`, near the start, the end and moments between.

    Moments far behind a key picture are stood for by earlier ones. Ends early where a file cannot
    be searched or is damaged; reading in order will say so.
    """
    converter, length = Converter(info), info.duration or info.frame_count / info.rate
    ticks = [(info.start + info.first + length * k / most) / info.time_base for k in range(most)]
    seen: set[int | None] = set()
    with suppress(av.error.FFmpegError), open_source(info.path) as container:
        stream = find_video_stream(container)
        for tick in map(int, ticks):
            container.seek(tick, stream=stream)
            frame = None
            for frame in islice(container.decode(stream), _MOST_DECODED):
                if frame.pts is None or frame.pts >= tick:
                    break
            if frame is not None and frame.pts not in seen:
                seen.add(frame.pts)
                yield converter.to_rgb(frame)
