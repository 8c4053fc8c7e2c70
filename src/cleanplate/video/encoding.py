"""Which encoder keeps a video as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from types import MappingProxyType

import av
import av.logging

from cleanplate.errors import OutputError
from cleanplate.video.info import VideoInfo

DEFAULT_CRF = 16

_SAFE_WIDTH = 128
"""Pixels in the eight macroblocks that x264's AVX-512 code for `mbtree` takes at once."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoder, the pixel format it is fed, and its options."""

    codec: str
    pixel_format: str
    options: Mapping[str, str]


def describe_result(info: VideoInfo, *, lossless: bool) -> VideoInfo:
    """The samples the result is made of: the source's own, or for images RGB or BT.709 video."""
    if info.kind == "video" or lossless:
        return info
    return replace(
        info,
        pixel_format="yuv420p",
        color_range=1,
        color_matrix=1,
        color_primaries=1,
        color_transfer=1,
    )


def choose_encoding(
    result: VideoInfo, suffix: str, *, crf: int | None = None, lossless: bool = False
) -> Encoding:
    """The encoder for `result`'s samples in a container with `suffix`.

    H.264 wherever it can hold the picture. It cannot hold 4:2:0 of odd size (its cropping counts
    in whole chroma samples), so such videos become VP9, or FFV1 with more than 8 bits: scaling or
    padding would move every pixel. 12 bits become HEVC. WebM takes VP9 only.
    Raises OutputError for what the container cannot hold.
    """
    if crf is not None and (lossless or not 0 <= crf <= 51):
        raise OutputError("crf is a whole number from 0 to 51 and not used together with lossless")
    layout = result.format
    quality = DEFAULT_CRF if crf is None else crf
    planar = layout.planar_name
    across, down = (1, 1) if layout.family == "gray" else layout.chroma_shift
    odd = bool(result.size.width % (1 << across) or result.size.height % (1 << down))
    if suffix == ".webm" or (odd and layout.bits == 8):
        encoding = _vp9(planar, quality, lossless)
        if layout.family == "rgb":
            encoding = replace(encoding, pixel_format="gbrp")
        if layout.bits > 8:
            raise OutputError(f".webm cannot hold {layout.bits}-bit video here; use .mkv")
    elif odd:
        encoding = Encoding("ffv1", planar, MappingProxyType({"level": "3", "slicecrc": "1"}))
    elif layout.bits == 12:
        encoding = _hevc(planar, quality, lossless)
    else:
        encoding = _h264(result, quality, lossless)
    if suffix == ".mov" and encoding.codec in ("libvpx-vp9", "ffv1"):
        raise OutputError(
            f".mov cannot hold {layout.name} video of the odd size {result.size}; use .mkv or .mp4"
        )
    return encoding


def _h264(result: VideoInfo, crf: int, lossless: bool) -> Encoding:
    options = {"preset": "medium", **({"qp": "0"} if lossless else {"crf": str(crf)})}
    kernels = _steady_kernels()
    if kernels and result.size.width % _SAFE_WIDTH:
        options["x264-params"] = f"asm={kernels}"
    layout = result.format
    if layout.family == "rgb":
        return Encoding("libx264rgb", "bgr24", MappingProxyType(options))
    name = layout.planar_name if layout.family == "gray" else layout.name
    return Encoding("libx264", name, MappingProxyType(options))


@cache
def _steady_kernels() -> str | None:
    """The processor's features that x264 may use, comma-separated; None: as it chooses.

    x264's AVX-512 code that spreads costs over the pictures before (`mbtree_propagate_list`) takes
    eight macroblocks at once and counts those beyond the end of a row, too, whose values are what
    happened to lie in memory. The same pictures then come out differently from run to run. So
    that set is left out where rows do not end with a block. x264 itself is asked what there is.
    """
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as lines:
            probe = av.CodecContext.create("libx264", "w")
            probe.width, probe.height, probe.pix_fmt = 64, 48, "yuv420p"
            probe.time_base, probe.options = Fraction(1, 25), {"threads": "1"}
            probe.open()
    except (av.error.FFmpegError, ValueError):
        return None
    finally:
        av.logging.set_level(before)
    return _without_avx512([message for _, _, message in lines])


def _without_avx512(lines: list[str]) -> str | None:
    mark = "using cpu capabilities: "
    features = next((line.partition(mark)[2].split() for line in lines if mark in line), [])
    kept = [name for name in features if name != "AVX512"]
    return ",".join(kept) if kept and kept != features else None


def _hevc(planar: str, crf: int, lossless: bool) -> Encoding:
    options = {"x265-params": "log-level=none", "crf": str(crf)}
    if lossless:
        options = {"x265-params": "log-level=none:lossless=1"}
    return Encoding("libx265", planar, MappingProxyType(options))


def _vp9(planar: str, crf: int, lossless: bool) -> Encoding:
    """VP9 counts quality from 0 to 63 where H.264 counts to 51."""
    options = {"row-mt": "1", "cpu-used": "2", "b": "0", "crf": str(round(crf * 63 / 51))}
    if lossless:
        options = {"row-mt": "1", "cpu-used": "2", "lossless": "1"}
    return Encoding("libvpx-vp9", planar, MappingProxyType(options))


def has_encoder(name: str) -> bool:
    """Whether the FFmpeg inside PyAV can write with the encoder `name`, such as `libx264`."""
    try:
        # Asked for a format, such as `h264`, PyAV gives an encoder of it, of another name.
        return bool(av.Codec(name, "w").name == name)
    except av.codec.codec.UnknownCodecError:
        return False
