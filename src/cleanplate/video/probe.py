"""Probe a video or a folder of images: describe it, or explain why it cannot be used."""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

from cleanplate.errors import VideoError
from cleanplate.types import Size
from cleanplate.video import images as animations
from cleanplate.video.colour import (
    MATRICES,
    choose_tags,
    read_content_light,
    read_mastering,
    read_siting,
    read_stated,
)
from cleanplate.video.encoding import open_source, reason
from cleanplate.video.headers import check_complete, check_pixels
from cleanplate.video.images import (
    describe_image,
    is_photograph,
    list_images,
    list_sequence,
    read_samples,
)
from cleanplate.video.info import FORMATS, INTERLACED, KeyPictures, VideoInfo, find_order

IMAGE_RATE = Fraction(24)

_JITTER = Fraction(1, 2)
"""Seconds by which timestamps of a damaged or badly written file may jump back."""

_STILL_BRANDS = ("avif", "heic", "heim", "heis", "heix", "mif1")
"""Brands of ISO base media files that hold still pictures."""

# Timestamps of transport streams start at an arbitrary value; all others start at 0.
_CLOCKED = ("mpegts", "mpeg", "wtv")


def probe(
    path: str | os.PathLike[str], *, rate: Fraction = IMAGE_RATE, keep_going: bool = False
) -> VideoInfo:
    """Describe a video, a folder of images or a photograph; `rate` is the frame rate of images.

    A name such as `shot_%06d.png` stands for the images of a folder that are numbered so.

    All packets of a video are read (not decoded) and its first picture is decoded, so that a
    truncated file is refused here and not after an hour. With `keep_going` it is refused only if
    its first picture cannot be decoded. Raises VideoError with a remedy for everything that cannot
    be read later.
    """
    path = Path(path)
    if (sequence := list_sequence(path)) is not None:
        return _probe_images(path.parent, sequence, rate)
    if os.path.isdir(path):
        return _probe_images(path, list_images(path), rate)
    if is_photograph(path):
        return _probe_images(path, (path,), rate)
    with open_source(path) as container:
        return _probe_video(path, container, keep_going)


def find_video_stream(container: Any) -> Any:
    """Select the video stream: the first that is not a still, otherwise the first, or None.

    Cover pictures are not video. An animated AVIF has a still picture first.
    """
    cover = av.stream.Disposition.attached_pic
    found = [stream for stream in container.streams.video if not stream.disposition & cover]
    return next((stream for stream in found if stream.frames != 1), found[0] if found else None)


def read_ticks(info: VideoInfo) -> list[int]:
    """Read the timestamps of the displayed packets of a video file, ascending, in ticks."""
    with open_source(info.path) as container:
        return sorted(_scan(info.path, container, keep_going=True).times)


def _probe_images(path: Path, files: tuple[Path, ...], rate: Fraction) -> VideoInfo:
    first = read_samples(files[0])
    size, bits = Size(first.shape[1], first.shape[0]), 8 * first.itemsize
    for file in files[1:]:
        other, depth = describe_image(file)
        if other != size:
            raise VideoError(
                f"images differ in size: '{files[0].name}' is {size} and '{file.name}' is {other}"
                f" in '{path}'; give them one size or separate folders"
            )
        if depth != bits:
            raise VideoError(
                f"images differ in depth: '{files[0].name}' has {bits} bits and '{file.name}' has"
                f" {depth} in '{path}'; give them one depth or separate folders"
            )
    return VideoInfo(
        path=path,
        kind="images",
        size=size,
        rate=rate,
        time_base=1 / rate,
        frame_count=len(files),
        duration=len(files) / rate,
        pixel_format="rgb24" if bits == 8 else "rgb48le",
        codec=files[0].suffix.lower().lstrip("."),
        files=files,
    )


def _probe_video(path: Path, container: Any, keep_going: bool) -> VideoInfo:
    stream = find_video_stream(container)
    if stream is None:
        raise VideoError(f"'{path}' holds no video stream; give a file with pictures")
    if {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode") == "1":
        raise VideoError(
            f"'{path}' is transparent in part, which would be lost; flatten it onto a background"
            " first"
        )
    if stream.codec_context is None:
        raise VideoError(f"'{path}' uses a video codec that cannot be decoded here; convert it")
    claimed = stream.codec_context
    stated_tags = read_stated(claimed)
    check_pixels(Size(claimed.width, claimed.height), f"'{path}'")
    _check_still(path, container)
    frame = _decode_first(path, container, stream)
    check_pixels(Size(frame.width, frame.height), f"'{path}'")
    pixel_format = _check_format(path, container.format.name, frame)
    stated = stream.frames
    with open_source(path) as again:
        scan = _scan(path, again, keep_going)
    damage = ""
    try:
        if container.format.name.startswith("mov"):
            check_complete(path)
        if container.format.name in animations.CONTAINERS:
            animations.check_end(path, container.format.name)
        _check_complete(path, container, scan, stated)
    except VideoError as error:
        if not keep_going:
            raise
        damage = str(error)
    step = scan.step(stream.time_base)
    rate = stream.average_rate or stream.guessed_rate or (1 / step if step else Fraction(25))
    if step and rate * step >= 2 and not scan.is_variable():
        rate = 1 / step  # raw DV reports the ticks of its clock as its rate
    codec = claimed.codec.canonical_name
    order = find_order(scan.interlaced or frame, claimed.field_order, codec)
    paired = order in INTERLACED and _is_paired(container, stream, scan.times)
    if paired and step and rate * step > Fraction(3, 4):
        rate /= 2
    matrix = _display_matrix(frame)
    tags = choose_tags(frame, stated_tags, codec)
    start = Fraction(0)
    if container.format.name in _CLOCKED and container.start_time:
        start = Fraction(container.start_time, av.time_base)
    return VideoInfo(
        path=path,
        kind="video",
        size=Size(frame.width, frame.height),
        rate=Fraction(rate),
        time_base=stream.time_base,
        frame_count=-(-len(scan.times) // 2) if paired else len(scan.times),
        duration=scan.duration(stream.time_base, Fraction(rate)),
        pixel_format=pixel_format,
        codec=codec,
        rotation=_rotation(path, matrix, frame),
        start=start,
        first=min(scan.times) * stream.time_base - start,
        **tags._asdict(),
        chroma_siting=read_siting(frame),
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        field_order=order,
        audio_streams=len(container.streams.audio),
        subtitle_streams=len(container.streams.subtitles),
        is_variable_rate=scan.is_variable(),
        container=container.format.name,
        display_matrix=matrix,
        mastering=read_mastering(frame),
        content_light=read_content_light(frame),
        damage=damage,
    )


def _decode_first(path: Path, container: Any, stream: Any) -> Any:
    try:
        frame = next(container.decode(stream), None)
    except av.error.FFmpegError as error:
        raise VideoError(
            f"the first picture of '{path}' cannot be decoded: {reason(error)}; the file is"
            " damaged or incomplete, copy or export it again"
        ) from None
    if frame is None:
        raise VideoError(f"'{path}' holds no pictures; it is empty or was cut short")
    return frame


def _is_paired(container: Any, stream: Any, packets: array[int]) -> bool:
    """Whether each of the next pictures has two of the `packets`, given by their timestamps.

    This is the case if fields are coded separately.
    """
    try:
        following = list(islice(container.decode(stream), 4))
    except av.error.FFmpegError:  # reading in order reports the error
        return False
    times = sorted(frame.pts for frame in following if frame.pts is not None)
    if len(times) < 2:
        return False
    between = sum(times[0] <= time < times[-1] for time in packets)
    return bool(between == 2 * (len(times) - 1))


def _check_format(path: Path, container: str, frame: Any) -> str:
    """Choose the pixel format in which frames are processed."""
    name = str(frame.format.name)
    if container in animations.CONTAINERS and name in animations.FORMATS:
        return "rgb24"
    if name not in FORMATS:
        raise VideoError(
            f"'{path}' has the pixel format {name}, which is not supported (no alpha, palette,"
            " Bayer or hardware formats); convert it to yuv420p, yuv422p, yuv444p, their 10-bit"
            " kin or RGB first"
        )
    matrix = int(frame.colorspace)
    if FORMATS[name].family == "yuv" and matrix not in {*MATRICES, 0, 2, 3}:
        raise VideoError(
            f"'{path}' has the colour matrix number {matrix}, which is not supported; convert it"
            " to BT.709 or BT.2020 (non-constant luminance) first"
        )
    return name


@dataclass
class _Scan:
    """Results of reading all packets."""

    times: array[int] = field(default_factory=lambda: array("q"))
    """Timestamps of the displayed pictures, in ticks, in file order."""
    last_duration: int = 0
    tiles: bool = False
    """Whether durations are distances in decoding order, as in MP4; then their sum is exact."""
    total: int = 0
    """Sum of the durations of the displayed pictures, in ticks."""
    packets: int = 0
    slots: int = 0
    """End of the last picture in decoding order, in ticks; in an AVI one per chunk."""
    end: Fraction = Fraction(0)
    """Latest end of any packet of any stream, in seconds."""
    broken: bool = False
    interlaced: Any = None
    """An interlaced decoded frame, if one was found."""

    def _diffs(self) -> Any:
        return np.diff(np.sort(np.asarray(self.times, np.int64)))

    def step(self, time_base: Fraction) -> Fraction | None:
        diffs = self._diffs()
        return Fraction(int(np.median(diffs))) * time_base if diffs.any() else None

    def is_variable(self) -> bool:
        diffs = self._diffs()
        if diffs.size == 0:
            return False
        return bool(np.ptp(diffs) > 1 or diffs.max() >= 1.5 * max(np.median(diffs), 1))

    def duration(self, time_base: Fraction, rate: Fraction) -> Fraction:
        span = max(self.times) - min(self.times)
        left = self.total - span if self.tiles else 0
        last = (left if left > 0 else self.last_duration) * time_base or 1 / rate
        return span * time_base + last


def _scan(path: Path, container: Any, keep_going: bool) -> _Scan:
    """Read all packets of all streams."""
    scan = _Scan(tiles=container.format.name.startswith("mov"))
    video = find_video_stream(container)
    shows = _shows_picture if video.codec_context.codec.canonical_name == "vp8" else None
    latest = None
    clock, keys = _Clock(), KeyPictures(video)
    try:
        for packet in container.demux():
            if packet.size == 0:
                continue
            time = packet.pts if packet.pts is not None else packet.dts
            if time is not None and packet.time_base:
                end = (time + (packet.duration or 0)) * packet.time_base
                scan.end = max(scan.end, end)
            clock.check(path, packet)
            if packet.stream.index != video.index:
                continue
            keys.look(packet)
            scan.packets += 1
            scan.slots = max(scan.slots, (packet.dts or 0) + 1)
            scan.broken = scan.broken or bool(packet.is_corrupt)
            if packet.is_discard or (shows and not shows(packet)):
                continue
            scan.times.append(time if time is not None else len(scan.times))
            scan.total += packet.duration or 0
            if latest is None or scan.times[-1] >= latest:
                latest, scan.last_duration = scan.times[-1], packet.duration or 0
    except av.error.FFmpegError as error:
        if not keep_going:
            raise VideoError(
                f"'{path}' cannot be read to its end: {reason(error)}; copy or export it again"
            ) from None
    if not scan.times:
        raise VideoError(f"'{path}' holds no pictures; it is empty or was cut short")
    scan.interlaced = keys.interlaced
    return scan


class _Clock:
    """Refuse timestamps that jump back, as in joined recordings."""

    def __init__(self) -> None:
        self._first: dict[int, Fraction] = {}
        self._latest: dict[int, Fraction] = {}

    def check(self, path: Path, packet: Any) -> None:
        """Check the next packet of the file."""
        if packet.dts is None or packet.stream.type not in ("video", "audio"):
            return
        now, stream = packet.dts * packet.time_base, packet.stream.index
        latest = self._latest.get(stream, now)
        if now < latest - _JITTER:
            raise VideoError(
                f"the clock of '{path}' jumps back by {float(latest - now):.1f} s after"
                f" {float(latest - self._first[stream]):.1f} s (recordings joined together?);"
                " cut it there and treat the parts one by one"
            )
        self._first.setdefault(stream, now)
        self._latest[stream] = now


def _shows_picture(packet: Any) -> bool:
    """Whether a VP8 packet is displayed; hidden reference frames have packets of their own."""
    return bool(memoryview(packet)[0] >> 4 & 1)


def _check_complete(path: Path, container: Any, scan: _Scan, stated: int) -> None:
    """Refuse a file that ends before the length in its header."""
    # An AVI repeats a picture with an empty chunk, which counts but is no packet.
    count = max(scan.packets, scan.slots) if container.format.name == "avi" else scan.packets
    if scan.broken and count >= stated:
        raise VideoError(f"'{path}' is cut short: its last picture is not whole; copy it again")
    if count < stated:
        raise VideoError(
            f"'{path}' is cut short: {count} of {max(stated, count)} pictures are"
            " there; copy or export it again"
        )
    if not container.format.name.startswith("matroska") or not container.duration:
        return
    stated_end = Fraction(container.duration, av.time_base)
    if scan.end < stated_end - max(Fraction(1, 2), stated_end / 100):
        raise VideoError(
            f"'{path}' is cut short: it ends at {float(scan.end):.1f} of"
            f" {float(stated_end):.1f} s; copy or export it again"
        )


def _check_still(path: Path, container: Any) -> None:
    """Refuse a tiled photograph: phones write HEIC tiles as separate streams."""
    streams = container.streams.video
    is_still = container.metadata.get("major_brand") in _STILL_BRANDS
    if is_still and len(streams) > 1 and all(stream.frames == 1 for stream in streams):
        raise VideoError(
            f"'{path}' is a photograph in parts (tiles or transparency, as in HEIC and AVIF), which"
            " are not put together here; save it as PNG or JPEG first"
        )


def _display_matrix(frame: Any) -> tuple[int, ...] | None:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return tuple(int(value) for value in np.frombuffer(data, np.int32)[:9])
    return None


def _rotation(path: Path, matrix: tuple[int, ...] | None, frame: Any) -> int:
    """Read the clockwise rotation for display in degrees; refuse mirrored and skewed pictures."""
    if matrix is None:
        return 0
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    angle = round(-float(frame.rotation)) % 360
    if a * d - b * c <= 0 or angle % 90:
        raise VideoError(
            f"'{path}' is to be shown mirrored or slanted, which is not supported; export it again"
            " with the turn applied"
        )
    return angle
