"""Timestamps of copied packets and chapters, and what an excerpt keeps of them."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any


class TrackClock:
    """Timestamps of one stream's packets: relative to the file's start, strictly increasing."""

    def __init__(self, start: Fraction, from_zero: bool, length: Fraction | None) -> None:
        self._start, self._length = start, length
        self._from_zero = from_zero
        self._last: int | None = None
        self._end = self._duration = 0

    def set(self, packet: Any) -> bool:
        """Change the packet's timestamps; return False if it must be left out.

        Matroska has no time before 0 and no edit list, so sound that an MP4 hides before its start
        would be heard there, and delay everything else. A packet across 0 is left out if its larger
        part is hidden. Opus stores its own delay. Of an excerpt, which has a `length`, the packets
        outside are left out, and texts across its ends are shortened.
        """
        offset = round(self._start / packet.time_base)
        times = [time - offset for time in (packet.pts, packet.dts) if time is not None]
        if not times:  # the end of an Ogg: assume the duration of the previous packet
            packet.duration = packet.duration or self._duration
        pts, dts = (times[0], times[-1]) if times else (self._end, self._end)
        if self._length is not None:
            if not _is_within(pts, packet, self._length):
                return False
            if packet.stream.type == "subtitle":
                pts = dts = _shorten(pts, packet, self._length)
        has_delay = packet.stream.name == "opus" and self._length is None
        if self._from_zero and pts < 0 and not has_delay:
            if 2 * pts + (packet.duration or 0) <= 0:
                return False
            packet.duration += pts
            pts = dts = 0
        if self._last is not None and dts <= self._last:
            dts = self._last + 1
        packet.dts, packet.pts = dts, max(pts, dts)
        self._duration = packet.duration or 0
        self._last, self._end = dts, packet.pts + self._duration
        return True


def _is_within(pts: int, packet: Any, length: Fraction) -> bool:
    """Whether any part of a packet is heard or shown between 0 and `length` seconds."""
    stop = length / packet.time_base
    return pts < stop and (pts >= 0 or pts + (packet.duration or 0) > 0)


def _shorten(pts: int, packet: Any, length: Fraction) -> int:
    """Limit a text to the time from 0 to `length` seconds; return its new start."""
    begin = max(pts, 0)
    end = min(pts + (packet.duration or 0), round(length / packet.time_base))
    if packet.duration:
        packet.duration = max(end - begin, 1)
    return begin


def cut_chapters(chapters: Iterable[Any], length: Fraction | None) -> list[Any]:
    """Keep the parts of chapters from 0 to `length` seconds; None: all of them."""
    if length is None:
        return list(chapters)
    kept = []
    for chapter in chapters:
        stop = round(length / chapter["time_base"])
        if chapter["start"] < stop and chapter["end"] > 0:
            begin, end = max(chapter["start"], 0), min(chapter["end"], stop)
            kept.append({**chapter, "start": begin, "end": end})
    return kept
