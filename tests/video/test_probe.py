"""What `probe` says of clips, and what it refuses."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cleanplate.errors import VideoError
from cleanplate.types import Size
from cleanplate.video import probe

NTSC = Fraction(30000, 1001)
SHARED = Path(__file__).resolve().parents[3] / "shared"


def test_facts_of_a_video(make_clip):
    path = make_clip(
        rate=NTSC,
        frames=12,
        color=(1, 1, 1, 1),
        aspect=Fraction(4, 3),
        audio=("eng", "deu"),
        subtitles=("eng",),
    )
    info = probe(path)
    assert (info.kind, info.size, info.display_size) == ("video", Size(64, 48), Size(64, 48))
    assert (info.rate, info.frame_count, info.rotation) == (NTSC, 12, 0)
    assert info.duration == 12 / NTSC
    assert (info.pixel_format, info.bit_depth, info.codec) == ("yuv420p", 8, "h264")
    assert (info.color_range, info.color_matrix) == (1, 1)
    assert (info.color_primaries, info.color_transfer) == (1, 1)
    assert info.sample_aspect_ratio == Fraction(4, 3)
    assert (info.audio_streams, info.subtitle_streams) == (2, 1)
    assert not info.is_variable_rate
    assert not info.is_full_range


@pytest.mark.parametrize(("turn", "clockwise"), [(-90, 90), (90, 270), (180, 180)])
def test_rotation_is_clockwise_to_display(make_clip, turn, clockwise):
    """PyAV counts anticlockwise: a phone held upright writes -90, shown turned by 90 clockwise."""
    info = probe(make_clip(rotation=turn))
    assert info.rotation == clockwise
    assert info.display_size == (Size(48, 64) if turn != 180 else Size(64, 48))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate(make_clip, suffix):
    info = probe(
        make_clip("vfr" + suffix, time_base=Fraction(1, 1000), pts=[0, 40, 80, 200, 240, 300])
    )
    assert info.is_variable_rate
    assert info.frame_count == 6


@pytest.mark.parametrize("rate", [NTSC, Fraction(24000, 1001), Fraction(25)])
def test_rounded_timestamps_are_no_variable_rate(make_clip, rate):
    assert not probe(make_clip("even.mkv", rate=rate)).is_variable_rate


@pytest.mark.parametrize("movflags", ["frag_keyframe+empty_moov", "faststart"])
def test_frame_count_of_other_layouts(make_clip, movflags):
    assert probe(make_clip(movflags=movflags, frames=9)).frame_count == 9


def test_transport_stream_starts_at_zero(make_clip):
    info = probe(make_clip("a.ts", audio=("eng",)))
    assert info.start > 0
    assert info.frame_count == 8


@pytest.mark.parametrize(
    "name",
    ["a:b.mp4", "http:..x.mp4", "100%03d.mp4", "-dash.mp4", "spa ce.mp4", "ünï.mp4", "a|b.mp4"],
)
def test_odd_names(make_clip, monkeypatch, name):
    path = make_clip(name)
    monkeypatch.chdir(path.parent)
    assert probe(name).frame_count == 8


def test_addresses_and_playlists_open_nothing_else(make_clip, tmp_path):
    clip = make_clip()
    for name in ("http://localhost:1/a.mp4", f"concat:{clip}", "pipe:0", f"subfile,,:{clip}"):
        with pytest.raises(VideoError, match=r"does not exist|only local files"):
            probe(name)
    for name, text in (
        ("list.m3u8", f"#EXTM3U\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", f"ffconcat version 1.0\nfile '{clip.name}'\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoError, match="is not a video"):
            probe(tmp_path / name)


def test_refuses_what_is_no_video(tmp_path, make_clip):
    with pytest.raises(VideoError, match="does not exist"):
        probe(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video at all " * 100)
    with pytest.raises(VideoError, match="is not a video"):
        probe(tmp_path / "text.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="empty file"):
        probe(tmp_path / "empty.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match="a named pipe, not a regular file"):
        probe(tmp_path / "pipe.mp4")


def test_refuses_sound_only(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp")
        sound.sample_rate, sound.pts = 48000, 0
        out.mux(stream.encode(sound))
        out.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        probe(tmp_path / "sound.mp4")


@pytest.mark.parametrize(
    ("name", "movflags", "keep"),
    [
        ("a.mp4", "", 0.3),
        ("a.mp4", "", 0.97),
        ("a.mp4", "faststart", 0.3),
        ("a.mp4", "faststart", 0.97),
        ("a.mkv", "", 0.3),
        ("a.mkv", "", 0.8),
        ("a.avi", "", 0.3),
        ("a.avi", "", 0.8),
    ],
)
def test_refuses_files_cut_short(make_clip, name, movflags, keep):
    sound = () if name == "a.avi" else ("eng",)
    path = make_clip(name, movflags=movflags, frames=100, audio=sound)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert "cut short" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [("ffv1", "yuva420p"), ("ffv1", "ya8"), ("qtrle", "argb"), ("ffv1", "yuv411p")],
)
def test_refuses_unsupported_formats(make_clip, codec, pixel_format):
    path = make_clip(
        "a.mov" if codec == "qtrle" else "a.mkv", codec=codec, pixel_format=pixel_format
    )
    with pytest.raises(VideoError, match="not supported"):
        probe(path)


def test_refuses_mirrored_display(make_clip):
    with pytest.raises(VideoError, match="mirrored"):
        probe(make_clip(rotation=90, mirror=True))


def test_folder_of_images(images):
    folder = images(["10.png", "2.jpg", "1.bmp", ".hidden.png"])
    (folder / "notes.txt").write_text("x")
    info = probe(folder, rate=Fraction(12))
    assert [file.name for file in info.files] == ["1.bmp", "2.jpg", "10.png"]
    assert (info.kind, info.size, info.frame_count) == ("images", Size(20, 16), 3)
    assert (info.rate, info.duration) == (12, Fraction(1, 4))
    assert probe(folder).rate == 24


def test_refuses_folders(images, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="holds no images"):
        probe(tmp_path / "empty")
    folder = images(["a.png", "b.jpg"])
    images(["c.jpg"], size=(22, 16))
    with pytest.raises(VideoError, match=r"'a.png' is 20x16 and 'c.jpg' is 22x16"):
        probe(folder)


@pytest.mark.skipif(not SHARED.exists(), reason="no footage beside the checkout")
def test_real_clips():
    for path in sorted((SHARED / "data/train/clips").glob("*.mp4"))[::40]:
        info = probe(path)
        assert info.frame_count > 0
        assert info.rate > 0


def test_an_avi_that_repeats_a_picture_by_an_empty_chunk_is_whole(make_clip):
    source = make_clip("a.avi", codec="mjpeg", pixel_format="yuvj420p", pts=[0, 1, 3, 4])
    with av.open(str(source)) as container:
        assert container.streams.video[0].frames == 5

    info = probe(source)

    assert (info.frame_count, info.duration) == (4, Fraction(5, 25))


def test_a_clock_that_jumps_back_is_refused(make_clip, tmp_path):
    source = make_clip("a.ts", frames=40)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(source.read_bytes() * 2)
    assert probe(source).frame_count == 40
    with pytest.raises(VideoError, match=r"jumps back by 1\.6 s after 1\.6 s .* parts one by one"):
        probe(joined)


@pytest.mark.parametrize("name", ["a.webm", "a.mkv"])
def test_transparent_webm_is_refused_whose_alpha_the_decoder_drops(make_clip, name):
    vp8 = {"codec": "libvpx", "pixel_format": "yuva420p", "options": {"auto-alt-ref": "0"}}
    with pytest.raises(VideoError, match="transparent in part"):
        probe(make_clip(name, **vp8, video_metadata={"alpha_mode": "1"}))
