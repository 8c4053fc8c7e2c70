"""Notes on what an output does not keep of its source, and the facts of a report."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from cleanplate.video.encoding import CODECS, Encoding, open_source
from cleanplate.video.images import JPEG_QUALITY, JPEG_SUFFIXES
from cleanplate.video.info import PixelFormat, VideoInfo, find_format, name_order
from cleanplate.video.probe import find_video_stream
from cleanplate.video.tracks import is_copied

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
    "tiff": "TIFF",
    "gif": "GIF",
}
"""FFmpeg's name of a codec → its common name, if that differs."""

_HDR = {16: "PQ", 18: "HLG"}
_WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}

_KINDS = {"video": "video", "audio": "sound", "attachment": "attached file"}
"""Names of the kinds of streams that an output may lack."""


def describe_coding(
    info: VideoInfo, encoding: Encoding | None, *, lossless: bool, suffix: str = ".png"
) -> dict[str, Any]:
    """Describe codec, pixel format and bit depth of source and output, as JSON values.

    Includes whether untouched samples are exactly the source's. `encoding` is None for pictures,
    which `suffix` tells apart.
    """
    if encoding is not None:
        codec, name = CODECS[encoding.codec], encoding.pixel_format
        exact = lossless or codec == "ffv1"
    elif suffix in JPEG_SUFFIXES:
        codec, name, exact = "jpeg", "yuvj444p", False
    else:
        codec = "png" if suffix == ".png" else "tiff"
        name, exact = "rgb24" if info.bit_depth == 8 else "rgb48le", _is_rgb(info)
    return {
        "source": _list_facts(info.codec, info.format),
        "written": _list_facts(codec, find_format(name)),
        "exact": exact,
    }


def _is_rgb(info: VideoInfo) -> bool:
    """Whether RGB of the source's depth represents its samples exactly."""
    is_grey = info.format.family == "gray" and info.is_full_range
    return info.bit_depth in (8, 16) and (is_grey or info.format.family == "rgb")


def _list_facts(codec: str, layout: PixelFormat) -> dict[str, Any]:
    return {"codec": codec, "pixel_format": layout.name, "depth": layout.bits}


def name_codec(codec: str) -> str:
    """Return the common name of a codec, given FFmpeg's name."""
    return _NAMES.get(codec, codec)


def _name_coding(codec: str, layout: PixelFormat) -> str:
    """Format codec and pixel format, such as `ProRes (4:2:2, 10 bits)`."""
    return f"{name_codec(codec)} ({layout.chroma}, {layout.bits} bits)"


def describe_changes(
    info: VideoInfo,
    encoding: Encoding | None,
    suffix: str,
    *,
    lossless: bool,
    is_chosen: bool = True,
) -> tuple[str, ...]:
    """List notes on differences from the source; None stands for a folder of images.

    `is_chosen`: whether the codec was chosen here, so that it needs an explanation.

    Interlacing and further tracks have separate notes: `describe_lost_fields`, `describe_left`.
    """
    if encoding is None:
        lost = _describe_pictures(info) if info.kind == "video" else []
        return (*lost, *_describe_depth(info))
    notes = []
    written, layout = CODECS[encoding.codec], find_format(encoding.pixel_format)
    remedy = "" if lossless else "; `lossless=True` writes it without loss"
    if info.kind == "images":
        if layout.family != "rgb" and layout.chroma != "4:4:4":
            remedy = "; `lossless=True` keeps RGB" if is_chosen else ""
            notes.append(
                f"the images are RGB, the output is {_name_coding(written, layout)}: colours have"
                f" half the resolution{remedy}"
            )
    elif info.codec != written and is_chosen:
        notes.append(
            f"the source is {_name_coding(info.codec, info.format)}, the output"
            f" {_name_coding(written, layout)}: {_explain(info, encoding, suffix)}{remedy}"
        )
    return (*notes, *_describe_depth(info))


def _describe_depth(info: VideoInfo) -> tuple[str, ...]:
    """Note how fills get the depth of a source with more than 8 bits."""
    if info.bit_depth == 8:
        return ()
    return (
        "filled areas are computed in 8 bits, and smooth ones are given the source's"
        f" {info.bit_depth} bits; all else keeps them",
    )


def _explain(info: VideoInfo, encoding: Encoding, suffix: str) -> str:
    """Explain why the codec differs from the source's; `choose_encoding` has the rules."""
    if suffix == ".webm":
        return "WebM takes no other codec here"
    odd = f"H.264 cannot hold this chroma in the odd size {info.size}"
    reasons = {
        "libvpx-vp9": odd,
        "ffv1": (
            f"{odd}, nor can VP9 here hold {info.bit_depth} bits"
            if info.bit_depth <= 12
            else f"only FFV1 holds {info.bit_depth} bits here"
        ),
        "libx265": "H.264 holds at most 10 bits",
    }
    return reasons.get(encoding.codec, "H.264 is written wherever it can hold the picture")


def _describe_pictures(info: VideoInfo) -> list[str]:
    """List notes on a folder of PNGs written from a video."""
    notes = []
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


def describe_conversion(info: VideoInfo, coding: tuple[VideoInfo, Encoding] | None) -> list[str]:
    """Notes on range and depth that a codec implies; None stands for pictures."""
    if coding is None:
        return []
    notes, (result, encoding) = [], coding
    if info.format.family != "rgb" and info.is_full_range and not result.is_full_range:
        notes.append(
            "samples are converted from full to limited range, as editors expect of the codec"
        )
    bits = find_format(encoding.pixel_format).bits
    if bits < info.bit_depth:
        notes.append(f"the encoder takes {bits} of the source's {info.bit_depth} bits")
    return notes


def describe_picture(suffix: str) -> tuple[str, ...]:
    """Note that a single picture is not written losslessly."""
    if suffix not in JPEG_SUFFIXES:
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
