"""Codecs that can be asked for by name: what each can hold, its containers and its encoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from cleanplate.errors import OutputError
from cleanplate.options import AV1_PRESETS, X26_PRESETS
from cleanplate.types import Size
from cleanplate.video.encoding import (
    DEFAULT_CRF,
    Encoding,
    check_crf,
    choose_encoding,
    describe_result,
    encode_ffv1,
    encode_h264,
    encode_hevc,
    has_encoder,
    is_partly_tagged,
)
from cleanplate.video.info import VideoInfo

_AV1_PRESET = "6"
"""Preset of AV1 without another one."""
_NO_LEAST = Size(1, 1)
_ALL = ("4:2:0", "4:2:2", "4:4:4", "grey", "RGB")


@dataclass(frozen=True, slots=True)
class NamedCodec:
    """What a codec can hold here.

    Attributes:
        title: its common name.
        bits: the largest depth.
        rgb_bits: the largest depth of RGB.
        chroma: kinds of samples (`PixelFormat.chroma`) that it holds or is given without loss of
            resolution.
        suffixes: containers.
        loss: whether samples change: "never", "always", or unless `lossless` is given.
        encode: builds the encoder's settings from the result, CRF, `lossless` and preset.
        presets: of its encoder.
        convert: the samples that are written instead of the source's.
        least: smallest size.
    """

    title: str
    bits: int
    rgb_bits: int
    chroma: tuple[str, ...]
    suffixes: tuple[str, ...]
    loss: Literal["never", "always", "optional"]
    encode: Callable[[VideoInfo, int, bool, str | None], Encoding]
    presets: tuple[str, ...] = ()
    convert: Callable[[VideoInfo, bool], VideoInfo] = describe_result
    least: Size = _NO_LEAST

    def find_obstacle(self, info: VideoInfo) -> str | None:
        """Say what of the source's samples it cannot hold; None if it holds them."""
        layout, size = info.format, info.size
        if layout.bits > self.bits:
            return f"{layout.bits} bits"
        if layout.chroma not in self.chroma and info.has_planes:
            return f"{layout.chroma} samples"
        if layout.chroma == "RGB" and layout.bits > self.rgb_bits:
            return f"RGB of {layout.bits} bits"
        if size.width < self.least.width or size.height < self.least.height:
            return f"frames below {self.least}"
        written = self.convert(info, False).format
        across, down = written.chroma_shift if written.family == "yuv" else (0, 0)
        if self.loss != "never" and (size.width % (1 << across) or size.height % (1 << down)):
            return f"the odd size {size}"
        return None


def _encode_av1(result: VideoInfo, crf: int, lossless: bool, preset: str | None) -> Encoding:
    """Convert a CRF of H.264 (0 to 51) to SVT-AV1's (0 to 63)."""
    os.environ.setdefault("SVT_LOG", "1")  # otherwise it prints its settings
    options = {"preset": preset or _AV1_PRESET}
    if lossless:
        options["svtav1-params"] = "lossless=1"
    else:
        options["crf"] = str(round(crf * 63 / 51))
    return Encoding("libsvtav1", result.format.planar_name, MappingProxyType(options))


def _encode_prores(result: VideoInfo, crf: int, lossless: bool, preset: str | None) -> Encoding:
    profile = "4444" if result.format.chroma == "4:4:4" else "hq"
    # Apple's own name: some programs refuse files whose encoder they do not know.
    options = {"profile": profile, "vendor": "apl0"}
    fields = {"flags": "+ildct"} if result.is_woven else {}
    return Encoding(
        "prores_ks", result.pixel_format, MappingProxyType(options | fields), result.is_woven
    )


_DNXHR = {"yuv422p": "dnxhr_hq", "yuv422p10le": "dnxhr_hqx", "yuv444p10le": "dnxhr_444"}
"""Pixel format → profile."""


def _encode_dnxhr(result: VideoInfo, crf: int, lossless: bool, preset: str | None) -> Encoding:
    options = {"profile": _DNXHR[result.pixel_format]}
    return Encoding("dnxhd", result.pixel_format, MappingProxyType(options))


def _as_video(info: VideoInfo, pixel_format: str) -> VideoInfo:
    """Change `info` to limited range in `pixel_format`, as editors expect; RGB becomes BT.709."""
    result = replace(info, pixel_format=pixel_format, color_range=1, chroma_siting="")
    if info.format.family != "rgb":
        return result
    return replace(result, color_matrix=1, color_primaries=1, color_transfer=1)


def _to_dnxhr(info: VideoInfo, lossless: bool) -> VideoInfo:
    layout = info.format
    if info.has_planes and layout.chroma in ("4:4:4", "RGB"):
        return _as_video(info, "yuv444p10le")
    return _as_video(info, "yuv422p" if layout.bits == 8 else "yuv422p10le")


def _keep(info: VideoInfo, lossless: bool) -> VideoInfo:
    return info


_YUV = ("4:2:0", "4:2:2", "grey")
_ANY = (".mp4", ".m4v", ".mov", ".mkv")

NAMED: Mapping[str, NamedCodec] = MappingProxyType(
    {
        "h264": NamedCodec("H.264", 10, 8, _ALL, _ANY, "optional", encode_h264, X26_PRESETS),
        "hevc": NamedCodec("HEVC", 12, 12, _ALL, _ANY, "optional", encode_hevc, X26_PRESETS),
        "av1": NamedCodec(
            "AV1", 10, 8, ("4:2:0", "grey"), (".mp4", ".m4v", ".mkv", ".webm"), "optional",
            _encode_av1, AV1_PRESETS, least=Size(16, 16),
        ),
        "prores": NamedCodec(
            "ProRes 422 HQ", 10, 8, _YUV, (".mov", ".mkv"), "always", _encode_prores,
            convert=lambda info, _: _as_video(info, "yuv422p10le"),
        ),
        "prores-4444": NamedCodec(
            "ProRes 4444", 12, 12, _ALL, (".mov", ".mkv"), "always", _encode_prores,
            convert=lambda info, _: _as_video(info, "yuv444p10le"),
        ),
        "dnxhr": NamedCodec(
            "DNxHR", 10, 10, _ALL, (".mov",), "always", _encode_dnxhr,
            convert=_to_dnxhr, least=Size(256, 120),
        ),
        "ffv1": NamedCodec(
            "FFV1", 16, 16, _ALL, (".mkv", ".mp4", ".m4v"), "never", encode_ffv1, convert=_keep
        ),
    }
)  # fmt: skip
"""Codecs of videos by the name that users give."""

IMAGE_CODECS = {"png": ".png", "tiff": ".tif"}
"""Codecs of folders → suffix of their images."""


def choose_coding(
    info: VideoInfo,
    suffix: str,
    *,
    codec: str = "auto",
    crf: int | None = None,
    lossless: bool = False,
    preset: str | None = None,
) -> tuple[VideoInfo, Encoding]:
    """Choose the samples of the result and its encoder; raise OutputError with a remedy.

    Args:
        info: the source.
        suffix: of the output, with its dot.
        codec: a name of `NAMED`; "auto" is `choose_encoding`'s choice.
        crf: constant rate factor, 0 to 51; None is 16.
        lossless: keep every sample.
        preset: of the encoder.
    """
    check_crf(crf, lossless=lossless)
    if codec in IMAGE_CODECS:
        raise OutputError(
            f"`codec='{codec}'` writes a folder of images; give an output without extension, or"
            " another codec"
        )
    result = describe_result(info, lossless)
    if codec == "auto":
        encoding = choose_encoding(result, suffix, crf=crf, lossless=lossless)
        return result, _with_preset(encoding, preset)
    named = NAMED[codec]
    _check_source(info, codec, lossless=lossless)
    if suffix not in named.suffixes:
        raise OutputError(
            f"{suffix} cannot hold {named.title} here; use {' or '.join(named.suffixes)}"
        )
    if lossless and named.loss == "always":
        raise OutputError(
            f"{named.title} always changes samples; leave `lossless` out, or use"
            f" {_list_able(info, lossless=True)}"
        )
    if crf is not None and named.encode not in (encode_h264, encode_hevc, _encode_av1):
        raise OutputError(f"{named.title} has no `crf`; leave it out")
    _check_preset(preset, named.presets, named.title)
    result = named.convert(info, lossless)
    if suffix in (".mp4", ".m4v") and codec == "ffv1" and is_partly_tagged(result):
        raise OutputError(
            f"{suffix} cannot store the colour range and matrix of this FFV1 video; use .mkv"
        )
    quality = DEFAULT_CRF if crf is None else crf
    encoding = named.encode(result, quality, lossless, preset)
    if not has_encoder(encoding.codec):
        raise OutputError(
            f"PyAV lacks the encoder {encoding.codec} for {named.title}; install a wheel of PyAV,"
            " or use another `codec`"
        )
    return result, encoding


def _check_source(info: VideoInfo, codec: str, *, lossless: bool) -> None:
    """Raise OutputError if the codec cannot hold the source, and name those that can."""
    named = NAMED[codec]
    obstacle = named.find_obstacle(info)
    # Images become 4:2:0 unless they are written without loss.
    if obstacle is None and lossless and info.format.chroma not in named.chroma:
        obstacle = f"{info.format.chroma} samples"
    if obstacle is not None:
        raise OutputError(
            f"{named.title} cannot hold {obstacle}; use {_list_able(info, lossless=lossless)}"
        )


def _list_able(info: VideoInfo, *, lossless: bool) -> str:
    """Name the codecs that hold the source."""
    able = [
        name
        for name, one in NAMED.items()
        if one.find_obstacle(info) is None
        and not (lossless and one.loss == "always")
        and not (lossless and info.format.chroma not in one.chroma)
    ]
    return " or ".join(f"`codec='{name}'`" for name in able)


_PRESETS = {"libx264": X26_PRESETS, "libx264rgb": X26_PRESETS, "libx265": X26_PRESETS}


def _with_preset(encoding: Encoding, preset: str | None) -> Encoding:
    """Set the preset of an encoder that was chosen automatically."""
    _check_preset(preset, _PRESETS.get(encoding.codec, ()), encoding.codec)
    if preset is None:
        return encoding
    return replace(encoding, options=MappingProxyType({**encoding.options, "preset": preset}))


def _check_preset(preset: str | None, presets: tuple[str, ...], title: str) -> None:
    if preset is None or preset in presets:
        return
    if not presets:
        raise OutputError(f"{title} has no presets; leave `preset` out")
    raise OutputError(f"`preset` of {title} is one of {', '.join(presets)}, not '{preset}'")


def name_title(codec: str) -> str:
    """Return the common name of a codec, given the name that users give."""
    return NAMED[codec].title if codec in NAMED else codec.upper()
