"""Read a video frame by frame, with the time and duration of each frame."""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from cleanplate.errors import DecodeError, VideoError
from cleanplate.video import images as animations
from cleanplate.video.colour import Converter
from cleanplate.video.encoding import open_source, reason
from cleanplate.video.images import read_samples
from cleanplate.video.info import PROGRESSIVE, FieldMarker, Picture, VideoInfo
from cleanplate.video.levels import split_depth
from cleanplate.video.probe import find_video_stream, probe
from cleanplate.video.threads import ReadAhead, choose_depth
from cleanplate.video.timeline import number_frames, seek_excerpt

_MOST_DECODED = 48
"""Maximum number of pictures decoded from a keyframe towards the requested time."""


def sample_pictures(info: VideoInfo, most: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Read at most `most` pictures, uint8 `(h, w, 3)`, near the start, the end and times between.

    Times far after a keyframe are replaced by earlier ones. Ends early if a file cannot seek or is
    damaged; reading in order reports the error.
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


_REMEDY = "copy or export it again"


class Damage:
    """Policy for unreadable parts of a source: raise, or record the error and continue.

    Attributes:
        goes_on: record errors instead of raising them.
        met: recorded errors, in order.
    """

    def __init__(self, *, goes_on: bool = False) -> None:
        self.goes_on = goes_on
        self.met: list[DecodeError] = []

    def meet(self, error: DecodeError) -> None:
        """Raise or record the error."""
        if not self.goes_on:
            raise error
        self.met.append(error)


@dataclass
class Flags:
    """Counts of interlaced, progressive and transparent pictures."""

    interlaced: int = 0
    progressive: int = 0
    transparent: int = 0
    """Partly transparent pictures of a GIF or animated PNG, put on white."""

    def add(self, frame: Any) -> None:
        """Count one decoded frame."""
        self.interlaced += frame.interlaced_frame
        self.progressive += not frame.interlaced_frame


class Reader:
    """Context manager that iterates `Picture`s once, in order; decoding runs in a thread.

    Raises DecodeError, with the time, if the source is damaged in the middle or ends too early.
    With `keep_going`, such pictures are left out and recorded in `damage`. The others keep their
    `index` if each packet is a picture (MP4, Matroska, folders).
    """

    def __init__(self, info: VideoInfo, *, keep_going: bool = False, threads: int = 0) -> None:
        self.info = info
        self.damage = Damage(goes_on=keep_going)
        self.flags = Flags()
        self._pictures: ReadAhead[Picture] = ReadAhead(
            lambda: (
                _read_images(info, self.damage)
                if info.kind == "images"
                else _read_video(info, self.damage, self.flags, threads)
            ),
            0 if threads == 1 else choose_depth(info.size),
        )

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Picture]:
        return self._pictures

    def close(self) -> None:
        """Stop reading; end the thread and close the file."""
        self._pictures.close()


def open_reader(
    path: str | os.PathLike[str],
    info: VideoInfo | None = None,
    *,
    keep_going: bool = False,
    threads: int = 0,
) -> Reader:
    """Open a video or folder for reading; pass `info` to skip probing.

    `threads` is the number of decoder threads: 0 is one per processor, 1 is the caller's thread.
    Raises VideoError as `probe` does.
    """
    return Reader(info or probe(Path(path)), keep_going=keep_going, threads=threads)


def _read_images(info: VideoInfo, damage: Damage) -> Iterator[Picture]:
    """Yield the images of a folder in order."""
    for index, path in enumerate(info.files):
        try:
            pixels = read_samples(path)
        except VideoError as error:
            damage.meet(DecodeError(str(error)))
            continue
        if pixels.shape[:2] != info.size.shape or (pixels.itemsize > 1) != info.has_planes:
            raise DecodeError(
                f"image '{path}' is no longer {info.size} of {info.bit_depth} bits; do not change"
                " the folder"
            )
        yield Picture(index, index, index * info.time_base, *split_depth(pixels))


def _read_video(info: VideoInfo, damage: Damage, flags: Flags, threads: int) -> Iterator[Picture]:
    """Decode pictures in display order, all marked as interlaced or all as progressive."""
    excerpt = info.excerpt
    whole = info if excerpt is None else excerpt.whole
    wanted = range(sys.maxsize) if excerpt is None else excerpt.frames
    converter = Converter(info)
    fields = FieldMarker(info.field_order if info.is_woven else PROGRESSIVE)
    times = _Times(info)
    with open_source(info.path) as container:
        stream = find_video_stream(container)
        # Frame threading reports an error before the intact frames that precede it.
        stream.thread_type = "SLICE" if damage.goes_on else "AUTO"
        stream.codec_context.thread_count = threads
        # Lost frames are counted from the beginning of a damaged file.
        sought = (
            excerpt is not None and not damage.goes_on and seek_excerpt(excerpt, container, stream)
        )
        lost = _Lost(whole, damage, excerpt.tick if excerpt is not None and sought else None)
        frames = _decode(whole, container, stream, lost, times, damage)
        for count, frame in number_frames(frames, excerpt, sought=sought):
            pts = times.find(frame)
            number = count + lost.count
            if number < wanted.start:
                continue
            if number >= wanted.stop:
                break
            if not _is_sound(whole, frame, pts * info.time_base - whole.start, damage):
                continue
            flags.add(frame)
            index, time = number - wanted.start, pts * info.time_base - info.start
            if not info.has_planes:
                rgb, transparent = animations.flatten(frame)
                flags.transparent += transparent
                yield Picture(index, pts, time, rgb)
                continue
            if info.is_woven or frame.interlaced_frame:
                frame = fields.mark(frame)
            yield Picture(index, pts, time, converter.to_rgb(frame), frame)
    if times.last is None:
        raise DecodeError(f"'{info.path}' gave no pictures; the file is damaged, copy it again")


class _Times:
    """Timestamps of decoded frames; interpolated if a container has none or repeats one.

    An AVI stores decoding times, not display times, and FFmpeg's guess is wrong for some videos
    with reordered frames. Such frames get the timestamps of the packets in ascending order.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._step = max(1, round(1 / (info.rate * info.time_base)))
        self._in_order = info.container == "avi"
        self._waiting: list[int] = []
        self.last: int | None = None
        """Timestamp of the latest frame."""

    def announce(self, packet: Any) -> None:
        if self._in_order and packet.size and packet.pts is not None:
            heapq.heappush(self._waiting, packet.pts)

    def forget(self, packet: Any) -> None:
        """Record that a packet gives no frame."""
        if packet.pts in self._waiting:
            self._waiting.remove(packet.pts)
            heapq.heapify(self._waiting)

    def find(self, frame: Any) -> int:
        """Return the frame's timestamp, later than the previous one."""
        pts = heapq.heappop(self._waiting) if self._waiting else frame.pts
        if self.last is None:
            self.last = 0 if pts is None else int(pts)
        elif pts is None:
            self.last += self._step
        else:
            self.last = max(int(pts), self.last + 1)
        return self.last


def _decode(
    info: VideoInfo, container: Any, stream: Any, lost: _Lost, times: _Times, damage: Damage
) -> Iterator[Any]:
    """Yield decoded frames; report a DecodeError if an announced frame is missing."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            lost.announce(packet)
            times.announce(packet)
            frames = packet.decode()
        except av.error.FFmpegError as error:
            times.forget(packet)
            damage.meet(
                DecodeError(
                    f"'{info.path}' cannot be decoded after {_clock(lost.time)}: {reason(error)};"
                    f" the file is damaged, {_REMEDY}"
                )
            )
            continue
        for frame in frames:
            lost.arrive(frame.pts)
            yield frame
    lost.finish()


class _Lost:
    """Detector of pictures whose packets were read but which the decoder silently dropped.

    It works only if each packet is a picture: in MP4 and Matroska, except VP8's hidden ones.
    Pictures before the first displayed one may be missing, since a recording may start between
    keyframes. After a seek, so may pictures before `sought`, the timestamp that it was meant for.
    """

    def __init__(self, info: VideoInfo, damage: Damage, sought: int | None = None) -> None:
        self._info, self._damage, self._sought = info, damage, sought
        self.count = 0
        """Number of pictures known to be missing so far."""
        self._strict = info.container.startswith(("mov", "matroska")) and info.codec != "vp8"
        # The second field of a picture may have its own packet, in the middle of its time.
        self._second = Fraction(3, 4) / info.rate if info.is_interlaced else Fraction(0)
        self._announced: set[int] = set()
        self._packets = 0
        self._last: int | None = None
        self._seen: int | None = None

    def announce(self, packet: Any) -> None:
        if not packet.size or packet.is_discard:
            return
        self._packets += 1
        if packet.pts is not None:
            self._announced.add(packet.pts)
            self._last = max(packet.pts, self._last or packet.pts)

    def arrive(self, pts: int | None) -> None:
        if pts is None:
            return
        self._announced.discard(pts)
        gone = [other for other in self._announced if other < pts]
        self._announced.difference_update(gone)
        gone = [other for other in gone if not self._is_second_field(other)]
        if self._sought is not None:
            gone = [other for other in gone if other >= self._sought]
        if gone and self._strict and self._seen is not None:
            self.count += len(gone)
            self._fail(min(gone))
        self._seen = pts

    @property
    def time(self) -> Fraction:
        """Time of the latest picture, in seconds."""
        return Fraction(0) if self._seen is None else self._time(self._seen)

    def finish(self) -> None:
        """Check at the end of the file that the last packets gave pictures, too."""
        if self._last is None or self._seen is None:
            return
        missing = (self._last - self._seen) * self._info.time_base
        allowed = self._second if self._strict else 2 / self._info.rate
        is_short = self._sought is None and self._packets < self._info.frame_count
        if missing > allowed or is_short:
            self._fail(self._seen)

    def _is_second_field(self, pts: int) -> bool:
        """Whether the picture announced for `pts` is the latest one."""
        if self._seen is None:
            return False
        return 0 < (pts - self._seen) * self._info.time_base <= self._second

    def _fail(self, pts: int) -> None:
        self._damage.meet(
            DecodeError(
                f"pictures of '{self._info.path}' are missing at {_clock(self._time(pts))};"
                f" the file is damaged, {_REMEDY}"
            )
        )

    def _time(self, pts: int) -> Fraction:
        return pts * self._info.time_base - self._info.start


def _is_sound(info: VideoInfo, frame: Any, time: Fraction, damage: Damage) -> bool:
    """Whether the frame can be used; raise DecodeError if no later one can be used, either."""
    if frame.is_corrupt:
        damage.meet(DecodeError(f"'{info.path}' is damaged at {_clock(time)}; {_REMEDY}"))
        return False
    layout = frame.format.name if info.has_planes else info.pixel_format
    found = f"{frame.width}x{frame.height} {layout}"
    if found != f"{info.size} {info.pixel_format}":
        raise DecodeError(
            f"'{info.path}' changes to {found} at {_clock(time)} (from {info.size}"
            f" {info.pixel_format}); cut it there and treat the parts one by one"
        )
    return True


def _clock(time: Fraction) -> str:
    minutes, seconds = divmod(float(max(time, Fraction(0))), 60)
    return f"{int(minutes)}:{seconds:06.3f}"
