"""Codecs by name: round trips, what each holds, and refusals that name another."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import get_args

import av
import cv2
import numpy as np
import pytest

from cleanplate.errors import OutputError
from cleanplate.options import Codec
from cleanplate.video import VideoInfo, open_reader, open_writer, probe
from cleanplate.video.codecs import IMAGE_CODECS, NAMED, choose_coding
from cleanplate.video.colour import Converter, Reshaper, samples, whole_blocks
from cleanplate.video.info import find_format
from cleanplate.video.writer import check_writer

EDITORS = Path(__file__).resolve().parents[2] / "docs" / "guides" / "editors.md"


def touch(info: VideoInfo) -> np.ndarray:
    touched = np.zeros(info.size.shape, np.bool_)
    touched[9:24, 8:31] = True
    return touched


def rewrite(source: Path, target: Path, **options: object) -> VideoInfo:
    """Turn a region to its negative."""
    info = probe(source)
    with open_reader(source, info) as reader, open_writer(target, info, **options) as writer:
        for picture in reader:
            writer.write(picture, 255 - picture.rgb, touch(info))
    return probe(target)


def deep(path: Path) -> list[np.ndarray]:
    """Pictures as 16-bit RGB."""
    info = probe(path)
    with open_reader(path, info) as reader:
        return [Converter(info).to_deep(picture.planes).astype(int) for picture in reader]


TRIPS = [
    # codec, suffix, source's format, written format, largest mean error of 65535
    ("prores", ".mov", "yuv422p10le", "yuv422p10le", 700),
    ("prores", ".mkv", "yuv420p", "yuv422p10le", 700),
    ("prores-4444", ".mov", "yuv444p10le", "yuv444p12le", 700),
    ("prores-4444", ".mov", "yuv420p10le", "yuv444p12le", 700),
    ("prores-4444", ".mov", "yuv444p12le", "yuv444p12le", 700),
    ("dnxhr", ".mov", "yuv420p", "yuv422p", 900),
    ("dnxhr", ".mov", "yuv422p10le", "yuv422p10le", 900),
    ("dnxhr", ".mov", "yuv444p10le", "yuv444p10le", 900),
    ("h264", ".mp4", "yuv422p10le", "yuv422p10le", 1200),
    ("hevc", ".mp4", "yuv420p10le", "yuv420p10le", 1200),
    ("hevc", ".mkv", "yuv444p12le", "yuv444p12le", 1200),
    ("av1", ".mp4", "yuv420p10le", "yuv420p10le", 1500),
    ("av1", ".webm", "yuv420p", "yuv420p", 1500),
    ("ffv1", ".mkv", "yuv422p16le", "yuv422p16le", 0),
    ("ffv1", ".mkv", "gray16le", "gray16le", 0),
    ("ffv1", ".mkv", "gbrp16le", "gbrp16le", 0),
]


@pytest.mark.parametrize(("codec", "suffix", "given", "written", "most"), TRIPS)
def test_a_round_trip(make_clip, tmp_path, codec, suffix, given, written, most):
    color = (1, 1, 1, 1) if given.startswith("yuv") else (0, 2, 2, 2)
    source = make_clip(
        "a.mkv", codec="ffv1", pixel_format=given, size=(256, 128), frames=3, color=color
    )
    target = tmp_path / f"out{suffix}"
    result = rewrite(source, target, codec=codec)
    assert result.codec == codec.removesuffix("-4444").replace("dnxhr", "dnxhd")
    assert result.pixel_format == written
    assert (result.size, result.frame_count, result.rate) == (probe(source).size, 3, 25)
    tags = (result.color_matrix, result.color_primaries, result.color_transfer)
    assert tags == (color[1:] if given.startswith("yuv") else tags)
    info = probe(source)
    # Beside the region, chroma is interpolated from samples of both kinds.
    inside = touch(info)
    outside = cv2.dilate(inside.astype(np.uint8), np.ones((9, 9))) == 0
    for before, after in zip(deep(source), deep(target), strict=True):
        assert np.abs(before - after)[outside].mean() <= most
        assert np.abs(65535 - before - after)[inside][:, 1].mean() <= most + 1500


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
def test_lossless_keeps_untouched_samples(make_clip, tmp_path, codec):
    source = make_clip("a.mkv", codec="ffv1", pixel_format="yuv420p10le", frames=3)
    target = tmp_path / "out.mkv"
    result, info = rewrite(source, target, codec=codec, lossless=codec != "ffv1"), probe(source)
    assert result.pixel_format == info.pixel_format
    layout = info.format
    with open_reader(source) as before, open_reader(target) as after:
        for old, new in zip(before, after, strict=True):
            pairs = zip(samples(old.planes, layout), samples(new.planes, layout), strict=True)
            for index, (own, made) in enumerate(pairs):
                kept = ~whole_blocks(touch(info), *layout.shift(index))
                np.testing.assert_array_equal(own[kept], made[kept])


@pytest.mark.parametrize(("codec", "name"), [("ffv1", "a.mkv"), ("prores", "a.mov")])
def test_the_report_says_what_is_exact(make_clip, tmp_path, codec, name):
    info = probe(make_clip(frames=2, size=(256, 128)))
    writer = open_writer(tmp_path / name, info, codec=codec)
    with suppress(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert writer.coding["exact"] == (codec == "ffv1")
    assert writer.coding["written"]["codec"] == codec
    assert writer.notes == ()  # a codec that was asked for needs no explanation


def test_interlaced_prores_stays_interlaced(make_clip, tmp_path):
    source = make_clip("a.mkv", codec="libx264", fields="tff", size=(64, 64), frames=4)
    result = rewrite(source, tmp_path / "out.mov", codec="prores")
    assert result.is_interlaced
    assert result.field_order in (2, 4)


def test_full_range_becomes_limited_and_says_so(make_clip, tmp_path):
    source = make_clip("a.mkv", pixel_format="yuvj420p", frames=2)
    info = probe(source)
    with open_reader(source, info) as reader:
        picture = next(iter(reader))
    with open_writer(tmp_path / "a.mov", info, codec="prores") as writer:
        writer.write(picture, picture.rgb, touch(info) & False)
    assert writer.notes == (
        "samples are converted from full to limited range, as editors expect of the codec",
    )
    with open_reader(tmp_path / "a.mov") as reader:
        after = next(iter(reader))
    assert np.abs(after.rgb.astype(int) - picture.rgb).mean() < 4


def test_a_depth_that_the_encoder_does_not_take_is_said(make_clip, tmp_path):
    info = probe(make_clip("a.mkv", codec="ffv1", pixel_format="yuv444p12le", frames=1))
    writer = open_writer(tmp_path / "a.mov", info, codec="prores-4444")
    with suppress(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert "the encoder takes 10 of the source's 12 bits" in writer.notes


def test_a_frame_that_needs_no_conversion_is_passed_on(make_clip):
    info = probe(make_clip(frames=1))
    frame = av.VideoFrame(64, 48, "yuv420p")
    assert Reshaper(info, info).convert(frame, "yuv420p") is frame


@pytest.mark.parametrize(
    ("fields", "suffix", "options", "words"),
    [
        ({}, ".mp4", {"codec": "prores"}, ".mp4 cannot hold ProRes 422 HQ here; use .mov or .mkv"),
        ({}, ".mkv", {"codec": "dnxhr"}, ".mkv cannot hold DNxHR here; use .mov"),
        ({}, ".mov", {"codec": "ffv1"}, ".mov cannot hold FFV1 here; use .mkv or .mp4 or .m4v"),
        ({}, ".mov", {"codec": "prores", "lossless": True}, "ProRes 422 HQ always changes samples"),
        ({}, ".mov", {"codec": "prores", "crf": 3}, "ProRes 422 HQ has no `crf`; leave it out"),
        ({}, ".mov", {"codec": "prores", "preset": "fast"}, "ProRes 422 HQ has no presets"),
        ({}, ".mp4", {"codec": "av1", "preset": "fast"}, "`preset` of AV1 is one of 0, 1, 2,"),
        ({}, ".mp4", {"codec": "hevc", "preset": "3"}, "`preset` of HEVC is one of ultrafast,"),
        ({}, ".mp4", {"codec": "tiff"}, "`codec='tiff'` writes a folder of images; give an output"),
        ({}, "", {"codec": "prores"}, "is a folder of images, not ProRes 422 HQ; use .mov, .mkv"),
        ({}, "", {"preset": "fast"}, "images have no presets; leave `preset` out"),
        ({"size": (64, 48)}, ".mov", {"codec": "dnxhr"}, "DNxHR cannot hold frames below 256x120"),
        (
            {"pixel_format": "yuv420p12le"}, ".mov", {"codec": "prores"},
            "ProRes 422 HQ cannot hold 12 bits; use `codec='hevc'` or `codec='prores-4444'` or",
        ),
        (
            {"pixel_format": "yuv444p16le"}, ".mp4", {"codec": "hevc"},
            "HEVC cannot hold 16 bits; use `codec='ffv1'`",
        ),
        (
            {"pixel_format": "yuv444p"}, ".mov", {"codec": "prores"},
            "ProRes 422 HQ cannot hold 4:4:4 samples; use `codec='h264'` or",
        ),
        (
            {"pixel_format": "yuv422p10le"}, ".mp4", {"codec": "av1"},
            "AV1 cannot hold 4:2:2 samples; use `codec='h264'`",
        ),
        (
            {"pixel_format": "gbrp10le"}, ".mp4", {"codec": "h264"},
            "H.264 cannot hold RGB of 10 bits; use `codec='hevc'` or",
        ),
        (
            {"size": (63, 48)}, ".mp4", {"codec": "h264"},
            "H.264 cannot hold the odd size 63x48; use `codec='prores-4444'` or `codec='ffv1'`",
        ),
    ],
)  # fmt: skip
def test_what_a_codec_cannot_hold_is_said(make_clip, tmp_path, fields, suffix, options, words):
    info = probe(make_clip("a.mkv", codec="ffv1", frames=1, **{"size": (256, 128), **fields}))
    with pytest.raises(OutputError) as caught:
        open_writer(tmp_path / f"out{suffix}", info, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_the_check_before_a_batch_says_the_same(make_clip, tmp_path):
    info = probe(make_clip(frames=1))
    check_writer(tmp_path / "a.mov", info, codec="prores")
    check_writer(tmp_path / "a", info, codec="tiff")
    for name, codec, words in (("a.mp4", "prores", "use .mov"), ("a", "av1", "use .mp4")):
        with pytest.raises(OutputError, match=words):
            check_writer(tmp_path / name, info, codec=codec)
    assert [path.name for path in tmp_path.iterdir()] == ["source.mp4"]


def test_an_encoder_that_pyav_lacks_is_named(make_clip, monkeypatch):
    info = probe(make_clip(frames=1))
    monkeypatch.setattr("cleanplate.video.codecs.has_encoder", lambda name: name != "libsvtav1")
    with pytest.raises(OutputError, match="PyAV lacks the encoder libsvtav1 for AV1; install"):
        choose_coding(info, ".mp4", codec="av1")


def test_presets_reach_the_encoder(make_clip):
    info = probe(make_clip(frames=1))
    for codec, preset in (("auto", "slow"), ("h264", "veryfast"), ("hevc", "fast"), ("av1", "9")):
        _, encoding = choose_coding(info, ".mp4", codec=codec, preset=preset)
        assert encoding.options["preset"] == preset


def test_the_encoders_take_what_they_are_given(make_clip):
    """Every pixel format that is chosen is one that the encoder of this FFmpeg lists."""
    for name in ("yuv420p", "yuv422p10le", "yuv444p12le", "gray10le", "gbrp16le", "yuv420p16le"):
        info = probe(make_clip("a.mkv", codec="ffv1", pixel_format=name, size=(256, 128), frames=1))
        for codec, named in NAMED.items():
            if named.find_obstacle(info) is not None:
                continue
            _, encoding = choose_coding(info, named.suffixes[0], codec=codec)
            known = [one.name for one in av.Codec(encoding.codec, "w").video_formats]
            assert encoding.pixel_format in known
            assert find_format(encoding.pixel_format).bits >= min(info.bit_depth, 10)


def test_the_names_of_codecs_are_those_of_the_option():
    assert get_args(Codec) == ("auto", *NAMED, *IMAGE_CODECS)


def test_the_guide_lists_what_each_codec_holds():
    lines = EDITORS.read_text("utf-8").splitlines()
    for name, one in NAMED.items():
        loss = {"never": "lossless", "always": "lossy", "optional": "lossy, or `--lossless`"}
        cells = (
            f"`{name}`",
            one.title,
            f"8 to {one.bits}",
            ", ".join(one.chroma),
            " ".join(one.suffixes),
            loss[one.loss],
        )
        assert f"| {' | '.join(cells)} |" in lines
