"""Tracks that an output takes over from its source: sound, subtitles, attachments, metadata."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av

from cleanplate.errors import DecodeError, OutputError
from cleanplate.video.encoding import MUXERS, list_codecs, open_source, reason
from cleanplate.video.info import VideoInfo
from cleanplate.video.trimming import TrackClock, cut_chapters

log = logging.getLogger(__name__)


# Entries that the container writes itself; the new container writes its own.
_STALE = ("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "rotate")
_STALE_STARTS = ("_statistics", "bps", "number_of_", "duration")


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Filter metadata: drop entries that describe the source file instead of its content."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE and not key.lower().startswith(_STALE_STARTS)
    }


def has_own_keys(path: Path) -> bool:
    """Whether metadata has keys as written by phones, for which MP4 needs a key table."""
    with open_source(path) as source:
        return any(key.startswith("com.") for key in source.metadata)


def check_tracks(info: VideoInfo, suffix: str, *, audio: bool = True) -> None:
    """Raise OutputError if a `suffix` file cannot hold the sound or subtitles of `info`.

    Nothing is written to disk: a container in memory is tried.
    """
    if info.kind != "video":
        return
    with av.open(BytesIO(), "w", format=MUXERS[suffix]) as output:
        Tracks(info, output, suffix, audio=audio).close()


class Tracks:
    """Copier of all non-video streams from a source file to an open output container.

    Without `audio`, the sound is left out. Opens the source a second time and holds one packet in
    memory.
    """

    def __init__(self, info: VideoInfo, output: Any, suffix: str, *, audio: bool = True) -> None:
        self._info = info
        self._output = output
        self._from_zero = suffix in (".mkv", ".webm") and info.container.startswith("mov")
        self._length: Fraction | None = None
        if info.excerpt is not None:
            self._from_zero = MUXERS[suffix] not in ("mp4", "mov")
            self._length = info.duration
        self._source = open_source(info.path)
        try:
            kept = [s for s in self._source.streams if is_copied(s, suffix, audio)]
            self._targets = {stream.index: self._add(stream, kept, suffix) for stream in kept}
            output.metadata.update(kept_metadata(self._source.metadata))
            output.set_chapters(self._chapters())
        except BaseException:
            self._source.close()
            raise
        self._packets = self._read()
        self._next = next(self._packets, None)

    def copy_until(self, time: Fraction | None) -> None:
        """Copy the packets that begin before `time`, in seconds; None: all remaining ones."""
        while self._next is not None:
            at = self._next.dts if self._next.dts is not None else self._next.pts
            if time is not None and at is not None and at * self._next.time_base > time:
                return
            packet = self._next
            packet.stream = self._targets[packet.stream.index]
            self._output.mux_one(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the source."""
        self._packets.close()
        self._source.close()

    def _add(self, stream: Any, kept: Iterable[Any], suffix: str) -> Any:
        try:
            target = self._output.add_stream_from_template(stream)
        except (ValueError, av.error.FFmpegError):
            raise OutputError(
                f"{suffix} cannot hold stream {stream.index} ({stream.type}, {_codec(stream)});"
                f" {_find_remedy(kept)}"
            ) from None
        if stream.type == "audio":
            _name_channels(target.codec_context)
        target.metadata.update(kept_metadata(stream.metadata))
        target.disposition = stream.disposition
        return target

    def _chapters(self) -> list[Any]:
        chapters: list[Any] = self._source.chapters()
        for chapter in chapters:
            offset = round(self._info.start / chapter["time_base"])
            chapter["start"] -= offset
            chapter["end"] -= offset
        return cut_chapters(chapters, self._length)

    def _read(self) -> Generator[Any, None, None]:
        streams = [stream for stream in self._source.streams if stream.index in self._targets]
        streams = [stream for stream in streams if stream.type != "attachment"]
        if not streams:
            return
        clocks = {
            stream.index: TrackClock(self._info.start, self._from_zero, self._length)
            for stream in streams
        }
        try:
            for packet in self._source.demux(streams):
                if packet.size and not _is_gap(packet) and clocks[packet.stream.index].set(packet):
                    yield packet
        except av.error.FFmpegError as error:
            raise DecodeError(
                f"the sound or subtitles of '{self._info.path}' cannot be read: {reason(error)}"
            ) from None


def _name_channels(context: Any) -> None:
    """Set the default channel layout: an AVI stores only the number of channels, MP4 needs both."""
    layout = context.layout
    if layout.name == f"{layout.nb_channels} channels":
        with suppress(ValueError):
            context.layout = f"{layout.nb_channels}c"


def _codec(stream: Any) -> str:
    return str(stream.codec_context.name) if stream.codec_context else "without a codec"


def _find_remedy(streams: Iterable[Any]) -> str:
    """Name the containers that can hold all streams, or another remedy."""
    names = {_codec(stream) for stream in streams if stream.type != "attachment"}
    fitting = [s for s in (".mkv", ".mp4", ".mov") if names <= list_codecs(MUXERS[s])]
    if fitting:
        return f"use {' or '.join(fitting)}"
    return (
        "no kind of file that is written here can hold all of its sound and subtitles: leave the"
        " sound out (`audio=False`), convert it first, or write a folder of PNGs"
    )


def _is_gap(packet: Any) -> bool:
    """Whether a packet is an empty MP4 subtitle, which the muxer adds itself to fill gaps."""
    return packet.size == 2 and packet.stream.name == "mov_text" and bytes(packet) == b"\0\0"


def is_copied(stream: Any, suffix: str, audio: bool) -> bool:
    """Whether a stream is copied: subtitles, sound if wanted, fonts in Matroska."""
    if stream.type == "audio":
        return audio
    if stream.type == "subtitle" or (stream.type == "attachment" and suffix == ".mkv"):
        return True
    if stream.type != "video":
        log.info("stream %d (%s) is not copied", stream.index, stream.type)
    return False
