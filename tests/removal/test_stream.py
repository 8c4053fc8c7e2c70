"""Streams of frames: the same samples as from a file, with a bounded delay."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.errors import DecodeError, MaskError, VideoError
from cleanplate.masks import BoxMask, FolderMask, TimedBox
from cleanplate.options import RemoveOptions
from cleanplate.removal import stream
from cleanplate.removal.engine import Span
from cleanplate.removal.stream import count_held, filter_stream
from cleanplate.types import Size
from cleanplate.video import open_reader
from cleanplate.video.y4m import StreamReader, StreamWriter

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = RemoveOptions(method="flow", threads=1)
BOX = "20,12,16,12"
HEADER = b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n"
FRAME = 64 * 48 * 3 // 2


@pytest.fixture
def source(pan, tmp_path: Path) -> Path:
    """A y4m file of 16 frames: the camera pans."""
    path = tmp_path / "a.y4m"
    content = HEADER
    for frame in pan(16, (64, 48), (2, 0)):
        content += b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes()
    path.write_bytes(content)
    return path


def boxes(text: str = BOX) -> BoxMask:
    return BoxMask([TimedBox.parse(text)])


def run(content: bytes, masks=None, options: RemoveOptions = OPTIONS, frames=None) -> bytes:
    target = io.BytesIO()
    filter_stream(io.BytesIO(content), target, masks or boxes(), options, frames)
    return target.getvalue()


def split(content: bytes) -> list[bytes]:
    """The frames of a stream."""
    size = FRAME + 6
    return [content[at : at + size] for at in range(len(HEADER), len(content), size)]


def test_a_stream_equals_remove_on_frames(source, tmp_path):
    made = run(source.read_bytes())
    cleanplate.remove(source, tmp_path / "b.mkv", box=BOX, lossless=True, method="flow", threads=1)
    (tmp_path / "b.y4m").write_bytes(made)
    with open_reader(tmp_path / "b.y4m") as one, open_reader(tmp_path / "b.mkv") as other:
        pairs = list(zip(one, other, strict=True))
    assert len(pairs) == 16
    for mine, theirs in pairs:
        assert np.array_equal(mine.rgb, theirs.rgb)
    assert made[: len(HEADER)] == HEADER
    assert made != source.read_bytes()


def test_times_of_boxes_are_those_of_the_stream(source):
    before = source.read_bytes()
    made = run(before, boxes(f"{BOX}@0.2-0.4"), RemoveOptions(method="flow", exact_mask=True))
    pairs = zip(split(made), split(before), strict=True)
    assert [number for number, (one, other) in enumerate(pairs) if one != other] == [5, 6, 7, 8, 9]


def test_frames_come_out_before_all_are_in(source, monkeypatch):
    monkeypatch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(4, 2)))
    monkeypatch.setattr(stream, "count_held", lambda size: 4)
    content, written = source.read_bytes(), []

    class Watched(io.BytesIO):
        def readline(self, limit: int | None = -1) -> bytes:
            written.append((len(target.getvalue()) - len(HEADER)) // (FRAME + 6))
            return super().readline(limit)

    target = io.BytesIO()
    filter_stream(Watched(content), target, boxes(), OPTIONS)
    # Before frame n is read, all but the parts of four that are held and filled are written.
    held = [number - count for number, count in enumerate(written[1:])]
    assert max(held) <= 4 + 4 + 2
    assert len(target.getvalue()) == len(content)


def test_held_frames_fit_in_memory():
    assert count_held(Size(640, 360)) == 250
    assert count_held(Size(1920, 1080)) == 96
    assert count_held(Size(7680, 4320)) == 32


@pytest.mark.parametrize(
    ("layout", "planes"),
    [
        ("420mpeg2", (1, 0.25, 0.25)), ("422", (1, 0.5, 0.5)), ("444", (1, 1, 1)),
        ("mono", (1,)), ("420p10", (2, 0.5, 0.5)),
    ],
)  # fmt: skip
def test_samples_pass_unchanged(layout, planes):
    rng = np.random.default_rng(1)
    header = f"YUV4MPEG2 W16 H12 F30000:1001 C{layout}\n".encode()
    deep = layout.endswith("p10")
    count = int(16 * 12 * sum(planes)) // (2 if deep else 1)
    values = rng.integers(0, 1024, count, np.uint16) if deep else rng.integers(16, 236, count)
    frame = b"FRAME Ip\n" + values.astype(np.uint16 if deep else np.uint8).tobytes()
    reader = StreamReader(io.BytesIO(header + 2 * frame))
    target = io.BytesIO()
    writer = StreamWriter(target, reader)
    nothing = np.zeros((12, 16), np.bool_)
    for picture in reader:
        writer.write(picture, picture.rgb, nothing)
    assert target.getvalue() == header + 2 * frame.replace(b"FRAME Ip", b"FRAME")
    assert float(picture.time) == pytest.approx(1001 / 30000)


def test_a_stream_that_ends_early_is_written_as_far_as_it_came(source):
    content = source.read_bytes()
    target = io.BytesIO()
    with pytest.raises(DecodeError, match="the stream ends in the middle of frame 15; what writes"):
        filter_stream(io.BytesIO(content[:-7]), target, boxes(), OPTIONS)
    assert len(target.getvalue()) == len(HEADER) + 15 * (FRAME + 6)
    with pytest.raises(DecodeError, match="the stream is damaged before frame 1"):
        run(HEADER + b"FRAME\n" + bytes(FRAME) + b"noise")


def test_masks_and_stream_must_have_as_many_frames(source, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in range(17):
        mask = np.zeros((48, 64), np.uint8)
        mask[12:24, 20:36] = 255
        cv2.imwrite(str(folder / f"{number:02d}.png"), mask)
    with pytest.raises(DecodeError, match="ended after 16 of 17 frames, which the masks have"):
        run(source.read_bytes(), FolderMask(folder), frames=17)
    (folder / "16.png").unlink()
    assert run(source.read_bytes(), FolderMask(folder), frames=16) == run(source.read_bytes())
    (folder / "15.png").unlink()
    with pytest.raises(MaskError, match="holds 15 masks but the video continues to frame 16"):
        run(source.read_bytes(), FolderMask(folder), frames=15)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "nothing arrived on the standard input; pipe y4m into it, as ffmpeg -i"),
        (b"\x1aE\xdf\xa3", "this is no y4m on the standard input"),
        (b"YUV4MPEG2 W64 F25:1\n", "the header of the stream is damaged: 'YUV4MPEG2 W64 F25:1'"),
        (b"YUV4MPEG2 W64 H48 F25:0\n", "the header of the stream is damaged"),
        (b"YUV4MPEG2 W64 H48 F25:1 C410\n", "C410, which is not supported; add -pix_fmt yuv420p"),
        (b"YUV4MPEG2 W64 H48 F25:1 Im\n", "mixes interlaced and progressive frames; deinterlace"),
    ],
)
def test_what_is_no_stream_is_refused(content, says):
    with pytest.raises(VideoError, match=says):
        run(content)


def test_a_mask_of_everything_is_refused(source):
    with pytest.raises(MaskError, match="the mask covers every pixel of every frame"):
        run(source.read_bytes(), boxes("0,0,64,48"))
