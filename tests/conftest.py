"""Small clips, made here: arrays that move, and files with everything that real ones carry."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import hypothesis
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from .browser import Watch

NTSC = Fraction(30000, 1001)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--without NAME,…`: run as where these packages are not installed."""
    parser.addoption("--without", default="", help="packages that cannot be imported")


def pytest_configure(config: pytest.Config) -> None:
    """Let the commands that tests start hear Ctrl-C, also where the tests run in the background.

    A shell lets those ignore it, and who ignores a signal hands that on to what it starts.
    Hypothesis measures no time. OpenMP keeps to one thread, here and in what tests start: threads
    that spin while they wait take time from the tests that run beside them.
    """
    for name in filter(None, config.getoption("--without").split(",")):
        sys.modules[name] = None  # type: ignore[assignment]  # makes `import` and `find_spec` fail
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes says how busy the machine is, not whether the code is right.
    patient = hypothesis.settings(
        deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.register_profile("patient", patient)
    hypothesis.settings.load_profile("patient")


@dataclass
class Clip:
    """What `make_clip` is to write."""

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (64, 48)
    rate: Fraction = Fraction(25)
    time_base: Fraction | None = None
    pts: Sequence[int] | None = None
    frames: int = 8
    options: dict[str, str] = field(default_factory=dict)
    color: tuple[int, int, int, int] = (0, 2, 2, 2)
    """Range, matrix, primaries, transfer."""
    rotation: int | None = None
    mirror: bool = False
    aspect: Fraction | None = None
    fields: str = ""
    """tff or bff: interlaced; each picture is woven of two that are painted."""
    plain: Sequence[int] = ()
    """Numbers of pictures that are flagged as progressive all the same."""
    audio: Sequence[str] = ()
    """Languages of AAC tracks."""
    audio_codec: str = "aac"
    audio_options: dict[str, str] = field(default_factory=dict)
    subtitles: Sequence[str] = ()
    """Languages of text tracks."""
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    chapters: Sequence[tuple[int, int, str]] = ()
    attachment: bytes = b""
    movflags: str = ""


def paint(index: int, size: tuple[int, int]) -> np.ndarray:
    """A coloured picture with structure that moves, uint8 `(h, w, 3)`."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    planes = (x * 4 + index * 5, y * 5 + index * 3, (x + y) * 2 + 40 * ((x // 8 + y // 8) % 2))
    return np.ascontiguousarray((np.stack(planes, -1) % 256).astype(np.uint8))


def write_clip(path: Path, clip: Clip) -> Path:
    options = {"movflags": clip.movflags} if clip.movflags else {}
    with av.open(f"file:{path}", "w", container_options=options) as out:
        out.metadata.update(clip.metadata)
        video = _add_video(out, clip)
        audio = [_add_audio(out, clip, language) for language in clip.audio]
        texts = [_add_text(out, path, language) for language in clip.subtitles]
        if clip.attachment:
            out.add_attachment("font.ttf", "font/ttf", clip.attachment)
        if clip.chapters:
            out.set_chapters(
                [
                    {
                        "id": number,
                        "start": start,
                        "end": end,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for number, (start, end, title) in enumerate(clip.chapters)
                ]
            )
        times = _encode_pictures(out, video, clip)
        seconds = float(max(times) * video.codec_context.time_base) + 0.1
        for number, stream in enumerate(audio):
            _encode_sound(out, stream, seconds, 300 * (number + 1))
        for stream in texts:
            _write_texts(out, stream, path)
    return path


def _add_video(out: Any, clip: Clip) -> Any:
    stream = out.add_stream(clip.codec, rate=clip.rate, options=clip.options)
    context = stream.codec_context
    context.width, context.height = clip.size
    context.pix_fmt = clip.pixel_format
    context.time_base = stream.time_base = clip.time_base or 1 / clip.rate
    context.color_range, context.colorspace, context.color_primaries, context.color_trc = clip.color
    if clip.fields:
        context.flags |= av.codec.context.Flags.interlaced_dct
        context.field_order = {"tff": 2, "bff": 3}[clip.fields]
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    if clip.rotation is not None:
        stream.set_display_rotation(clip.rotation, hflip=clip.mirror)
    stream.metadata.update(clip.video_metadata)
    return stream


def _add_audio(out: Any, clip: Clip, language: str) -> Any:
    stream = out.add_stream(clip.audio_codec, rate=48000, options=clip.audio_options)
    stream.metadata["language"] = language
    return stream


def _add_text(out: Any, path: Path, language: str) -> Any:
    codec = "mov_text" if path.suffix == ".mp4" else "subrip"
    stream = out.add_mux_stream(codec, time_base=Fraction(1, 1000))
    stream.metadata["language"] = language
    return stream


def _encode_pictures(out: Any, stream: Any, clip: Clip) -> list[int]:
    times = list(clip.pts) if clip.pts is not None else list(range(clip.frames))
    if clip.pts is None and clip.time_base is not None:
        times = [round(k / clip.rate / clip.time_base) for k in times]
    full = clip.color[0] == 2 or clip.pixel_format.startswith("yuvj")
    for index, pts in enumerate(times):
        rgb = _mark(
            av.VideoFrame.from_ndarray(_draw(index, clip), "rgb24"),
            "" if index in clip.plain else clip.fields,
        )
        frame = VideoReformatter().reformat(
            rgb, format=clip.pixel_format, dst_colorspace=1, dst_color_range=2 if full else 1
        )
        frame.pts, frame.time_base = pts, clip.time_base or 1 / clip.rate
        frame.pict_type = 0
        frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc = clip.color
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
    return times


def _draw(index: int, clip: Clip) -> np.ndarray:
    if not clip.fields:
        return paint(index, clip.size)
    earlier, later = paint(2 * index, clip.size), paint(2 * index + 1, clip.size)
    upper, lower = (earlier, later) if clip.fields == "tff" else (later, earlier)
    woven = upper.copy()
    woven[1::2] = lower[1::2]
    return woven


def _mark(frame: Any, fields: str) -> Any:
    """The frame marked as interlaced, so that conversion and encoder take it so."""
    if not fields:
        return frame
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format="rgb24", time_base=Fraction(1, 25)
    )
    mark, sink = graph.add("setfield", f"mode={fields}"), graph.add("buffersink")
    source.link_to(mark)
    mark.link_to(sink)
    graph.configure()
    graph.push(frame)
    return graph.pull()


def _encode_sound(out: Any, stream: Any, seconds: float, hertz: int) -> None:
    for start in range(0, int(seconds * 48000), 1024):
        wave = np.sin(2 * np.pi * hertz * np.arange(start, start + 1024) / 48000) * 0.3
        samples = np.stack([wave, wave]).astype(np.float32)
        if stream.codec_context.format.name != "fltp":
            samples = (samples.T.reshape(1, -1) * 32767).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(
            samples, format=stream.codec_context.format.name, layout="stereo"
        )
        sound.sample_rate, sound.pts, sound.time_base = 48000, start, Fraction(1, 48000)
        out.mux(stream.encode(sound))
    out.mux(stream.encode(None))


def _write_texts(out: Any, stream: Any, path: Path) -> None:
    for number in range(2):
        text = f"line {number}".encode()
        if path.suffix == ".mp4":
            text = len(text).to_bytes(2, "big") + text
        packet = av.Packet(text)
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = number * 120
        packet.duration = 100
        out.mux(packet)


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """`make_clip(name, **fields of Clip) -> Path`."""

    def make(name: str = "source.mp4", **fields: Any) -> Path:
        return write_clip(tmp_path / name, Clip(**fields))

    return make


@pytest.fixture
def packets() -> Callable[..., list[list[tuple[bytes, Fraction]]]]:
    """All packets (payload, time) of each stream of a kind: `packets(path, "audio")`."""

    def read(path: Path, kind: str) -> list[list[tuple[bytes, Fraction]]]:
        with av.open(f"file:{path}") as container:
            found: dict[int, list[tuple[bytes, Fraction]]] = {
                stream.index: [] for stream in container.streams if stream.type == kind
            }
            for packet in container.demux():
                if packet.size and packet.stream.index in found:
                    at = packet.pts * packet.time_base
                    found[packet.stream.index].append((bytes(packet), at))
        return list(found.values())

    return read


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., Path]:
    """`images(names, size) -> folder` of painted pictures."""
    import cv2

    def make(
        names: Sequence[str] = ("1.png", "2.png", "10.png"),
        size: tuple[int, int] = (20, 16),
        folder: str = "frames",
    ) -> Path:
        target = tmp_path / folder
        target.mkdir(exist_ok=True)
        for index, name in enumerate(names):
            assert cv2.imwrite(str(target / name), paint(index, size)[..., ::-1])
        return target

    return make


@pytest.fixture
def painted() -> Callable[[int, tuple[int, int]], np.ndarray]:
    """The pictures that clips and folders are made of."""
    return paint


@pytest.fixture
def pan() -> Callable[..., np.ndarray]:
    """`pan(frames, size, step, seed) -> uint8 (t, h, w, 3)`: a camera moving over a texture.

    What is at p in one frame is at p - step in the next.
    """
    import cv2

    def make(
        frames: int = 12,
        size: tuple[int, int] = (96, 64),
        step: tuple[float, float] = (3, 0),
        seed: int = 0,
    ) -> np.ndarray:
        width, height = size
        reach = (np.abs(step) * frames).astype(int) + 2
        shape = (height + 2 * reach[1], width + 2 * reach[0], 3)
        noise = np.random.default_rng(seed).random(shape).astype(np.float32)
        texture = cv2.GaussianBlur(noise, (0, 0), 1.6)
        texture = (texture - texture.min()) / np.ptp(texture) * 255
        views = []
        for t in range(frames):
            x, y = (reach[k] + t * step[k] for k in (0, 1))
            shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
            view = cv2.warpAffine(
                texture, shift, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            )
            views.append(np.rint(view).clip(0, 255).astype(np.uint8))
        return np.stack(views)

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: tests run beside each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once; `browser.new_page(…)` opens a page."""
    from .browser import open_browser

    with open_browser() as started:
        yield started


@pytest.fixture
def watch() -> Callable[[Page], Watch]:
    """`watch(page)` notes the requests of a page and the errors on its console."""
    from .browser import watch

    return watch
