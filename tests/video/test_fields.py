"""Interlaced video: found, converted field by field, and written as what it was."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from cleanplate.video import open_reader, open_writer, probe
from cleanplate.video.colour import samples, whole_blocks
from cleanplate.video.encoding import choose_encoding
from cleanplate.video.info import BOTTOM_FIRST, PROGRESSIVE, TOP_FIRST, FieldMarker, find_order

from .field_pictures import write_field_pictures

ORDERS = {"tff": TOP_FIRST, "bff": BOTTOM_FIRST}
SOURCES = [
    ("a.mpg", {"codec": "mpeg2video"}),
    ("a.ts", {"codec": "mpeg2video"}),
    ("a.mkv", {"codec": "mpeg2video"}),
    ("a.mov", {"codec": "mpeg2video", "pixel_format": "yuv422p"}),
    ("a.mp4", {}),
    ("a.ts", {"size": (64, 72)}),
    ("a.mkv", {"pixel_format": "yuv422p10le", "size": (64, 54)}),
    ("a.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}),
    ("a.mkv", {"codec": "ffv1"}),
    ("a.dv", {"codec": "dvvideo", "size": (720, 576), "frames": 2}),
]


def rewrite(source, target, colour=None, **options):
    """Negate a region, or fill it with a colour for each field; the writer's notes on fields."""
    info = probe(source)
    touched = np.zeros(info.size.shape, np.bool_)
    touched[9:34, 8:31] = True
    with open_reader(source, info) as reader, open_writer(target, info, **options) as writer:
        for picture in reader:
            rgb = 255 - picture.rgb
            if colour:
                rgb[0::2], rgb[1::2] = colour
            writer.write(picture, rgb, touched)
    return tuple(note for note in writer.notes if "interlaced" in note), touched


def decode(path):
    """The stream's field order as its header has it, and that of each of its frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        stated = stream.codec_context.field_order
    return stated, {find_order(frame, PROGRESSIVE, "h264") for frame in frames}


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize(("name", "clip"), SOURCES)
def test_field_order_is_found_and_kept(make_clip, tmp_path, name, clip, fields, lossless):
    source = make_clip(name, fields=fields, **clip)
    order = ORDERS[fields]
    assert probe(source).field_order == order
    for suffix in (".mkv",) if lossless else (".mp4", ".mov"):
        target = tmp_path / f"out{suffix}"
        assert rewrite(source, target, lossless=lossless, overwrite=True)[0] == ()
        assert decode(target) == (order, {order})
        assert probe(target).field_order == order


def test_progressive_video_is_coded_as_before(make_clip, tmp_path):
    source = make_clip()
    info = probe(source)
    assert not info.is_interlaced
    assert "ff=" not in choose_encoding(info, ".mp4").options.get("x264-params", "")
    assert rewrite(source, tmp_path / "out.mp4")[0] == ()
    assert decode(tmp_path / "out.mp4") == (PROGRESSIVE, {PROGRESSIVE})


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p"])
def test_untouched_samples_of_both_fields_stay(make_clip, tmp_path, pixel_format):
    source = make_clip("a.mkv", fields="tff", pixel_format=pixel_format)
    info = probe(source)
    _, touched = rewrite(source, tmp_path / "out.mkv", lossless=True)
    with open_reader(source) as before, open_reader(tmp_path / "out.mkv") as after:
        for old, new in zip(before, after, strict=True):
            planes = [samples(one.planes, info.format) for one in (old, new)]
            for index, (own, made) in enumerate(zip(*planes, strict=True)):
                allowed = whole_blocks(touched, *info.format.shift(index), woven=True)[..., None]
                np.testing.assert_array_equal(np.where(allowed, own, made), own)
                assert (own != made).any()


def test_what_is_filled_keeps_the_colours_of_its_fields(make_clip, tmp_path):
    source = make_clip("a.mkv", fields="bff")
    colours = ((200, 40, 40), (40, 40, 200))
    rewrite(source, tmp_path / "out.mkv", colours, lossless=True)
    with open_reader(tmp_path / "out.mkv") as reader:
        inside = next(iter(reader)).rgb[18:26, 16:24].astype(int)
    for field, colour in enumerate(colours):
        assert np.abs(inside[field::2] - colour).max() <= 6


@pytest.mark.parametrize(
    ("target", "size", "words"),
    [
        ("out.webm", (64, 48), "VP9 of 64x48 cannot say"),
        ("out.mp4", (64, 46), "H.264 of 64x46 cannot say"),
        ("out", (64, 48), "images of 64x48 cannot say"),
    ],
)
def test_says_where_the_fields_are_lost(make_clip, tmp_path, target, size, words):
    source = make_clip("a.mpg", codec="mpeg2video", fields="bff", size=size)
    (note,), _ = rewrite(source, tmp_path / target)
    assert "bottom field first" in note
    assert words in note


def test_frames_flagged_otherwise_are_counted_and_marked_alike(make_clip):
    source = make_clip("a.mpg", codec="mpeg2video", fields="tff")
    for order, marked in ((TOP_FIRST, True), (PROGRESSIVE, False)):
        with open_reader(source, replace(probe(source), field_order=order)) as reader:
            assert all(picture.planes.interlaced_frame is marked for picture in reader)
            assert (reader.flags.interlaced, reader.flags.progressive) == (8, 0)


@pytest.mark.parametrize(("parts", "order"), [("pb", 3), ("bp", 3), ("pppb", 3), ("ppp", 1)])
def test_a_stream_that_is_interlaced_in_part_is_interlaced(make_clip, tmp_path, parts, order):
    """Joined from pieces, progressive and bottom field first."""
    pieces = {
        "p": make_clip("p.m2v", codec="mpeg2video", frames=24),
        "b": make_clip("b.m2v", codec="mpeg2video", frames=24, fields="bff"),
    }
    source = tmp_path / "joined.m2v"
    source.write_bytes(b"".join(pieces[part].read_bytes() for part in parts))
    info = probe(source)
    assert info.field_order == order
    with open_reader(source, info) as reader:
        marked = {picture.planes.interlaced_frame for picture in reader}
        assert reader.flags.progressive > 20
    assert marked == {order == BOTTOM_FIRST}


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_fields_that_are_pictures_of_their_own(tmp_path, suffix):
    y, x = np.mgrid[:64, :64]
    moments = [120 + 40 * np.sin((x + 3 * t) / 5) + 40 * np.cos(y / 6) for t in range(24)]
    frames = np.stack(moments[::2]).astype(np.uint8)
    frames[:, 1::2] = np.stack(moments[1::2]).astype(np.uint8)[:, 1::2]
    source = write_field_pictures(tmp_path / f"source{suffix}", frames)
    info = probe(source)
    assert (info.frame_count, info.rate, info.field_order) == (12, 25, TOP_FIRST)
    with open_reader(source, info) as reader:
        for picture, frame in zip(reader, frames, strict=True):
            assert picture.time == Fraction(picture.index, 25) + info.first
            np.testing.assert_array_equal(samples(picture.planes, info.format)[0][..., 0], frame)
    rewrite(source, tmp_path / "out.mp4")
    assert decode(tmp_path / "out.mp4") == (TOP_FIRST, {TOP_FIRST})
    assert probe(tmp_path / "out.mp4").frame_count == 12


def test_a_header_counts_where_frames_say_nothing():
    frame = av.VideoFrame(16, 16, "yuv420p")
    assert [find_order(frame, stated, "mjpeg") for stated in range(6)] == [1, 1, 2, 3, 4, 5]
    late = FieldMarker(BOTTOM_FIRST).mark(frame)
    assert [find_order(late, stated, "h264") for stated in range(6)] == [3, 3, 3, 3, 3, 5]
    assert find_order(late, BOTTOM_FIRST, "hevc") == PROGRESSIVE  # fields are pictures there


def test_marking_keeps_samples_and_times():
    marker = FieldMarker(TOP_FIRST)
    for size in ((16, 16), (24, 8)):
        frame = av.VideoFrame(*size, "gray")
        frame.pts = 7
        marked = marker.mark(frame)
        assert (marked.interlaced_frame, frame.interlaced_frame) == (True, False)
        assert marked.pts == 7
        assert marked.planes[0].buffer_ptr == frame.planes[0].buffer_ptr


def test_raw_dv_has_the_rate_of_its_pictures(make_clip):
    info = probe(make_clip("a.dv", codec="dvvideo", size=(720, 576), frames=3))
    assert info.rate == 25


def test_equal_interlaced_pictures_give_equal_bytes(make_clip, tmp_path):
    source = make_clip("a.mpg", codec="mpeg2video", fields="tff", size=(96, 64), frames=30)
    made = []
    for count in range(3):
        rewrite(source, tmp_path / f"{count}.mkv")
        made.append((tmp_path / f"{count}.mkv").read_bytes())
    assert made[0] == made[1] == made[2]
