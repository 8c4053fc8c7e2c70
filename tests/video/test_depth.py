"""The depth of fills: levels instead of bands, within the rounding, and grain left alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cleanplate import remove
from cleanplate.types import Box
from cleanplate.video import open_reader, probe
from cleanplate.video.colour import Converter, samples, whole_blocks
from cleanplate.video.depth import restore_depth, widen_box
from cleanplate.video.images import read_samples
from cleanplate.video.info import find_format

SIZE = (200, 120)
PQ, HLG = (1, 9, 9, 16), (1, 9, 9, 18)


def ramp(across: float, down: float, base: float = 100) -> np.ndarray:
    """A gradient in 16 bits, (h, w, 3); slopes are in 8-bit levels a pixel."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return np.repeat(((base + across * x + down * y) * 257)[..., None], 3, axis=2)


def hole() -> np.ndarray:
    touched = np.zeros(SIZE[::-1], np.bool_)
    touched[30:90, 50:150] = True
    return touched


def restore(true: np.ndarray) -> np.ndarray:
    deep = np.rint(true).astype(np.uint16)
    rgb = np.rint(true / 257).astype(np.uint8)
    made = restore_depth(rgb, deep, hole())
    np.testing.assert_array_equal(made[~hole()], deep[~hole()])
    np.testing.assert_array_equal(np.rint(made / 257)[hole()], rgb[hole()])
    return made


def error(made: np.ndarray, true: np.ndarray) -> float:
    """Of the fill, in 8-bit levels; rounding alone is 0.29."""
    return float(np.sqrt(np.mean((made - true)[hole()] ** 2)) / 257)


@pytest.mark.parametrize("slope", [(0.02, 0), (0, 0.05), (0.03, 0.04), (0.2, -0.1)])
def test_a_gradient_gets_its_levels_back(slope):
    true = ramp(*slope)
    made = restore(true)
    assert error(made, true) < 0.08
    levels = [len(np.unique(np.rint(one[hole()] / 64))) for one in (made, true)]
    assert abs(levels[0] - levels[1]) <= 1


def test_a_gradient_beside_an_edge_gets_its_levels_back():
    true = ramp(0.05, 0)
    true[:, 110:] = 40 * 257 + true[:, 110:] / 4
    made = restore(true)
    assert error(made, true) < 0.2
    assert np.abs(made - true)[hole()].max() < 257


def test_grain_is_left_alone():
    true = ramp(0.05, 0) + np.random.default_rng(0).normal(0, 257, (*SIZE[::-1], 3))
    made = restore(true)
    np.testing.assert_array_equal(made[hole()], np.rint(true / 257)[hole()] * 257)


def test_the_rounding_of_other_frames_is_no_grain():
    """Where the source is even, values that differ from pixel to pixel are no grain."""
    true = ramp(0.05, 0)
    deep, random = np.rint(true).astype(np.uint16), np.random.default_rng(0)
    rgb = np.rint(true / 257 + random.uniform(-0.3, 0.3, true.shape)).astype(np.uint8)
    made = restore_depth(rgb, deep, hole())
    assert error(made, true) < 0.15
    assert error(rgb * 257.0, true) > 0.3


def test_fields_are_restored_apart():
    true = ramp(0.05, 0)
    true[1::2] += 60 * 257
    deep, rgb = np.rint(true).astype(np.uint16), np.rint(true / 257).astype(np.uint8)
    assert error(restore_depth(rgb, deep, hole(), woven=True), true) < 0.05
    assert error(restore_depth(rgb, deep, hole()), true) > 0.2


def test_the_box_that_is_looked_at_stays_in_the_picture():
    assert widen_box(Box(300, 10, 20, 30), (500, 1000)) == Box(172, 0, 276, 168)
    assert widen_box(Box(0, 0, 50, 40), (40, 50)) == Box(0, 0, 50, 40)


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "gray10le", "gbrp10le"])
def test_a_part_is_converted_like_the_whole(make_clip, pixel_format):
    source = make_clip("a.mkv", codec="ffv1", pixel_format=pixel_format, frames=1)
    info = probe(source)
    with open_reader(source, info) as reader:
        frame = next(iter(reader)).planes
    whole = Converter(info).to_deep(frame)
    part = Converter(info).to_deep(frame, Box(8, 4, 40, 30))
    np.testing.assert_array_equal(part[4:-4, 4:-4], whole[8:30, 12:44])


def write_gradient(path: Path, color: tuple[int, int, int, int], pixel_format: str) -> Path:
    """A camera that moves over a gradient, losslessly."""
    layout = find_format(pixel_format)
    step = 1 << (layout.bits - 8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixel_format
        context = stream.codec_context
        context.color_range, context.colorspace = color[:2]
        context.color_primaries, context.color_trc = color[2:]
        for index in range(6):
            frame = av.VideoFrame(*SIZE, pixel_format)
            for number, plane in enumerate(samples(frame, layout)):
                y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
                slope = (0.06, -0.02, 0.015)[number]
                wide = 70 + 50 * (number > 0) + slope * (x + 2 * index) + 0.02 * y
                plane[..., 0] = np.rint(wide * step)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc = color
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("color", "pixel_format", "codec"),
    [(PQ, "yuv420p10le", "hevc"), (HLG, "yuv422p10le", "ffv1"), (PQ, "yuv444p12le", "auto")],
)
def test_hdr_comes_back_with_tags_and_levels(tmp_path, color, pixel_format, codec):
    source = write_gradient(tmp_path / "a.mkv", color, pixel_format)
    target = tmp_path / "out.mkv"
    report = remove(source, target, box="80,40,40,30", codec=codec, lossless=True)
    before, after = probe(source), probe(target)
    tags = ("color_range", "color_matrix", "color_primaries", "color_transfer", "pixel_format")
    assert [getattr(before, tag) for tag in tags] == [getattr(after, tag) for tag in tags]
    assert any("are given the source's" in note for note in report.notes)
    layout = before.format
    touched = np.zeros(SIZE[::-1], np.bool_)
    touched[24:86, 64:136] = True  # with the margins of the mask
    inner = np.s_[40:70, 80:120]
    with open_reader(source) as old, open_reader(target) as new:
        for own, made in zip(old, new, strict=True):
            planes = zip(samples(own.planes, layout), samples(made.planes, layout), strict=True)
            for index, (one, other) in enumerate(planes):
                kept = ~whole_blocks(touched, *layout.shift(index))
                np.testing.assert_array_equal(one[kept], other[kept])
            luma = samples(made.planes, layout)[0][inner]
            around = samples(own.planes, layout)[0][inner]
            assert len(np.unique(luma)) >= 0.9 * len(np.unique(around))
            assert len(np.unique(luma)) > 1.5 * len(np.unique(np.rint(around / 4 * 219 / 255)))


def test_a_hole_in_a_16_bit_folder_has_levels(tmp_path):
    folder = tmp_path / "sky"
    folder.mkdir()
    for index in range(4):
        true = np.rint(ramp(0.04, 0.02)).astype(np.uint16)
        assert cv2.imwrite(str(folder / f"{index}.png"), true)
    remove(folder, tmp_path / "out", box="80,40,40,30")
    made = read_samples(tmp_path / "out" / "2.png")[40:70, 80:120]
    assert len(np.unique(made)) > 8 * len(np.unique(np.rint(made / 257)))
    assert error_of(made, true[40:70, 80:120]) < 0.5


def error_of(made: np.ndarray, true: np.ndarray) -> float:
    return float(np.abs(made.astype(float) - true).mean() / 257)


@pytest.mark.parametrize(
    "pixel_format",
    ["yuv444p10le", "yuv444p12le", "yuv444p16le", "gray10le", "gray16le", "gbrp10le", "gbrp16le"],
)
@pytest.mark.parametrize("color_range", [1, 2])
def test_16_bit_rgb_and_back_is_exact(make_clip, pixel_format, color_range):
    """Whatever range and depth: black is 0, white is 65535, and no level is lost on the way."""
    source = make_clip(
        "a.mkv", codec="ffv1", pixel_format=pixel_format, frames=1, color=(color_range, 2, 2, 2)
    )
    info = probe(source)
    layout, bits = info.format, info.bit_depth
    frame = av.VideoFrame(256, 8, pixel_format)
    ends = (0, (1 << bits) - 1) if info.is_full_range or layout.family == "rgb" else (
        16 << (bits - 8), 235 << (bits - 8)
    )  # fmt: skip
    levels = np.rint(np.linspace(*ends, 256))
    for number, plane in enumerate(samples(frame, layout)):
        plane[..., 0] = levels if number == 0 or layout.family == "rgb" else 1 << (bits - 1)
    converter = Converter(info)
    deep = converter.to_deep(frame)
    assert deep[0, 0].max() <= 1
    assert deep[0, -1].min() >= 65534
    back = samples(converter.from_rgb(deep), layout)[0][0, :, 0].astype(int)
    assert np.abs(back - levels).max() <= (3 if bits == 16 else 0)
    assert np.abs(converter.to_rgb(frame)[0, :, 1] - np.linspace(0, 255, 256)).max() <= 0.6
