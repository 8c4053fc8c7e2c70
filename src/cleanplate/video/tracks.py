"""Audio, subtitles and attachments: copied packet by packet beside the new pictures."""

from __future__ import annotations

import logging
from collections.abc import Generator
from fractions import Fraction
from typing import Any

import av

from cleanplate.errors import DecodeError, OutputError
from cleanplate.video.containers import open_source, reason
from cleanplate.video.info import VideoInfo

log = logging.getLogger(__name__)


# Facts of the old file that its container wrote itself; the new container writes its own.
_STALE = ("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "rotate")
_STALE_STARTS = ("_statistics", "bps", "number_of_", "duration")


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without what describes the old file and not its content."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE and not key.lower().startswith(_STALE_STARTS)
    }


class Tracks:
    """Copies all streams but the pictures from a video's file to an open output container.

    Opens the source a second time and holds one packet in memory.
    """

    def __init__(self, info: VideoInfo, output: Any, suffix: str) -> None:
        self._info = info
        self._output = output
        self._source = open_source(info.path)
        try:
            self._targets = {
                stream.index: self._add(stream, suffix)
                for stream in self._source.streams
                if _is_copied(stream, suffix)
            }
            output.metadata.update(kept_metadata(self._source.metadata))
            output.set_chapters(self._chapters())
        except BaseException:
            self._source.close()
            raise
        self._packets = self._read()
        self._next = next(self._packets, None)

    def copy_until(self, time: Fraction | None) -> None:
        """Copy the packets that begin before `time`, in seconds; None: all that are left."""
        while self._next is not None:
            at = self._next.dts if self._next.dts is not None else self._next.pts
            if time is not None and at is not None and at * self._next.time_base > time:
                return
            packet = self._next
            packet.stream = self._targets[packet.stream.index]
            self._output.mux_one(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the second opening of the source."""
        self._packets.close()
        self._source.close()

    def _add(self, stream: Any, suffix: str) -> Any:
        name = stream.codec_context.name if stream.codec_context else "without a codec"
        try:
            target = self._output.add_stream_from_template(stream)
        except (ValueError, av.error.FFmpegError):
            raise OutputError(
                f"{suffix} cannot hold stream {stream.index} ({stream.type}, {name});"
                f" use {' or '.join(other for other in ('.mkv', '.mp4') if other != suffix)}"
            ) from None
        target.metadata.update(kept_metadata(stream.metadata))
        target.disposition = stream.disposition
        return target

    def _chapters(self) -> list[Any]:
        chapters: list[Any] = self._source.chapters()
        for chapter in chapters:
            offset = round(self._info.start / chapter["time_base"])
            chapter["start"] -= offset
            chapter["end"] -= offset
        return chapters

    def _read(self) -> Generator[Any, None, None]:
        streams = [stream for stream in self._source.streams if stream.index in self._targets]
        streams = [stream for stream in streams if stream.type != "attachment"]
        if not streams:
            return
        try:
            for packet in self._source.demux(streams):
                if packet.size == 0 or _is_gap(packet):
                    continue
                offset = round(self._info.start / packet.time_base)
                if packet.pts is not None:
                    packet.pts -= offset
                if packet.dts is not None:
                    packet.dts -= offset
                yield packet
        except av.error.FFmpegError as error:
            raise DecodeError(
                f"the sound or subtitles of '{self._info.path}' cannot be read: {reason(error)}"
            ) from None


def _is_gap(packet: Any) -> bool:
    """An empty MP4 subtitle: the muxer fills gaps with these itself, a second one would clash."""
    return packet.size == 2 and packet.stream.name == "mov_text" and bytes(packet) == b"\0\0"


def _is_copied(stream: Any, suffix: str) -> bool:
    """Sound and text always, attached files (fonts) where they can be: in Matroska."""
    if stream.type in ("audio", "subtitle") or (stream.type == "attachment" and suffix == ".mkv"):
        return True
    if stream.type != "video":
        log.info("stream %d (%s) is not copied", stream.index, stream.type)
    return False
