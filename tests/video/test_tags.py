"""Colour tags: found where the file states them, and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cleanplate.errors import OutputError
from cleanplate.video import open_reader, open_writer, probe
from cleanplate.video.colour import samples

PRORES = {"codec": "prores_ks", "pixel_format": "yuv422p10le"}
DNXHR = {"codec": "dnxhd", "pixel_format": "yuv422p10le", "options": {"profile": "dnxhr_hqx"}}
X265 = {"codec": "libx265", "options": {"x265-params": "log-level=none:chromaloc=2"}}


def copy(source: Path, target: Path, **options: object) -> None:
    info = probe(source)
    with open_reader(source, info) as reader, open_writer(target, info, **options) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros(info.size.shape, np.bool_))


def tags(path: Path) -> tuple[int, int, int, int]:
    info = probe(path)
    return info.color_range, info.color_matrix, info.color_primaries, info.color_transfer


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("name", "fields", "found"),
    [
        # A limited range that is all that is known.
        ("a.mov", PRORES, (1, 2, 2, 2)),
        ("a.mpg", {"codec": "mpeg2video"}, (1, 2, 2, 2)),
        ("a.mkv", {"codec": "ffv1", "color": (1, 2, 2, 2)}, (1, 2, 2, 2)),
        ("a.mkv", {"codec": "ffv1", "color": (0, 2, 2, 2)}, (0, 2, 2, 2)),
        # The container's range where the decoder only knows one.
        ("a.mkv", {**PRORES, "color": (2, 1, 1, 1)}, (2, 1, 1, 1)),
        ("a.mkv", {"codec": "mpeg2video", "color": (2, 5, 5, 6)}, (2, 5, 5, 6)),
        # The container's matrix where the decoder only knows one.
        ("a.mov", {**DNXHR, "color": (1, 9, 9, 16)}, (1, 9, 9, 16)),
        ("a.mkv", {"codec": "mjpeg", "pixel_format": "yuvj420p", "color": (2, 1, 1, 1)},
         (2, 1, 1, 1)),
        ("a.webm", {"codec": "libvpx", "color": (1, 1, 1, 1)}, (1, 1, 1, 1)),
        # And the decoder's where the container says nothing.
        ("a.avi", {"codec": "mjpeg", "pixel_format": "yuvj422p"}, (2, 5, 2, 2)),
        ("a.mov", {**PRORES, "color": (1, 9, 9, 18)}, (1, 9, 9, 18)),
        ("a.mov", {**DNXHR, "color": (2, 1, 1, 1)}, (2, 1, 1, 1)),
    ],
)  # fmt: skip
def test_tags_are_found_and_kept(make_clip, tmp_path, suffix, name, fields, found):
    source = make_clip(name, frames=1, size=(256, 128), **fields)
    assert tags(source) == found
    copy(source, tmp_path / f"out{suffix}")
    assert tags(tmp_path / f"out{suffix}") == found


def test_samples_of_a_range_that_only_the_container_states_are_kept(make_clip, tmp_path):
    source, target = make_clip("a.mkv", frames=2, color=(2, 1, 1, 1), **PRORES), tmp_path / "o.mkv"
    copy(source, target, lossless=True)
    layout = probe(source).format
    with open_reader(source) as before, open_reader(target) as after:
        for old, new in zip(before, after, strict=True):
            for own, made in zip(
                samples(old.planes, layout), samples(new.planes, layout), strict=True
            ):
                np.testing.assert_array_equal(own, made)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize(
    ("name", "fields", "found"),
    [
        ("a.mov", {"codec": "mjpeg", "pixel_format": "yuvj420p"}, "center"),
        ("a.mp4", {"options": {"chroma_sample_location": "topleft"}}, "topleft"),
        ("a.mp4", {}, "left"),
        ("a.mp4", {"pixel_format": "yuv444p"}, ""),
    ],
)
def test_the_place_of_chroma_samples_is_kept(make_clip, tmp_path, suffix, name, fields, found):
    source, target = make_clip(name, frames=1, **fields), tmp_path / f"out{suffix}"
    assert probe(source).chroma_siting == found
    copy(source, target)
    assert probe(target).chroma_siting == found


@pytest.mark.parametrize("depth", [10, 12])
def test_the_place_of_chroma_samples_is_kept_in_hevc(make_clip, tmp_path, depth):
    source = make_clip("a.mp4", frames=6, pixel_format=f"yuv420p{depth}le", **X265)
    copy(source, tmp_path / "out.mp4")
    assert probe(source).chroma_siting == probe(tmp_path / "out.mp4").chroma_siting == "topleft"


def test_images_say_nothing_of_chroma(images, tmp_path):
    copy(images(), tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").chroma_siting == "left"


@pytest.mark.parametrize("color", [(2, 2, 2, 2), (1, 1, 2, 2), (0, 2, 9, 16)])
def test_tags_that_mp4_would_lose_are_refused(make_clip, tmp_path, color):
    odd = {"codec": "ffv1", "pixel_format": "yuv420p10le", "size": (65, 49)}
    source = make_clip("a.mkv", frames=1, color=color, **odd)
    with pytest.raises(OutputError, match=r"\.mp4 cannot say the colour range .*; use \.mkv"):
        open_writer(tmp_path / "out.mp4", probe(source))
    copy(source, tmp_path / "out.mkv")
    assert tags(tmp_path / "out.mkv") == color
