"""Compositing sample by sample, and colours with the right matrix."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cleanplate.types import Size
from cleanplate.video.colour import (
    Converter,
    paste_touched,
    repack,
    samples,
    surround,
    whole_blocks,
)
from cleanplate.video.info import FORMATS, VideoInfo, find_format

INFO = VideoInfo(
    path=Path("x.mp4"),
    kind="video",
    size=Size(14, 10),
    rate=Fraction(25),
    time_base=Fraction(1, 25),
    frame_count=1,
    duration=None,
    pixel_format="yuv420p",
    codec="h264",
)
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def noise(seed: int, size: Size = INFO.size) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size.shape, 3), np.uint8)


def to_yuv(rgb: np.ndarray, matrix: int, full: bool, bits: int) -> np.ndarray:
    """Textbook conversion, unrounded, `(3, h, w)`."""
    kr, kb = WEIGHTS[matrix]
    red, green, blue = np.moveaxis(rgb / 255.0, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = np.stack([(blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)])
    if full:
        top = 2**bits - 1
        return np.concatenate([luma[None] * top, chroma * top + 2 ** (bits - 1)])
    scale = 2 ** (bits - 8)
    return np.concatenate([(luma[None] * 219 + 16) * scale, (chroma * 224 + 128) * scale])


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10le", "yuv444p12le"])
def test_colours_follow_matrix_and_range(name, full, matrix):
    info = replace(INFO, pixel_format=name, color_matrix=matrix, color_range=2 if full else 1)
    rgb = noise(1)
    converter = Converter(info)
    frame = converter.from_rgb(rgb)
    found = np.stack([plane[..., 0] for plane in samples(frame, info.format)]).astype(float)
    # swscale's full-range chroma lies half a level low; all else is rounding.
    assert np.abs(found - to_yuv(rgb, matrix, full, info.bit_depth)).max() < 2
    assert np.abs(converter.to_rgb(frame).astype(int) - rgb).max() <= (3 if full else 2)


@pytest.mark.parametrize(("height", "matrix"), [(718, 5), (720, 1)])
def test_untagged_matrix_is_guessed_by_height(height, matrix):
    info = replace(INFO, pixel_format="yuv444p", size=Size(16, height))
    rgb = np.full((*info.size.shape, 3), (200, 30, 60), np.uint8)
    luma = samples(Converter(info).from_rgb(rgb), info.format)[0]
    assert np.abs(luma - to_yuv(rgb, matrix, False, 8)[0][..., None]).max() < 1


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("size", [Size(14, 10), Size(13, 9), Size(90, 70)])
def test_only_touched_samples_change(name, size):
    info = replace(INFO, pixel_format=name, size=size)
    layout = find_format(name)
    converter = Converter(info)
    own, whole = converter.from_rgb(noise(1, size)), converter.from_rgb(noise(2, size))
    before = [plane.copy() for plane in samples(own, layout)]
    new = [plane.copy() for plane in samples(whole, layout)]
    touched = np.zeros(size.shape, np.bool_)
    touched[-7:, 1:6] = touched[-9:-5, 3:8] = True
    box = surround(touched)
    assert (box.size == size) == (size.width < 20)  # the part is converted as in the whole
    part = converter.from_rgb(noise(2, size)[box.slices])
    made = paste_touched(own, part, touched, box, layout)
    for index, plane in enumerate(samples(made, layout)):
        allowed = whole_blocks(touched, *layout.shift(index))[..., None]
        np.testing.assert_array_equal(plane, np.where(allowed, new[index], before[index]))
        np.testing.assert_array_equal(samples(own, layout)[index], before[index])


@settings(max_examples=60, deadline=None)
@given(
    touched=arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    across=st.integers(0, 1),
    down=st.integers(0, 1),
)
def test_a_chroma_sample_needs_its_whole_block(touched, across, down):
    blocks = whole_blocks(touched, across, down)
    height, width = touched.shape
    assert blocks.shape == (-(-height >> down), -(-width >> across))
    for row, column in np.ndindex(blocks.shape):
        block = touched[row << down : (row + 1) << down, column << across : (column + 1) << across]
        assert blocks[row, column] == block.all()


@settings(max_examples=40, deadline=None)
@given(
    touched=arrays.arrays(np.bool_, st.tuples(st.sampled_from((4, 8, 12)), st.integers(1, 9))),
    across=st.integers(0, 1),
    down=st.integers(0, 1),
)
def test_a_line_of_chroma_belongs_to_one_field(touched, across, down):
    blocks = whole_blocks(touched, across, down, woven=True)
    for field in (0, 1):
        alone = whole_blocks(touched[field::2], across, down)
        np.testing.assert_array_equal(blocks[field::2], alone)


@pytest.mark.parametrize("name", ["yuv420p", "nv12", "yuv420p10le", "yuv422p", "yuv444p", "gray"])
def test_fields_are_converted_and_pasted_each_alone(name):
    size = Size(90, 72)
    info = replace(INFO, pixel_format=name, size=size, field_order=2)
    layout = find_format(name)
    converter, alone = Converter(info), Converter(replace(info, field_order=1))
    rgb = noise(2, size)
    own, whole = converter.from_rgb(noise(1, size)), converter.from_rgb(rgb)
    touched = np.zeros(size.shape, np.bool_)
    touched[21:38, 31:46] = True
    box = surround(touched, woven=True)
    assert box.size != size
    assert (box.y % 4, box.height % 4) == (0, 0)
    part = converter.from_rgb(rgb[box.slices])
    made = paste_touched(own, part, touched, box, layout, woven=True)
    before, new, found = (samples(frame, layout) for frame in (own, whole, made))
    for index in range(len(found)):
        allowed = whole_blocks(touched, *layout.shift(index), woven=True)[..., None]
        assert allowed.any()
        np.testing.assert_array_equal(found[index], np.where(allowed, new[index], before[index]))
    for field in (0, 1):
        plane = samples(alone.from_rgb(rgb[field::2]), layout)[0]
        np.testing.assert_array_equal(new[0][field::2], plane)


def test_each_field_keeps_its_own_colour():
    info = replace(INFO, size=Size(32, 32), field_order=3)
    rgb = np.empty((32, 32, 3), np.uint8)
    rgb[0::2], rgb[1::2] = (200, 40, 40), (40, 40, 200)
    converter = Converter(info)
    there_and_back = converter.to_rgb(converter.from_rgb(rgb)).astype(int)
    assert np.abs(there_and_back - rgb).max() <= 3
    framed = Converter(replace(info, field_order=1))
    assert np.abs(framed.to_rgb(framed.from_rgb(rgb)).astype(int) - rgb).max() > 50


def test_repack_keeps_samples():
    for name in ("nv12", "yuvj420p", "gray", "gray10le"):
        layout = find_format(name)
        frame = Converter(replace(INFO, pixel_format=name)).from_rgb(noise(1))
        packed = samples(repack(frame, layout, layout.planar_name), find_format(layout.planar_name))
        own = samples(frame, layout)
        np.testing.assert_array_equal(packed[0], own[0])
        if layout.family == "gray":
            assert (packed[1] == 1 << (layout.bits - 1)).all()
        elif name == "nv12":
            np.testing.assert_array_equal(np.concatenate(packed[1:], -1), own[1])
