"""What a writer says of an output that is not as its source."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

import pytest

from cleanplate.video import VideoInfo, open_writer, probe
from cleanplate.video.changes import describe_changes
from cleanplate.video.encoding import choose_encoding

FILLED = "filled areas are computed in 8 bits"


def open_and_leave(info: VideoInfo, target, **options):
    """The writer's notes and its coding; nothing is written."""
    writer = open_writer(target, info, **options)
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    return writer.notes, writer.coding


@pytest.mark.parametrize(
    ("name", "fields", "target", "words"),
    [
        ("a.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}, "out.mov",
         ["ProRes (4:2:2, 10 bits), the output H.264 (4:2:2, 10 bits): H.264 is written wherever"]),
        ("a.mov", {"codec": "prores_ks", "pixel_format": "yuv444p10le"}, "out.mov",
         ["ProRes (4:4:4, 12 bits), the output HEVC (4:4:4, 12 bits): H.264 holds at most"]),
        ("a.mov", {"codec": "dnxhd", "pixel_format": "yuv422p", "size": (256, 128),
                   "options": {"profile": "dnxhr_hq"}}, "out.mov",
         ["DNxHD/DNxHR (4:2:2, 8 bits), the output H.264"]),
        ("a.mp4", {"codec": "libsvtav1", "size": (128, 96)}, "out.mp4",
         ["AV1 (4:2:0, 8 bits), the output H.264"]),
        ("a.mpg", {"codec": "mpeg2video"}, "out.mp4", ["MPEG-2 (4:2:0, 8 bits), the output H.264"]),
        ("a.avi", {"codec": "mjpeg", "pixel_format": "yuvj422p"}, "out.mp4",
         ["Motion JPEG (4:2:2, 8 bits), the output H.264"]),
        ("a.webm", {"codec": "libvpx"}, "out.webm", ["VP8 (4:2:0, 8 bits), the output VP9"]),
        ("a.webm", {"codec": "libvpx-vp9"}, "out.mp4", ["VP9 (4:2:0, 8 bits), the output H.264"]),
        ("a.mp4", {}, "out.webm", ["H.264 (4:2:0, 8 bits), the output VP9 (4:2:0, 8 bits): WebM"]),
        ("a.mkv", {"codec": "mpeg4", "size": (65, 49)}, "out.mp4",
         ["the output VP9 (4:2:0, 8 bits): H.264 cannot hold this chroma in the odd size 65x49"]),
        ("a.mkv", {"codec": "libx264rgb", "pixel_format": "bgr24"}, "out.mkv", []),
        ("a.mkv", {"codec": "ffv1", "pixel_format": "gray"}, "out.mkv",
         ["FFV1 (grey, 8 bits), the output H.264 (4:2:0, 8 bits)"]),
        ("a.mp4", {}, "out.mp4", []),
        ("a.webm", {"codec": "libvpx-vp9"}, "out.webm", []),
        ("a.mp4", {"pixel_format": "yuv420p10le"}, "out.mp4", []),
    ],
)  # fmt: skip
def test_another_codec_is_said_with_the_reason(make_clip, tmp_path, name, fields, target, words):
    info = probe(make_clip(name, frames=4, **fields))
    notes, _ = open_and_leave(info, tmp_path / target)
    notes = [note for note in notes if FILLED not in note]
    assert len(notes) == len(words)
    for note, part in zip(notes, words, strict=True):
        assert part in note
        assert note.endswith("`lossless=True` writes it without loss")
    lossless, _ = open_and_leave(info, tmp_path / target, lossless=True)
    assert not any("`lossless=True`" in note for note in lossless)


def test_hevc_of_8_bits_and_deep_video_of_odd_size(make_clip):
    info = probe(make_clip(frames=1))
    cases = (
        (replace(info, codec="hevc"), "HEVC (4:2:0, 8 bits), the output H.264"),
        (
            replace(info, size=replace(info.size, width=65), pixel_format="yuv420p10le"),
            "FFV1 (4:2:0, 10 bits): H.264 cannot hold this chroma in the odd size 65x48, nor can"
            " VP9 here hold 10 bits",
        ),
    )
    for source, words in cases:
        encoding = choose_encoding(source, ".mkv")
        assert words in describe_changes(source, encoding, ".mkv", lossless=False)[0]


@pytest.mark.parametrize(("depth", "said"), [(8, False), (10, True), (12, True)])
def test_filled_areas_have_8_bits(make_clip, tmp_path, depth, said):
    end = f"{depth}le" if depth > 8 else ""
    source = make_clip("a.mkv", codec="ffv1", pixel_format=f"yuv420p{end}", frames=4)
    for target in ("out.mp4", "out.mkv"):
        notes, _ = open_and_leave(probe(source), tmp_path / target, lossless=True)
        assert any(FILLED in note and f"{depth} bits" in note for note in notes) == said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"color_primaries": 9, "color_transfer": 16}, "the source's colours are BT.2020 PQ"),
        ({"color_transfer": 18}, "the source's colours are HLG"),
        ({"color_primaries": 12}, "the source's colours are Display P3"),
        ({"sample_aspect_ratio": Fraction(64, 45)}, "64:45, .* look 64x48, the video 91x48"),
        ({"is_variable_rate": True}, "frame rate is variable, and PNGs have no times"),
        ({"audio_streams": 1}, "PNGs hold none: 1 audio track$"),
        ({"audio_streams": 1, "subtitle_streams": 2}, "1 audio and 2 subtitle tracks$"),
    ],
)
def test_pictures_say_what_they_lose(make_clip, tmp_path, change, words):
    info = probe(make_clip(frames=1))
    assert open_and_leave(info, tmp_path / "out")[0] == ()
    (note,), _ = open_and_leave(replace(info, **change), tmp_path / "out")
    assert re.search(words, note)


def test_images_that_become_a_video(images, tmp_path):
    info = probe(images())
    (note,), coding = open_and_leave(info, tmp_path / "out.mp4")
    assert note.startswith("the images are RGB, the output is H.264 (4:2:0, 8 bits)")
    assert coding == {
        "source": {"codec": "png", "pixel_format": "rgb24", "depth": 8},
        "written": {"codec": "h264", "pixel_format": "yuv420p", "depth": 8},
        "exact": False,
    }
    notes, coding = open_and_leave(info, tmp_path / "out.mkv", lossless=True)
    assert notes == ()
    assert coding["written"] == {"codec": "h264", "pixel_format": "bgr24", "depth": 8}
    assert coding["exact"]
    notes, coding = open_and_leave(info, tmp_path / "out")
    assert notes == ()
    assert coding["exact"]


def test_the_coding_of_a_folder(make_clip, tmp_path):
    info = probe(make_clip(frames=1, pixel_format="yuv420p10le"))
    assert open_and_leave(info, tmp_path / "out")[1] == {
        "source": {"codec": "h264", "pixel_format": "yuv420p10le", "depth": 10},
        "written": {"codec": "png", "pixel_format": "rgb48le", "depth": 16},
        "exact": False,
    }


@pytest.mark.parametrize(
    ("size", "aspect", "rotation", "shown"),
    [
        ((720, 576), Fraction(64, 45), 0, "1024x576"),
        ((720, 576), Fraction(64, 45), 90, "405x720"),
        ((1440, 1080), None, 0, "1440x1080"),
        ((704, 480), Fraction(10, 11), 180, "640x480"),
    ],
)
def test_the_size_that_players_show(make_clip, size, aspect, rotation, shown):
    info = probe(make_clip(frames=1))
    width, height = size
    info = replace(
        info,
        size=replace(info.size, width=width, height=height),
        sample_aspect_ratio=aspect,
        rotation=rotation,
    )
    assert str(info.shown_size) == shown
