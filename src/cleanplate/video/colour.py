"""Colour: tags and HDR10 metadata, and conversion between planes of samples and RGB."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from cleanplate.types import Box
from cleanplate.video.headers import collect_messages
from cleanplate.video.info import FieldMarker, PixelFormat, VideoInfo, find_format, make_graph
from cleanplate.video.levels import Levels, round_depth

_UNSPECIFIED = {"color_range": 0, "colorspace": 2, "color_primaries": 2, "color_trc": 2}
"""PyAV's names of the tags, for frames and codec contexts alike."""

_NOT_CODED = {
    "prores": "color_range",
    "mpeg1video": "color_range",
    "mpeg2video": "color_range",
    "mjpeg": "colorspace",
    "vp8": "colorspace",
    "dnxhd": "colorspace",
}
"""Tags for which a decoder returns a constant, since the codec's stream has no field for them.

DNxHD has a field, but encoders, including FFmpeg's, leave it at BT.709.
"""

_SITING = re.compile(r" cl:(left|center|topleft|top|bottomleft|bottom)\b")


class Tags(NamedTuple):
    """Colour tags, as numbers like those of `VideoInfo`."""

    color_range: int
    color_matrix: int
    color_primaries: int
    color_transfer: int


def read_stated(context: Any) -> dict[str, int]:
    """Read the container's tags, by PyAV's names; call this before decoding."""
    return {name: int(getattr(context, name)) for name in _UNSPECIFIED}


def choose_tags(frame: Any, stated: dict[str, int], codec: str) -> Tags:
    """Read the tags of a decoded frame; fall back to the container's if the codec lacks one."""
    found = {name: int(getattr(frame, name)) for name in _UNSPECIFIED}
    name = _NOT_CODED.get(codec)
    if name is not None and stated[name] != _UNSPECIFIED[name]:
        found[name] = stated[name]
    return Tags(*found.values())


def read_siting(frame: Any) -> str:
    """Read the chroma sample location of 4:2:0 by FFmpeg's name, such as "left"; "" if unspecified.

    PyAV has no attribute for it, so FFmpeg's filter `showinfo` prints it.
    """
    if not frame.format.name.startswith(("yuv420p", "yuvj420p", "nv12")):
        return ""
    graph = make_graph(frame, "showinfo", "checksum=0:udu_sei_as_ascii=1")
    with collect_messages() as messages:
        graph.push(frame)
        graph.pull()
    found = _SITING.search(" ".join(messages))
    return found[1] if found else ""


def read_mastering(frame: Any) -> str:
    """Read the mastering display (SMPTE ST 2086): `G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`, or "".

    Chromaticities are in units of 0.00002, luminances in 0.0001 cd/m².
    """
    data = _find(frame, "MASTERING_DISPLAY_METADATA")
    # FFmpeg's structure: ten fractions (red, green, blue, white, min, max) and two flags.
    if data is None or data.size != 22 or not data[20:].all() or not data[1:20:2].all():
        return ""
    values = data[:20:2].astype(float) / data[1:20:2]
    places = np.rint(values[:8] * 50_000).astype(int).reshape(4, 2)
    red, green, blue, white = (f"({x},{y})" for x, y in places)
    least, most = np.rint(values[8:] * 10_000).astype(int)
    return f"G{green}B{blue}R{red}WP{white}L({most},{least})"


def read_content_light(frame: Any) -> str:
    """Read the maximum pixel and frame-average light levels (CTA-861.3), `"1000,400"`, or ""."""
    data = _find(frame, "CONTENT_LIGHT_LEVEL")
    return "" if data is None or data.size != 2 else f"{data[0]},{data[1]}"


def _find(frame: Any, kind: str) -> Any:
    """Read a frame's side data of a kind as 32-bit numbers; None if there is none."""
    for data in frame.side_data:
        if data.type.name == kind:
            return np.frombuffer(data, np.int32)
    return None


_BESIDE = 16
"""Pixels around a touched one that its conversion may read, with a margin."""


def samples(frame: Any, layout: PixelFormat) -> list[npt.NDArray[np.generic]]:
    """View each plane as a writable array `(plane height, plane width, channels)`, unpadded."""
    dtype = np.dtype(np.uint8 if layout.bits == 8 else np.uint16)
    views = []
    for index, (plane, channels) in enumerate(zip(frame.planes, layout.channels, strict=True)):
        across, down = layout.shift(index)
        width, height = -(-frame.width >> across), -(-frame.height >> down)
        rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
        views.append(rows[:height, : width * channels].reshape(height, width, channels))
    return views


def whole_blocks(
    touched: npt.NDArray[np.bool_], across: int, down: int, *, woven: bool = False
) -> npt.NDArray[np.bool_]:
    """Find chroma samples whose luma pixels are all touched; `across`, `down` are shifts, 0 or 1.

    Of blocks cut by the border, the part inside counts. In `woven` fields, whose height is a
    multiple of four, a line of chroma belongs to every other line of luma.
    """
    if down and woven:
        pairs = touched.reshape(-1, 2, 2, touched.shape[1])  # of lines of the same field
        touched, down = (pairs[:, 0] & pairs[:, 1]).reshape(-1, touched.shape[1]), 0
    height, width = touched.shape
    whole = np.pad(touched, ((0, height % 2 * down), (0, width % 2 * across)), mode="edge")
    if down:
        whole = whole[::2] & whole[1::2]
    if across:
        whole = whole[:, ::2] & whole[:, 1::2]
    return whole


def surround(touched: npt.NDArray[np.bool_], *, woven: bool = False) -> Box:
    """Find the region with all touched pixels and the neighbours that conversion reads.

    It begins with a whole chroma sample, so that converting it alone gives the same samples as
    converting the whole picture. In `woven` fields it begins and ends with one of both fields.
    """
    height, width = touched.shape
    x, y, across, down = cv2.boundingRect(touched.view(np.uint8))
    left, top = max(0, x - _BESIDE) & ~1, max(0, y - _BESIDE) & (~3 if woven else ~1)
    right, bottom = min(width, x + across + _BESIDE), min(height, y + down + _BESIDE)
    if woven:
        bottom = min(height, bottom + 3 & ~3)
    return Box(left, top, right - left, bottom - top)


def paste_touched(
    source: Any,
    part: Any,
    touched: npt.NDArray[np.bool_],
    box: Box,
    layout: PixelFormat,
    *,
    woven: bool = False,
) -> Any:
    """Copy the frame `source` and replace `touched` samples in `box` by those of `part`.

    A chroma sample colours every pixel of its block, so it is replaced only if the whole block is
    touched: no untouched pixel of the decoded result changes.
    """
    made = copy_frame(source)
    for index, (new, inner) in enumerate(
        zip(samples(made, layout), samples(part, layout), strict=True)
    ):
        across, down = layout.shift(index)
        allowed = whole_blocks(touched[box.slices], across, down, woven=woven)[..., None]
        rows, columns, _ = inner.shape
        top, left = box.y >> down, box.x >> across
        np.copyto(new[top : top + rows, left : left + columns], inner, where=allowed)
    return made


def cut_frame(frame: Any, layout: PixelFormat, box: Box) -> Any:
    """Copy the samples in a box, which begins with a whole chroma sample, to a frame of its own."""
    part = VideoFrame(box.width, box.height, layout.name)
    for index, (new, own) in enumerate(
        zip(samples(part, layout), samples(frame, layout), strict=True)
    ):
        across, down = layout.shift(index)
        top, left = box.y >> down, box.x >> across
        new[...] = own[top : top + new.shape[0], left : left + new.shape[1]]
    return part


def copy_frame(frame: Any) -> Any:
    """Copy a frame with its samples and side data, such as captions."""
    graph = make_graph(frame, "copy")
    graph.push(frame)
    return graph.pull()


def repack(frame: Any, layout: PixelFormat, name: str) -> Any:
    """Convert `yuvj`, grey, nv12 and packed 16-bit RGB to planes without changing samples.

    Grey gets neutral chroma. The caller sets times and properties.
    """
    target = find_format(name)
    packed = VideoFrame(frame.width, frame.height, name)
    own = samples(frame, layout)
    if layout.name == "nv12":
        own = [own[0], own[1][..., :1], own[1][..., 1:]]
    elif layout.channels == (3,):
        own = [own[0][..., channel : channel + 1] for channel in (1, 2, 0)]  # G, B, R
    for index, plane in enumerate(samples(packed, target)):
        plane[...] = own[index] if index < len(own) else 1 << (target.bits - 1)
    return packed


_WHITE = 255 << 8
"""White of swscale's 16-bit RGB where it converts that to YUV."""

# By default swscale is off by more than one level; with these flags it rounds exactly.
ACCURATE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
UNSPECIFIED = 2
BT709, BT601 = 1, 5

# AVColorSpace → swscale's number of the same matrix. 0 (RGB) and 3 (reserved) define no matrix;
# 10 (constant-luminance BT.2020) is treated as 9.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}


def swscale_matrix(info: VideoInfo) -> int:
    """Return swscale's number of the matrix; untagged: players' default, BT.709 from 720 lines."""
    guess = BT709 if info.size.height >= 720 else BT601
    return MATRICES.get(info.color_matrix, guess)


class Converter:
    """Converter for pictures of one video; caches swscale's tables. Use one per thread.

    Above 8 bits, swscale truncates grey, RGB and full range to 8 bits, so that these are converted
    here or rounded from 16 bits.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._matrix = swscale_matrix(info)
        self._range = 2 if info.is_full_range else 1
        self._layout = info.format
        self._is_rgb = info.format.family == "rgb"
        self._is_own = info.format.family != "yuv" and info.format.bits > 8
        self._truncates = info.format.bits > 8 and (self._is_own or info.is_full_range)
        self._levels = Levels(info)
        self._fields = FieldMarker(info.field_order) if info.is_woven else None
        self._to_rgb = VideoReformatter()
        self._from_rgb = VideoReformatter()
        self._to_deep = VideoReformatter()

    def to_rgb(self, frame: Any) -> npt.NDArray[np.uint8]:
        """Convert a decoded frame to uint8 `(h, w, 3)`, field by field if interlaced."""
        if self._truncates:
            return round_depth(self.to_deep(frame))
        return self._convert(self._to_rgb, frame, "rgb24")

    def to_deep(self, frame: Any, box: Box | None = None) -> npt.NDArray[np.uint16]:
        """Convert a decoded frame to uint16 `(h, w, 3)`, 0 to 65535, as `to_rgb` does.

        With a `box`, which begins with a whole chroma sample, of the part in it.
        """
        if box is not None:
            frame = cut_frame(frame, self._layout, box)
            frame = frame if self._fields is None else self._fields.mark(frame)
        if self._is_own:
            return self._levels.to_deep(samples(frame, self._layout))
        white = self._levels.white
        rgb = self._convert(self._to_deep, frame, "rgb48le") * np.float32(65535 / white)
        return np.rint(rgb).clip(0, 65535).astype(np.uint16)

    def _convert(self, reformatter: VideoReformatter, frame: Any, name: str) -> npt.NDArray[Any]:
        colours = (
            {}
            if self._is_rgb
            else {
                "src_colorspace": self._matrix,
                "src_color_range": self._range,
            }
        )
        rgb = reformatter.reformat(frame, format=name, interpolation=ACCURATE, **colours)
        return np.ascontiguousarray(rgb.to_ndarray())

    def from_rgb(self, rgb: npt.NDArray[Any]) -> Any:
        """Convert uint8 or uint16 `(h, w, 3)` to a new frame in the video's pixel format."""
        if self._is_own:
            frame = VideoFrame(rgb.shape[1], rgb.shape[0], self._layout.name)
            deep = rgb if rgb.dtype == np.uint16 else np.uint16(257) * rgb
            self._levels.put_into(samples(frame, self._layout), deep)
            return frame
        name = "rgb24"
        if rgb.dtype == np.uint16:
            rgb, name = np.rint(rgb * np.float32(_WHITE / 65535)).astype(np.uint16), "rgb48le"
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), name)
        if self._fields is not None:
            frame = self._fields.mark(frame)
        colours = (
            {}
            if self._is_rgb
            else {
                "dst_colorspace": self._matrix,
                "dst_color_range": self._range,
            }
        )
        return self._from_rgb.reformat(
            frame, format=self._layout.name, interpolation=ACCURATE, **colours
        )


class Reshaper:
    """Converts composed frames of a source to the samples of its result; use one per thread."""

    def __init__(self, info: VideoInfo, result: VideoInfo) -> None:
        self._layout = info.format
        self._keeps = result.is_full_range == info.is_full_range
        self._fields = FieldMarker(info.field_order) if info.is_woven else None
        self._reformatter = VideoReformatter()
        self._colours: dict[str, int] = {
            "dst_colorspace": swscale_matrix(result),
            "dst_color_range": 2 if result.is_full_range else 1,
        }
        if self._layout.family != "rgb":
            self._colours |= {
                "src_colorspace": swscale_matrix(info),
                "src_color_range": 2 if info.is_full_range else 1,
            }

    def convert(self, frame: Any, name: str) -> Any:
        """Convert to the pixel format `name`, without changing samples where that is possible."""
        layout = self._layout
        target = find_format(name)
        if layout.family == target.family == "rgb":
            is_packed = layout.channels == (3,) and layout.bits > 8
            return repack(frame, layout, name) if is_packed and name != layout.name else frame
        if self._keeps and name == layout.name:
            return frame
        # The encoder may want the same samples in another memory layout, such as nv12 as planes.
        if self._keeps and name == layout.planar_name:
            return repack(frame, layout, name)
        if self._fields is not None:
            frame = self._fields.mark(frame)
        return self._reformatter.reformat(
            frame, format=name, interpolation=ACCURATE, **self._colours
        )
