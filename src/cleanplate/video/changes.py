"""What an output keeps of its source: sound, subtitles, attachments; notes on what it does not."""

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
from cleanplate.video.encoding import CODECS, MUXERS, Encoding, list_codecs, open_source, reason
from cleanplate.video.images import JPEG_QUALITY
from cleanplate.video.info import PixelFormat, VideoInfo, find_format, name_order
from cleanplate.video.probe import find_video_stream
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


_NAMES = {
    "h264": "H.264",
    "hevc": "HEVC",
    "vp8": "VP8",
    "vp9": "VP9",
    "av1": "AV1",
    "ffv1": "FFV1",
    "prores": "ProRes",
    "dnxhd": "DNxHD/DNxHR",
    "cfhd": "CineForm",
    "mpeg1video": "MPEG-1",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4 Part 2",
    "mjpeg": "Motion JPEG",
    "jpeg": "JPEG",
    "dvvideo": "DV",
    "vc1": "VC-1",
    "theora": "Theora",
    "rawvideo": "uncompressed",
    "utvideo": "Ut Video",
    "huffyuv": "HuffYUV",
    "png": "PNG",
    "gif": "GIF",
}
"""FFmpeg's name of a codec → its common name, if that differs."""

_CHROMA = {(1, 1): "4:2:0", (1, 0): "4:2:2", (0, 0): "4:4:4"}
_HDR = {16: "PQ", 18: "HLG"}
_WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}

_KINDS = {"video": "video", "audio": "sound", "attachment": "attached file"}
"""Names of the kinds of streams that an output may lack."""

_PICTURES = PixelFormat("rgb24", "rgb", 8, (3,))
"""Pixel format of written PNGs."""


def describe_coding(
    info: VideoInfo, encoding: Encoding | None, *, lossless: bool, suffix: str = ""
) -> dict[str, Any]:
    """Describe codec, pixel format and bit depth of source and output, as JSON values.

    Includes whether untouched samples are exactly the source's. `encoding` is None for pictures,
    which are PNGs unless `suffix` says JPEG.
    """
    if suffix in (".jpg", ".jpeg"):
        return {
            "source": _list_facts(info.codec, info.format),
            "written": _list_facts("jpeg", find_format("yuvj444p")),
            "exact": False,
        }
    written = _PICTURES if encoding is None else find_format(encoding.pixel_format)
    return {
        "source": _list_facts(info.codec, info.format),
        "written": _list_facts("png" if encoding is None else CODECS[encoding.codec], written),
        "exact": _is_rgb(info) if encoding is None else lossless,
    }


def _is_rgb(info: VideoInfo) -> bool:
    """Whether 8-bit RGB represents the source's samples exactly."""
    is_grey = info.format.family == "gray" and info.is_full_range
    return info.bit_depth == 8 and (is_grey or info.format.family == "rgb")


def _list_facts(codec: str, layout: PixelFormat) -> dict[str, Any]:
    return {"codec": codec, "pixel_format": layout.name, "depth": layout.bits}


def name_codec(codec: str) -> str:
    """Return the common name of a codec, given FFmpeg's name."""
    return _NAMES.get(codec, codec)


def _name_coding(codec: str, layout: PixelFormat) -> str:
    """Format codec and pixel format, such as `ProRes (4:2:2, 10 bits)`."""
    chroma = {"gray": "grey", "rgb": "RGB"}.get(layout.family) or _CHROMA[layout.chroma_shift]
    return f"{name_codec(codec)} ({chroma}, {layout.bits} bits)"


def describe_changes(
    info: VideoInfo, encoding: Encoding | None, suffix: str, *, lossless: bool
) -> tuple[str, ...]:
    """List notes on differences from the source; None stands for a folder of PNGs.

    Interlacing and further tracks have separate notes: `describe_lost_fields`, `describe_left`.
    """
    if encoding is None:
        return tuple(_describe_pictures(info)) if info.kind == "video" else ()
    notes = []
    written, layout = CODECS[encoding.codec], find_format(encoding.pixel_format)
    remedy = "" if lossless else "; `lossless=True` writes it without loss"
    if info.kind == "images":
        if layout.family != "rgb":
            notes.append(
                f"the images are RGB, the output is {_name_coding(written, layout)}: colours have"
                " half the resolution; `lossless=True` keeps RGB"
            )
    elif info.codec != written:
        notes.append(
            f"the source is {_name_coding(info.codec, info.format)}, the output"
            f" {_name_coding(written, layout)}: {_explain(info, encoding, suffix)}{remedy}"
        )
    if info.bit_depth > 8:
        notes.append(
            "filled areas are computed in 8 bits and may show bands; all else is written with the"
            f" source's {info.bit_depth} bits"
        )
    return tuple(notes)


def _explain(info: VideoInfo, encoding: Encoding, suffix: str) -> str:
    """Explain why the codec differs from the source's; `choose_encoding` has the rules."""
    if suffix == ".webm":
        return "WebM takes no other codec here"
    odd = f"H.264 cannot hold this chroma in the odd size {info.size}"
    reasons = {
        "libvpx-vp9": odd,
        "ffv1": f"{odd}, nor can VP9 here hold {info.bit_depth} bits",
        "libx265": "H.264 holds at most 10 bits",
    }
    return reasons.get(encoding.codec, "H.264 is written wherever it can hold the picture")


def _describe_pictures(info: VideoInfo) -> list[str]:
    """List notes on a folder of PNGs written from a video."""
    notes = []
    if info.bit_depth > 8:
        notes.append(
            f"the source has {info.bit_depth} bits a sample and PNGs are written with 8, so finer"
            " levels are rounded away; a video as output keeps them outside the filled areas"
        )
    colours = [_WIDE.get(info.color_primaries), _HDR.get(info.color_transfer)]
    if any(colours):
        notes.append(
            f"the source's colours are {' '.join(filter(None, colours))}, which PNGs are written"
            " without: viewers will take them for ordinary RGB"
        )
    aspect = info.sample_aspect_ratio or Fraction(1)
    if aspect != 1:
        notes.append(
            f"the source's pixels have the shape {aspect.numerator}:{aspect.denominator}, which"
            f" PNGs are written without: they look {info.display_size}, the video {info.shown_size}"
        )
    if info.is_variable_rate:
        notes.append("the source's frame rate is variable, and PNGs have no times")
    tracks = {"audio": info.audio_streams, "subtitle": info.subtitle_streams}
    left = [f"{count} {kind}" for kind, count in tracks.items() if count]
    if left:
        many = sum(tracks.values()) > 1
        notes.append(f"not copied, since PNGs hold none: {' and '.join(left)} track{'s' * many}")
    return notes


def describe_lost_fields(info: VideoInfo, encoding: Encoding | None) -> tuple[str, ...]:
    """Note that interlaced video is coded as progressive; `encoding` None: a folder of images."""
    if not info.is_interlaced or (encoding is not None and encoding.codes_fields):
        return ()
    kind = "images" if encoding is None else name_codec(CODECS[encoding.codec])
    return (
        f"the input is interlaced, {name_order(info.field_order)}, which {kind} of {info.size}"
        " cannot say: players will take the output's frames for progressive ones",
    )


def describe_picture(suffix: str) -> tuple[str, ...]:
    """Note that a single picture is not written losslessly."""
    if suffix == ".png":
        return ()
    return (f"the whole picture was coded again, as JPEG of quality {JPEG_QUALITY}; .png keeps it",)


def describe_left(info: VideoInfo, suffix: str, *, audio: bool = True) -> tuple[str, ...]:
    """Notes on streams missing from the output; `audio`: whether audio is copied."""
    if info.kind != "video":
        return ()
    with open_source(info.path) as source:
        main = find_video_stream(source)
        left = [
            f"stream {stream.index} ({_KINDS[stream.type]})"
            for stream in source.streams
            if stream.type in _KINDS
            and stream.index != main.index
            and not is_copied(stream, suffix, audio)
        ]
    return (f"not copied: {', '.join(left)}",) if left else ()
