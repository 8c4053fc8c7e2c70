"""Containers and encoders: codecs that a container holds, and the encoder for a source."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av

from cleanplate.errors import OutputError, VideoError
from cleanplate.storage.paths import check_file, check_local, make_absolute
from cleanplate.types import Size
from cleanplate.video.headers import check_claims, collect_messages, most_pixels
from cleanplate.video.info import VideoInfo, is_top_first

# Demuxers of single files. Playlists, concatenation scripts, devices and image patterns are left
# out, since they open other files than the named one.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,nut,mxf,dv,gif,"
    "apng,yuv4mpegpipe,ivf,h264,hevc,av1,obu,rm,wtv,gxf"
)

MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Output suffix → FFmpeg's muxer."""


def local_url(path: Path) -> str:
    """Make the URL with which FFmpeg opens exactly this file, even if its name looks like a URL."""
    return f"file:{make_absolute(path)}"


@cache
def list_codecs(muxer: str) -> frozenset[str]:
    """List FFmpeg's names of the codecs that a muxer supports."""
    with av.open(io.BytesIO(), "w", format=muxer) as container:
        return frozenset(container.supported_codecs)


def open_source(path: Path) -> Any:
    """Open a video file for reading as an `av.container.InputContainer`.

    Its decoders return no frame beyond `most_pixels`. Raises VideoError if it is missing, not
    readable or not a video.
    """
    try:
        check_file(path)
        if os.path.getsize(path) == 0:
            raise VideoError(f"'{path}' is an empty file; give a complete video")
        check_claims(path)
    except FileNotFoundError:
        check_local(path, VideoError)
        raise VideoError(
            f"'{path}' does not exist; give a video file or a folder of images"
        ) from None
    except OSError as error:
        raise VideoError(
            f"'{path}' cannot be read: {error.strerror}; give a video file or a folder of images"
        ) from None
    # Decoders pad to whole blocks; the exact limit is checked on the frames they return.
    options = {"max_pixels": str(most_pixels() * 5 // 4 + (1 << 16))}
    strict = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS, **options}
    try:
        container = av.open(local_url(path), options=strict, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(
            f"'{path}' is not a video that can be opened (damaged, cut short or another kind of"
            f" file): {reason(error)}; try to play it, or copy it again"
        ) from None
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = options
    return container


def reason(error: BaseException) -> str:
    """Format FFmpeg's error message, without numbers and file names."""
    return str(getattr(error, "strerror", None) or error)


DEFAULT_CRF = 16

CODECS = {
    "libx264": "h264",
    "libx264rgb": "h264",
    "libx265": "hevc",
    "libvpx-vp9": "vp9",
    "libsvtav1": "av1",
    "prores_ks": "prores",
    "dnxhd": "dnxhd",
    "ffv1": "ffv1",
}
"""Encoder → FFmpeg's name of its codec."""

_LOOKAHEAD = 40
"""Default lookahead of x264, in pictures."""

_X265_DELAY = 4
"""More pictures than x265 delays for B pictures."""

_SAFE_WIDTH = 128
"""Width in pixels of the eight macroblocks that x264's AVX-512 code for `mbtree` reads at once."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encoder, its input pixel format, and its options."""

    codec: str
    pixel_format: str
    options: Mapping[str, str]
    codes_fields: bool = False
    """Whether interlaced frames are coded as two fields, in their order."""


def describe_result(info: VideoInfo, lossless: bool) -> VideoInfo:
    """Choose the samples of the result: the source's own, or for 8-bit images BT.709 video.

    Images and animations are RGB, and so is their lossless result.
    """
    if info.has_planes or lossless:
        return info
    return replace(
        info,
        pixel_format="yuv420p",
        color_range=1,
        color_matrix=1,
        color_primaries=1,
        color_transfer=1,
        chroma_siting="",
    )


def choose_encoding(
    result: VideoInfo, suffix: str, *, crf: int | None = None, lossless: bool = False
) -> Encoding:
    """Choose the encoder for `result`'s samples in a container with `suffix`.

    - H.264 wherever it can hold the picture.
    - 4:2:0 of odd size: VP9, or FFV1 above 8 bits. H.264 crops in whole chroma samples only, and
      scaling or padding would move every pixel.
    - 12 bits, and RGB above 8: HEVC. 10-bit HEVC stays HEVC, since HDR players do not play 10-bit
      H.264.
    - 16 bits: FFV1.
    - WebM: VP9 only.

    Interlaced video stays interlaced in H.264 and FFV1; VP9 and HEVC have no fields. Raises
    OutputError if the container cannot hold the video.
    """
    check_crf(crf, lossless=lossless)
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
    elif odd or layout.bits > 12:
        encoding = encode_ffv1(result)
        if layout.family == "gray" and layout.bits <= 12:
            encoding = replace(encoding, pixel_format=planar)
    elif layout.bits == 12 or (layout.bits == 10 and _stays_hevc(result)):
        encoding = encode_hevc(result, quality, lossless)
    else:
        encoding = encode_h264(result, quality, lossless)
    # Matroska stores the display width in whole pixels, so less than one is rounding.
    aspect = result.sample_aspect_ratio or Fraction(1)
    is_square = abs(aspect - 1) * result.size.width <= 1
    if suffix in (".mkv", ".webm") and encoding.codec == "libvpx-vp9" and not is_square:
        raise OutputError(
            f"{suffix} cannot hold VP9 with pixels of the shape {aspect} here; use .mp4"
        )
    size = f"of the odd size {result.size}" if odd else f"with {layout.bits} bits"
    if suffix == ".mov" and encoding.codec in ("libvpx-vp9", "ffv1"):
        raise OutputError(f".mov cannot hold {layout.name} video {size}; use .mkv or .mp4")
    if suffix in (".mp4", ".m4v") and encoding.codec == "ffv1" and is_partly_tagged(result):
        raise OutputError(
            f"{suffix} cannot say the colour range and matrix of {layout.name} video {size};"
            " use .mkv"
        )
    return encoding


def check_crf(crf: int | None, *, lossless: bool) -> None:
    """Raise OutputError if `crf` is out of range or given with `lossless`."""
    if crf is not None and (lossless or not 0 <= crf <= 51):
        raise OutputError("crf is a whole number from 0 to 51 and not used together with lossless")


def choose_lookahead(size: Size) -> int:
    """Choose the lookahead of H.264 in frames of `size`: shorter above 1920x1080.

    Each picture takes about 3 bytes per pixel, which was most of the memory at 3840x2160.
    """
    return max(10, min(_LOOKAHEAD, _LOOKAHEAD * 1920 * 1080 // (size.width * size.height)))


def _known_tags(result: VideoInfo) -> int:
    """Count how many of matrix, primaries and transfer are specified."""
    tags = (result.color_matrix, result.color_primaries, result.color_transfer)
    return sum(tag != 2 for tag in tags)


def is_partly_tagged(result: VideoInfo) -> bool:
    """Whether tags would be lost in an MP4 box that is written only when all three are known."""
    return _known_tags(result) < 3 and (result.is_full_range or _known_tags(result) > 0)


def _stays_hevc(result: VideoInfo) -> bool:
    is_rgb = result.format.family == "rgb"  # above 8 bits, which H.264 does not hold here
    return is_rgb or (result.codec == "hevc" and not result.is_woven)


def encode_ffv1(
    result: VideoInfo, crf: int = 0, lossless: bool = True, preset: str | None = None
) -> Encoding:
    """Encode with FFV1, which has no quality to choose and takes grey as it is."""
    layout = result.format
    name = layout.planar_name
    if layout.family == "gray":
        name = layout.name
    elif layout.family == "rgb":
        name = "bgr0" if layout.bits == 8 else f"gbrp{layout.bits}le"
    options = MappingProxyType({"level": "3", "slicecrc": "1"})
    return Encoding("ffv1", name, options, result.is_woven)


def encode_h264(result: VideoInfo, crf: int, lossless: bool, preset: str | None = None) -> Encoding:
    """Encode with x264."""
    options = {"preset": preset or "medium", **({"qp": "0"} if lossless else {"crf": str(crf)})}
    more = _light(result, "mastering-display", "cll")
    kernels = _steady_kernels()
    if kernels and result.size.width % _SAFE_WIDTH:
        more.append(f"asm={kernels}")
    ahead = choose_lookahead(result.size)
    if result.color_range == 1 and not _known_tags(result):
        # x264 writes a limited range only together with another tag, such as this one.
        more.append("videoformat=component")
    if ahead < _LOOKAHEAD:
        more.append(f"rc-lookahead={ahead}")
    if result.is_woven:
        # x264 turns weighted prediction off by itself here, with a warning each time.
        more += ["tff=1" if is_top_first(result.field_order) else "bff=1", "weightp=0"]
    if more:
        options["x264-params"] = ":".join(more)
    layout = result.format
    if layout.family == "rgb":
        return Encoding("libx264rgb", "bgr24", MappingProxyType(options), result.is_woven)
    name = layout.planar_name if layout.family == "gray" else layout.name
    return Encoding("libx264", name, MappingProxyType(options), result.is_woven)


@cache
def _steady_kernels() -> str | None:
    """List the CPU features that x264 may use, comma-separated; None: its own choice.

    x264's AVX-512 code that propagates costs to earlier pictures (`mbtree_propagate_list`) reads
    eight macroblocks at once, also beyond the end of a row, where memory is uninitialised. Then
    the same pictures are coded differently from run to run. So AVX-512 is left out unless rows end
    with a group of eight. x264's log lists the available features.
    """
    try:
        with collect_messages() as lines:
            probe = av.CodecContext.create("libx264", "w")
            probe.width, probe.height, probe.pix_fmt = 64, 48, "yuv420p"
            probe.time_base, probe.options = Fraction(1, 25), {"threads": "1"}
            probe.open()
    except (av.error.FFmpegError, ValueError):
        return None
    return _without_avx512(lines)


def _without_avx512(lines: list[str]) -> str | None:
    mark = "using cpu capabilities: "
    features = next((line.partition(mark)[2].split() for line in lines if mark in line), [])
    kept = [name for name in features if name != "AVX512"]
    return ",".join(kept) if kept and kept != features else None


def encode_hevc(result: VideoInfo, crf: int, lossless: bool, preset: str | None = None) -> Encoding:
    """Encode with x265."""
    more = ["log-level=none", *_light(result, "master-display", "max-cll")]
    if result.frame_count < _X265_DELAY:
        # x265 derives the decoding delay of B pictures from later ones; in a shorter video it
        # returns decoding times from uninitialised memory.
        more.append("bframes=0")
    options = {} if lossless else {"crf": str(crf)}
    options["x265-params"] = ":".join([*more, "lossless=1"] if lossless else more)
    if preset is not None:
        options["preset"] = preset
    layout = result.format
    name = layout.planar_name if layout.family != "rgb" or layout.bits > 8 else "gbrp"
    return Encoding("libx265", name, MappingProxyType(options))


def _light(result: VideoInfo, mastering: str, content: str) -> list[str]:
    """Format HDR10 light metadata under an encoder's option names."""
    values = {mastering: result.mastering, content: result.content_light}
    return [f"{name}={value}" for name, value in values.items() if value]


def _vp9(planar: str, crf: int, lossless: bool) -> Encoding:
    """Convert a CRF of H.264 (0 to 51) to VP9's (0 to 63)."""
    options = {"row-mt": "1", "cpu-used": "2", "b": "0", "crf": str(round(crf * 63 / 51))}
    if lossless:
        options = {"row-mt": "1", "cpu-used": "2", "lossless": "1"}
    return Encoding("libvpx-vp9", planar, MappingProxyType(options))


def has_encoder(name: str) -> bool:
    """Whether the FFmpeg inside PyAV can write with the encoder `name`, such as `libx264`."""
    try:
        # For a format, such as `h264`, PyAV returns an encoder with another name.
        return bool(av.Codec(name, "w").name == name)
    except av.codec.codec.UnknownCodecError:
        return False
