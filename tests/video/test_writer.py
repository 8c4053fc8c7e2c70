"""Writing: what stays equal, what is kept, and that nothing half done is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from tests.patience import PATIENCE

from cleanplate.errors import DecodeError, EncodeError, OutputError
from cleanplate.video import open_reader, open_writer, probe
from cleanplate.video.colour import repack, samples, whole_blocks
from cleanplate.video.info import find_format

NTSC = Fraction(30000, 1001)
SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def mark(shape):
    """A touched region with odd edges."""
    touched = np.zeros(shape, np.bool_)
    touched[5:22, 7:30] = True
    return touched


def rewrite(source, target, *, pictures=None, **options):
    """Turn the marked region of the first `pictures` (None: all) to its negative."""
    info = probe(source)
    with open_reader(source, info) as reader, open_writer(target, info, **options) as writer:
        for picture in islice(reader, pictures):
            writer.write(picture, 255 - picture.rgb, mark(info.size.shape))
    return info


def planar(picture, info):
    """All sample planes as the encoder was given them (nv12, yuvj and grey as planar YUV)."""
    layout = info.format
    if layout.family == "rgb":
        return [picture.rgb], [(0, 0)]
    frame = repack(picture.planes, layout, layout.planar_name)
    target = find_format(layout.planar_name)
    planes = samples(frame, target)
    return planes, [target.shift(index) for index in range(len(planes))]


EXACT = [
    ("a.mp4", {}),
    ("a.mkv", {"color": (1, 1, 1, 1)}),
    ("a.mp4", {"color": (2, 5, 5, 6)}),
    ("a.mp4", {"pixel_format": "yuvj420p"}),
    ("a.mp4", {"pixel_format": "yuv422p"}),
    ("a.mp4", {"pixel_format": "yuv444p", "size": (65, 49)}),
    ("a.mp4", {"pixel_format": "yuv420p10le", "color": (1, 9, 9, 16)}),
    ("a.mkv", {"pixel_format": "yuv422p10le"}),
    ("a.nut", {"codec": "rawvideo", "pixel_format": "nv12"}),
    ("a.mkv", {"codec": "ffv1", "pixel_format": "gray"}),
    ("a.mkv", {"codec": "ffv1", "pixel_format": "yuv420p12le"}),
    ("a.mkv", {"codec": "ffv1", "pixel_format": "bgr0"}),
    ("a.mp4", {"codec": "libx264rgb", "pixel_format": "bgr24", "size": (65, 49)}),
    ("a.mp4", {"codec": "libvpx-vp9", "size": (65, 49), "options": {"cpu-used": "8"}}),
    ("a.mkv", {"codec": "ffv1", "pixel_format": "yuv420p10le", "size": (65, 49)}),
    ("a.nut", {"codec": "rawvideo", "pixel_format": "nv12", "size": (63, 48)}),
]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("name", "fields"), EXACT)
def test_lossless_keeps_every_untouched_sample(make_clip, tmp_path, name, fields, suffix):
    source, target = make_clip(name, frames=3, **fields), tmp_path / f"out{suffix}"
    info = rewrite(source, target, lossless=True)
    result = probe(target)
    assert result.size == info.size
    assert (result.bit_depth, result.frame_count) == (info.bit_depth, 3)
    touched = mark(info.size.shape)
    with open_reader(source, info) as before, open_reader(target) as after:
        for old, new in zip(before, after, strict=True):
            pairs = zip(planar(old, info)[0], *planar(new, result), strict=True)
            for own, made, shift in pairs:
                kept = ~whole_blocks(touched, *shift)
                np.testing.assert_array_equal(own[kept], made[kept])
            inside = touched.copy()
            inside[:7] = inside[:, :9] = inside[20:] = inside[:, 28:] = False
            if info.format.family != "gray":
                difference = np.abs(new.rgb.astype(int) - (255 - old.rgb))[inside].mean()
                assert difference < 30


@pytest.mark.parametrize(("name", "fields"), EXACT)
def test_default_quality_is_close(make_clip, tmp_path, name, fields):
    source, target = make_clip(name, frames=3, **fields), tmp_path / "out.mp4"
    info = rewrite(source, target)
    result = probe(target)
    assert (result.size, result.bit_depth) == (info.size, info.bit_depth)
    assert result.is_full_range == info.is_full_range
    touched = mark(info.size.shape)
    with open_reader(source, info) as before, open_reader(target) as after:
        for old, new in zip(before, after, strict=True):
            own, made = planar(old, info)[0][0], planar(new, result)[0][0]
            difference = np.abs(own.astype(int) - made)[~touched].mean()
            assert difference < (6 << (info.bit_depth - 8))


@pytest.mark.parametrize("color", [(1, 1, 1, 1), (2, 5, 5, 6), (1, 9, 9, 16), (0, 2, 2, 2)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_colour_tags_are_kept(make_clip, tmp_path, suffix, color):
    info = rewrite(make_clip(frames=2, color=color), tmp_path / f"out{suffix}")
    result = probe(tmp_path / f"out{suffix}")
    for tag in ("color_matrix", "color_primaries", "color_transfer", "is_full_range"):
        assert getattr(result, tag) == getattr(info, tag)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("turn", [-90, 90, 180])
def test_variable_rate_turned_by_the_container(make_clip, tmp_path, suffix, turn):
    pts = [0, 40, 80, 200, 240, 700, 701]
    source = make_clip("vfr" + suffix, time_base=Fraction(1, 1000), pts=pts, rotation=turn)
    target = tmp_path / f"out{suffix}"
    info = rewrite(source, target)
    result = probe(target)
    assert result.rotation == info.rotation
    assert result.display_matrix == info.display_matrix
    with open_reader(target) as reader:
        assert [picture.time for picture in reader] == [Fraction(p, 1000) for p in pts]


def test_ntsc_odd_size_with_two_sounds(make_clip, tmp_path, packets):
    source = make_clip(
        codec="libvpx-vp9", size=(65, 49), rate=NTSC, frames=12, audio=("eng", "deu")
    )
    target = tmp_path / "out.mp4"
    info = rewrite(source, target)
    result = probe(target)
    assert (result.rate, result.size, result.frame_count) == (NTSC, info.size, 12)
    with open_reader(source) as before, open_reader(target) as after:
        times = [[picture.time for picture in reader] for reader in (before, after)]
    assert times[0] == times[1] == [k / NTSC for k in range(12)]
    old, new = packets(source, "audio"), packets(target, "audio")
    assert len(old) == 2
    assert old == new
    with av.open(str(target)) as container:
        assert [stream.language for stream in container.streams.audio] == ["eng", "deu"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_everything_beside_the_pictures(make_clip, tmp_path, packets, suffix):
    source = make_clip(
        "a" + suffix,
        frames=20,
        audio=("eng",),
        subtitles=("eng", "fra"),
        metadata={"title": "A ü film", "comment": "kept"},
        video_metadata={"language": "jpn"},
        chapters=[(0, 300, "one"), (300, 800, "two")],
        aspect=Fraction(4, 3),
    )
    target = tmp_path / f"out{suffix}"
    rewrite(source, target)
    assert packets(source, "audio") == packets(target, "audio")
    assert packets(source, "subtitle") == packets(target, "subtitle")
    with av.open(str(source)) as old, av.open(str(target)) as new:
        tags = {key.lower(): value for key, value in new.metadata.items()}
        assert (tags["title"], tags["comment"]) == ("A ü film", "kept")
        assert [stream.language for stream in new.streams][:4] == ["jpn", "eng", "eng", "fra"]
        assert [s.disposition for s in new.streams][:4] == [s.disposition for s in old.streams][:4]
        titles = [chapter["metadata"]["title"] for chapter in new.chapters()]
        assert titles == ["one", "two"]
        assert [c["start"] * c["time_base"] for c in new.chapters()] == [0, Fraction(3, 10)]
        assert new.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_attached_files_stay_in_matroska(make_clip, tmp_path):
    source = make_clip("a.mkv", frames=2, attachment=b"a font")
    rewrite(source, tmp_path / "out.mkv")
    rewrite(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mkv")) as container:
        (attachment,) = container.streams.attachments
        assert attachment.data == b"a font"
        assert attachment.metadata["filename"] == "font.ttf"


def test_sound_is_interleaved(make_clip, tmp_path):
    """While pictures are written the sound beside them is, too: not all of it at the end."""
    target = tmp_path / "out.mkv"
    rewrite(make_clip("a.mkv", frames=120, audio=("eng",), options={"preset": "veryfast"}), target)
    with av.open(str(target)) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    assert "audio" in kinds[:10]
    assert max(len(run) for run in "".join(kind[0] for kind in kinds).split("v")) < 10


def test_transport_stream_becomes_a_file_that_starts_at_zero(make_clip, tmp_path, packets):
    source, target = make_clip("a.ts", audio=("eng",), audio_codec="ac3"), tmp_path / "out.mp4"
    info = rewrite(source, target)
    old, new = packets(source, "audio")[0], packets(target, "audio")[0]
    assert [payload for payload, _ in old] == [payload for payload, _ in new]
    for (_, before), (_, after) in zip(old, new, strict=True):
        assert abs(before - info.start - after) < Fraction(1, 10000)


def test_a_picture_that_is_not_touched_is_not_converted(make_clip, tmp_path, monkeypatch):
    monkeypatch.setattr("cleanplate.video.colour.Converter.from_rgb", None)
    source = make_clip(frames=2)
    info = probe(source)
    with open_reader(source) as reader, open_writer(tmp_path / "o.mp4", info) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros(info.size.shape, np.bool_))
    assert probe(tmp_path / "o.mp4").frame_count == 2


def test_images_to_images(images, tmp_path):
    source, target = images(["b.png", "a7.bmp", "a10.png"], size=(40, 33)), tmp_path / "out"
    rewrite(source, target)
    assert sorted(file.name for file in target.iterdir()) == ["a10.png", "a7.png", "b.png"]
    touched = mark((33, 40))[..., None]
    with open_reader(source) as before, open_reader(target) as after:
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(new.rgb, np.where(touched, 255 - old.rgb, old.rgb))


@pytest.mark.parametrize("size", [(40, 32), (41, 33)])
def test_images_to_video(images, tmp_path, size):
    source = images(size=size)
    rewrite(source, tmp_path / "out.mp4")
    result = probe(tmp_path / "out.mp4")
    assert (result.size.width, result.size.height) == size
    assert (result.rate, result.frame_count, result.pixel_format) == (24, 3, "yuv420p")
    assert (result.color_matrix, result.color_range) == (1, 1)
    rewrite(source, tmp_path / "exact.mkv", lossless=True)
    with open_reader(source) as before, open_reader(tmp_path / "exact.mkv") as after:
        for old, new in zip(before, after, strict=True):
            touched = mark(old.rgb.shape[:2])[..., None]
            np.testing.assert_array_equal(new.rgb, np.where(touched, 255 - old.rgb, old.rgb))


def test_video_to_images(make_clip, tmp_path):
    source = make_clip(frames=3)
    rewrite(source, tmp_path / "out")
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [
        f"{k:05d}.png" for k in range(3)
    ]
    with open_reader(source) as before, open_reader(tmp_path / "out") as after:
        for old, new in zip(before, after, strict=True):
            untouched = ~mark(old.rgb.shape[:2])
            np.testing.assert_array_equal(new.rgb[untouched], old.rgb[untouched])


def test_webm(make_clip, tmp_path):
    rewrite(make_clip(frames=2), tmp_path / "out.webm")
    assert probe(tmp_path / "out.webm").codec == "vp9"


def leftovers(folder):
    return [name for name in os.listdir(folder) if "cleanplate" in name or name.startswith("out")]


def test_refused_before_the_work(make_clip, tmp_path):
    source = make_clip(frames=2)
    info = probe(source)
    (tmp_path / "taken.mp4").write_text("x")
    (tmp_path / "dir.mp4").mkdir()
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    for name, options, message in (
        ("taken.mp4", {}, "`overwrite=True`"),
        ("source.mp4", {"overwrite": True}, "would replace"),
        ("link.mp4", {"overwrite": True}, "would replace"),
        ("dir.mp4", {"overwrite": True}, "is a folder"),
        ("none/out.mp4", {}, "does not exist"),
        ("out.avi", {}, "unknown suffix"),
        ("out.mp4", {"crf": 99}, "0 to 51"),
        ("out.mp4", {"crf": 5, "lossless": True}, "not used together"),
    ):
        with pytest.raises(OutputError, match=message):
            open_writer(tmp_path / name, info, **options)
    assert leftovers(tmp_path) == []
    assert (tmp_path / "taken.mp4").read_text() == "x"


def test_folders_with_other_things_are_not_replaced(images, tmp_path):
    source = images()
    info = probe(source)
    target = tmp_path / "out"
    target.mkdir()
    rewrite(source, target)
    with pytest.raises(OutputError, match="`overwrite=True`"):
        open_writer(target, info)
    rewrite(source, target, overwrite=True)
    (target / "diary.txt").write_text("dear")
    with pytest.raises(OutputError, match="files other than images"):
        open_writer(target, info, overwrite=True)
    with pytest.raises(OutputError, match="would replace"):
        open_writer(source, info, overwrite=True)
    assert (target / "diary.txt").exists()
    assert len(leftovers(tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "target", "fields", "words"),
    [
        ("a.mkv", "out.mp4", {"subtitles": ("eng",)}, "subtitle, srt"),
        ("a.mp4", "out.mkv", {"subtitles": ("eng",)}, "subtitle, mov_text"),
        ("a.mp4", "out.webm", {"audio": ("eng",)}, "audio, aac"),
        ("a.mkv", "out.mov", {"codec": "libvpx-vp9", "size": (65, 49)}, "odd size"),
        ("a.mkv", "out.webm", {"pixel_format": "yuv420p10le"}, "10-bit"),
    ],
)
def test_what_a_container_cannot_hold(make_clip, tmp_path, name, target, fields, words):
    info = probe(make_clip(name, frames=2, **fields))
    with pytest.raises(OutputError, match=words) as caught:
        open_writer(tmp_path / target, info)
    assert "use ." in str(caught.value)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out"])
def test_nothing_is_left_after_an_error(make_clip, tmp_path, target, error):
    source = make_clip(frames=40, audio=("eng",))
    info = probe(source)

    def work():
        with open_reader(source) as reader, open_writer(tmp_path / target, info) as writer:
            for picture in reader:
                writer.write(picture, picture.rgb, mark(info.size.shape))
                if picture.index == 20:
                    raise error

    with pytest.raises(error):
        work()
    assert leftovers(tmp_path) == []


def test_an_old_result_survives_an_error(make_clip, tmp_path):
    source, target = make_clip(frames=2), tmp_path / "out.mp4"
    target.write_text("old")
    info = probe(source)
    with pytest.raises(ValueError, match="stop"), open_writer(target, info, overwrite=True):
        raise ValueError("stop")
    assert target.read_text() == "old"
    rewrite(source, target, overwrite=True)
    assert probe(target).frame_count == 2


def test_wrong_shapes_are_told(make_clip, tmp_path):
    source = make_clip(frames=2)
    info = probe(source)
    touched = np.zeros(info.size.shape, np.bool_)

    def work(rgb, touched):
        with open_reader(source) as reader, open_writer(tmp_path / "out.mp4", info) as writer:
            writer.write(next(iter(reader)), rgb, touched)

    for arguments in (
        (np.zeros((4, 4, 3), np.uint8), touched),
        (np.zeros((48, 64, 3), np.uint8), touched.astype(np.uint8)),
    ):
        with pytest.raises(ValueError, match="must be"):
            work(*arguments)
    assert leftovers(tmp_path) == []


FULL_DISK = """
import resource, sys, threading
import numpy as np
from cleanplate.errors import EncodeError
from cleanplate.video import open_reader, open_writer, probe
source, target, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
info = probe(source)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with open_reader(source, info) as reader, open_writer(target, info, crf=0) as writer:
        for picture in reader:
            generator = np.random.default_rng(picture.index)
            noise = generator.integers(0, 256, picture.rgb.shape, np.uint8)
            writer.write(picture, noise, np.ones(info.size.shape, np.bool_))
except EncodeError as error:
    print(error)
print(threading.active_count())
"""


@pytest.mark.parametrize(
    ("target", "limit"), [("out.mp4", 60_000), ("out.mkv", 500), ("out.mkv", 60_000), ("out", 3000)]
)
def test_a_disk_that_is_full(make_clip, tmp_path, target, limit):
    source = make_clip(frames=40, size=(128, 96), options={"preset": "ultrafast"})
    command = [sys.executable, "-c", FULL_DISK, str(source), str(tmp_path / target), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done
    assert "could not be written" in lines[0]
    assert lines[1] == "1"
    assert leftovers(tmp_path) == []


def test_an_encoder_that_fails(make_clip, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cleanplate.video.video_file.VideoFile.write", fail)
    source = make_clip(frames=30)
    with pytest.raises(EncodeError, match="No space left on device; free some space"):
        rewrite(source, tmp_path / "out.mp4")
    assert leftovers(tmp_path) == []


def test_a_source_that_breaks_leaves_nothing(make_clip, tmp_path):
    source = make_clip(frames=60, options={"g": "20", "crf": "1"}, movflags="faststart")
    data = bytearray(source.read_bytes())
    info = probe(source)
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    source.write_bytes(data)

    def work():
        with open_reader(source, info) as reader, open_writer(tmp_path / "out.mp4", info) as writer:
            for picture in reader:
                writer.write(picture, picture.rgb, mark(info.size.shape))

    with pytest.raises(DecodeError):
        work()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "100%d.mp4", "-o.mkv", "ünï x.mkv", "x" * 250 + ".mp4"]
)
def test_odd_output_names(make_clip, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rewrite(make_clip(frames=2), name)
    assert probe(tmp_path / name).frame_count == 2


@pytest.mark.skipif(not SHARED.exists(), reason="no footage beside the checkout")
def test_real_clip(tmp_path):
    source = sorted((SHARED / "data/train/clips").glob("*.mp4"))[0]
    info = rewrite(source, tmp_path / "out.mp4", pictures=8, lossless=True)
    kept = ~mark(info.size.shape)
    with open_reader(source) as before, open_reader(tmp_path / "out.mp4") as after:
        for old, new in zip(islice(before, 8), after, strict=True):
            own, made = planar(old, info)[0][0], planar(new, info)[0][0]
            np.testing.assert_array_equal(own[kept], made[kept])
