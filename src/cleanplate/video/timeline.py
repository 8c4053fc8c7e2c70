"""When each frame of a video is on the screen: from its timestamp to the next frame's."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from cleanplate.video.info import VideoInfo
from cleanplate.video.probe import read_ticks


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
