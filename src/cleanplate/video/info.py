"""Properties of a video: size, rate, pixel format, and the order of interlaced fields."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

import av
import numpy as np
import numpy.typing as npt

from cleanplate.types import Size
from cleanplate.video.images import CONTAINERS

PROGRESSIVE, TOP_FIRST, BOTTOM_FIRST = 1, 2, 3
"""Values of AVFieldOrder; 4 and 5 mean the same as 2 and 3 for fields stored interleaved."""
INTERLACED = (2, 3, 4, 5)
_TOP_FIRST = (2, 4)

# HEVC has no interlaced frames: its fields are separate pictures of half the height.
_NEVER_WOVEN = ("hevc",)


# Codecs that flag pictures individually. In all others the first picture decides.
_MIXED = ("mpeg2video", "h264", "vc1")


def is_top_first(order: int) -> bool:
    """Whether the top field is displayed first."""
    return order in _TOP_FIRST


def name_order(order: int) -> str:
    """Name an AVFieldOrder."""
    if order not in INTERLACED:
        return "progressive"
    return "top field first" if is_top_first(order) else "bottom field first"


def find_order(frame: Any, stated: int, codec: str) -> int:
    """Find the AVFieldOrder of a stream from one decoded frame and the file's header.

    The frame overrides the header; a frame without flags leaves the header's value.
    """
    if codec in _NEVER_WOVEN:
        return PROGRESSIVE
    if not frame.interlaced_frame:
        return stated if stated in INTERLACED else PROGRESSIVE
    top_first = _shows_top_first(frame)
    if stated in INTERLACED and is_top_first(stated) == top_first:
        return stated
    return TOP_FIRST if top_first else BOTTOM_FIRST


class KeyPictures:
    """Search for an interlaced picture among the keyframes of a stream: 1st, 2nd, 4th, 8th …

    Broadcasts mix both kinds and may begin with either. The number of decoded frames grows with the
    logarithm of the length.
    """

    def __init__(self, stream: Any) -> None:
        context = stream.codec_context
        self._context = context if context.codec.canonical_name in _MIXED else None
        self._count = 0
        self.interlaced: Any = None
        """The first interlaced frame; None so far."""

    def look(self, packet: Any) -> None:
        """Check the next packet of the stream."""
        if self._context is None or self.interlaced is not None or not packet.is_keyframe:
            return
        self._count += 1
        if self._count & (self._count - 1):
            return
        frames: list[Any] = []
        with suppress(av.error.FFmpegError):  # reading in order reports the error
            frames = [*self._context.decode(packet), *self._context.decode(None)]
        self._context.flush_buffers()
        self.interlaced = next((frame for frame in frames if frame.interlaced_frame), None)


class FieldMarker:
    """Mark frames as progressive or as interlaced in one order, without copying samples.

    swscale and encoders follow this mark. PyAV can read it only in part and cannot write it, so
    FFmpeg's filters are used.
    """

    def __init__(self, order: int) -> None:
        self._mode = "prog"
        if order in INTERLACED:
            self._mode = "tff" if is_top_first(order) else "bff"
        self._graph: Any = None
        self._takes: tuple[int, int, str] | None = None

    def mark(self, frame: Any) -> Any:
        """Return a frame with the same samples and properties, and the mark."""
        takes = (frame.width, frame.height, frame.format.name)
        if takes != self._takes:
            self._takes = takes
            self._graph = make_graph(frame, "setfield", f"mode={self._mode}")
        self._graph.push(frame)
        marked = self._graph.pull()
        marked.pts = frame.pts
        if frame.time_base is not None:
            marked.time_base = frame.time_base
        return marked


def _shows_top_first(frame: Any) -> bool:
    graph = make_graph(frame, "select", "expr='eq(interlace_type,TOPFIRST)'")
    graph.push(frame)
    try:
        graph.pull()
    except BlockingIOError:  # the filter drops it
        return False
    return True


def make_graph(frame: Any, name: str, options: str = "") -> Any:
    """Build a graph of one filter for frames like `frame`."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=frame.time_base or Fraction(1, 25),
    )
    step, sink = graph.add(name, options or None), graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    return graph


Family = Literal["yuv", "gray", "rgb"]


_CHROMA = {(1, 1): "4:2:0", (1, 0): "4:2:2", (0, 0): "4:4:4"}


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """Memory layout of a pixel format: planes, depth, chroma subsampling."""

    name: str
    family: Family
    bits: int
    channels: tuple[int, ...]
    """Samples side by side in each plane: (1, 1, 1) planar, (1, 2) nv12, (3,) packed RGB."""
    chroma_shift: tuple[int, int] = (0, 0)
    """log2 of the chroma subsampling, horizontally and vertically."""

    def shift(self, plane: int) -> tuple[int, int]:
        """`chroma_shift` for chroma planes, (0, 0) for all others."""
        return self.chroma_shift if self.family == "yuv" and plane > 0 else (0, 0)

    @property
    def chroma(self) -> str:
        """Kind of samples: 4:2:0, 4:2:2, 4:4:4, grey or RGB."""
        return {"gray": "grey", "rgb": "RGB"}.get(self.family) or _CHROMA[self.chroma_shift]

    @property
    def planar_name(self) -> str:
        """Format of the same samples for encoders without `yuvj`, nv12 or grey."""
        if self.name == "nv12":
            return "yuv420p"
        if self.family == "gray":
            return "yuv420p" if self.bits == 8 else f"yuv420p{self.bits}le"
        return self.name.replace("yuvj", "yuv")


def _table() -> dict[str, PixelFormat]:
    formats = [PixelFormat("nv12", "yuv", 8, (1, 2), (1, 1))]
    for digits, shift in (("420", (1, 1)), ("422", (1, 0)), ("444", (0, 0))):
        formats += [
            PixelFormat(f"yuv{digits}p", "yuv", 8, (1, 1, 1), shift),
            PixelFormat(f"yuvj{digits}p", "yuv", 8, (1, 1, 1), shift),
            PixelFormat(f"yuv{digits}p10le", "yuv", 10, (1, 1, 1), shift),
            PixelFormat(f"yuv{digits}p12le", "yuv", 12, (1, 1, 1), shift),
            PixelFormat(f"yuv{digits}p16le", "yuv", 16, (1, 1, 1), shift),
        ]
    formats += [PixelFormat("gray", "gray", 8, (1,)), PixelFormat("gbrp", "rgb", 8, (1, 1, 1))]
    for bits in (10, 12, 16):
        formats += [PixelFormat(f"gray{bits}le", "gray", bits, (1,))]
        formats += [PixelFormat(f"gbrp{bits}le", "rgb", bits, (1, 1, 1))]
    formats += [PixelFormat("rgb48le", "rgb", 16, (3,))]
    formats += [PixelFormat(name, "rgb", 8, (3,)) for name in ("rgb24", "bgr24")]
    formats += [PixelFormat(name, "rgb", 8, (4,)) for name in ("rgb0", "bgr0", "0rgb", "0bgr")]
    return {entry.name: entry for entry in formats}


FORMATS = _table()
"""Supported pixel formats by FFmpeg's name."""


def find_format(name: str) -> PixelFormat:
    """Look up a supported format; KeyError for others (`probe` refuses those with a remedy)."""
    return FORMATS[name]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Properties of a video, a folder of images or a photograph; sizes are *coded* sizes."""

    path: Path
    kind: Literal["video", "images"]
    size: Size
    """Coded size: the size of the reader's arrays."""
    rate: Fraction
    """Average pictures per second."""
    time_base: Fraction
    """Duration of one tick of `Picture.pts`, in seconds."""
    frame_count: int
    """Number of pictures that a reader will return (counted by packets, not decoded)."""
    duration: Fraction | None
    """Seconds from the first picture's start to the last one's end."""
    pixel_format: str
    """FFmpeg's name, such as `yuv420p`; `rgb24` for images, GIF and animated PNG."""
    codec: str
    rotation: int = 0
    """Clockwise rotation for display, in degrees: 0, 90, 180 or 270."""
    start: Fraction = Fraction(0)
    """Seconds subtracted from all timestamps; 0 except for transport streams and excerpts."""
    first: Fraction = Fraction(0)
    """Time of the first picture in seconds, as in `Picture.time`."""
    color_range: int = 0
    """0 unspecified, 1 limited, 2 full (AVColorRange)."""
    color_matrix: int = 2
    """AVColorSpace; 2 is unspecified."""
    color_primaries: int = 2
    """AVColorPrimaries; 2 is unspecified."""
    color_transfer: int = 2
    """AVColorTransferCharacteristic; 2 is unspecified."""
    chroma_siting: str = ""
    """Chroma sample location of 4:2:0: FFmpeg's `left`, `center`, `topleft` …, or ""."""
    sample_aspect_ratio: Fraction | None = None
    """Width of a pixel divided by its height; None is unspecified."""
    field_order: int = PROGRESSIVE
    """AVFieldOrder: 1 progressive; else interlaced, 2 and 4 top field first, 3 and 5 bottom."""
    audio_streams: int = 0
    subtitle_streams: int = 0
    is_variable_rate: bool = False
    container: str = "images"
    """FFmpeg's demuxer name, or `images`."""
    display_matrix: tuple[int, ...] | None = None
    """3x3 display matrix of the container, if any; copied to the output."""
    mastering: str = ""
    """Mastering display of HDR video, in the notation of x264 and x265."""
    content_light: str = ""
    """Content light of HDR video, maximum pixel and frame average in cd/m², `"1000,400"`."""
    damage: str = ""
    """Reason why the file is incomplete, if `probe` was called with `keep_going`."""
    files: tuple[Path, ...] = field(default=(), repr=False)
    """The images of a folder in natural order, or the photograph."""
    excerpt: Excerpt | None = None
    """Where these frames are in their source, if they are not all of it."""

    @property
    def since_start(self) -> float:
        """Time of the first frame in the source, in seconds; 0 unless this is an excerpt."""
        return 0.0 if self.excerpt is None else float(self.excerpt.time)

    @property
    def display_size(self) -> Size:
        """Size after rotation (pixel aspect not applied)."""
        if self.rotation in (90, 270):
            return Size(self.size.height, self.size.width)
        return self.size

    @property
    def shown_size(self) -> Size:
        """Size in players: `display_size` with the pixel aspect applied to the width."""
        aspect = self.sample_aspect_ratio or Fraction(1)
        size = self.display_size
        if self.rotation in (90, 270):
            aspect = 1 / aspect
        return Size(max(1, round(size.width * aspect)), size.height)

    def is_shown_as(self, size: Size) -> bool:
        """Whether `size` is `shown_size` within a pixel, and pixels are not square."""
        shown, stored = self.shown_size, self.display_size
        is_near = abs(size.width - shown.width) <= 1 and size.height == shown.height
        return is_near and abs(shown.width - stored.width) > 1

    @property
    def end(self) -> Fraction | None:
        """End of the last picture in seconds, as in `Picture.time`."""
        return None if self.duration is None else self.first + self.duration

    @property
    def format(self) -> PixelFormat:
        """Layout of `pixel_format`."""
        return find_format(self.pixel_format)

    @property
    def bit_depth(self) -> int:
        """Bits per sample."""
        return self.format.bits

    @property
    def is_interlaced(self) -> bool:
        """Whether a frame consists of two fields taken at different times."""
        return self.field_order in INTERLACED

    @property
    def has_planes(self) -> bool:
        """Whether pictures have their original samples (`Picture.planes`), which are kept."""
        is_rgb = self.kind == "images" or self.container in CONTAINERS
        return not is_rgb or self.bit_depth > 8

    @property
    def is_woven(self) -> bool:
        """Whether fields are converted and coded separately: no chroma line belongs to both."""
        down = self.format.shift(1)[1]
        return self.is_interlaced and self.size.height % (2 << down) == 0

    @property
    def is_full_range(self) -> bool:
        """Whether samples use the full range; grey and RGB do unless tagged otherwise."""
        if self.pixel_format.startswith("yuvj"):
            return True
        if self.color_range == 0:
            return self.format.family in ("gray", "rgb")
        return self.color_range == 2


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive frames of a source.

    Attributes:
        whole: the source.
        frames: their numbers in it.
        time: of the first of them in the source, in seconds.
    """

    whole: VideoInfo
    frames: range
    time: Fraction

    @property
    def tick(self) -> int:
        """Timestamp of the first frame, in ticks of the source."""
        return round((self.time + self.whole.start) / self.whole.time_base)


def describe_upright(info: VideoInfo) -> VideoInfo:
    """Change `info` to that of upright pictures without other tracks, with the same timestamps."""
    aspect = info.sample_aspect_ratio
    if aspect and info.rotation in (90, 270):
        aspect = Fraction(1) / aspect
    return replace(
        info,
        kind="images",
        size=info.display_size,
        rotation=0,
        display_matrix=None,
        sample_aspect_ratio=aspect,
        pixel_format="rgb24",
        color_range=0,
        chroma_siting="",
        field_order=PROGRESSIVE,
        audio_streams=0,
        subtitle_streams=0,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Decoded picture in coded orientation."""

    index: int
    pts: int
    """Timestamp of the container, in ticks of `VideoInfo.time_base`."""
    time: Fraction
    """Seconds; `pts * time_base - VideoInfo.start`. The first need not be 0."""
    rgb: npt.NDArray[np.uint8]
    """`(h, w, 3)`, 0-255."""
    planes: Any = None
    """The `av.VideoFrame` with all bits that the writer composites into; None without
    `has_planes`."""


Sample = TypeVar("Sample", bound=np.generic)


def turn_upright(pixels: npt.NDArray[Sample], info: VideoInfo) -> npt.NDArray[Sample]:
    """Rotate an array `(h, w, …)` from coded to display orientation."""
    return np.ascontiguousarray(np.rot90(pixels, -(info.rotation // 90)))
