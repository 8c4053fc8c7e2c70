"""Folders of images with 16 bits, in and out: depth, names, gaps, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate import remove
from cleanplate.errors import DecodeError, OutputError, VideoError
from cleanplate.video import open_reader, open_writer, probe
from cleanplate.video.images import list_sequence, read_samples

SIZE = (40, 32)
NAMES = ("shot_001001.png", "shot_001002.png", "shot_001005.png")


@pytest.fixture
def folder(tmp_path, painted):
    """`folder(suffix) -> Path` of images with all 16 bits in use."""

    def make(suffix: str = ".png", name: str = "frames") -> Path:
        path = tmp_path / name
        path.mkdir()
        noise = np.random.default_rng(0)
        for index, one in enumerate(NAMES):
            fine = noise.integers(0, 256, (SIZE[1], SIZE[0], 3))
            pixels = (painted(index, SIZE).astype(np.uint16) * 256 + fine).astype(np.uint16)
            assert cv2.imwrite(str(path / Path(one).with_suffix(suffix)), pixels)
        return path

    return make


def touch() -> np.ndarray:
    touched = np.zeros(SIZE[::-1], np.bool_)
    touched[9:20, 8:25] = True
    return touched


def read(path: Path) -> dict[str, np.ndarray]:
    return {one.name: read_samples(one) for one in sorted(path.iterdir())}


@pytest.mark.parametrize(("given", "codec", "written"), [
    (".png", "auto", ".png"), (".tif", "auto", ".png"), (".png", "tiff", ".tif"),
    (".tiff", "tiff", ".tif"),
])  # fmt: skip
def test_a_folder_of_16_bits_stays_one(folder, tmp_path, given, codec, written):
    source, target = folder(given), tmp_path / "out"
    info = probe(source)
    assert (info.bit_depth, info.pixel_format, info.has_planes) == (16, "rgb48le", True)
    with open_reader(source) as reader, open_writer(target, info, codec=codec) as writer:
        for picture in reader:
            writer.write(picture, 255 - picture.rgb, touch())
    assert writer.coding["written"]["depth"] == 16
    assert writer.coding["exact"] is True
    before, after = read(source), read(target)
    assert [*after] == [Path(name).with_suffix(written).name for name in NAMES]
    for old, new in zip(before.values(), after.values(), strict=True):
        assert new.dtype == np.uint16
        np.testing.assert_array_equal(old[~touch()], new[~touch()])
        assert np.abs(65535 - old.astype(int) - new)[touch()].max() <= 2 * 257


def test_a_video_of_16_bits_is_ffv1(folder, tmp_path):
    source, target = folder(), tmp_path / "out.mkv"
    with open_reader(source) as reader, open_writer(target, probe(source)) as writer:
        for picture in reader:
            writer.write(picture, 255 - picture.rgb, touch())
    result = probe(target)
    assert (result.codec, result.pixel_format) == ("ffv1", "gbrp16le")
    with open_reader(source) as before, open_reader(target) as after:
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old.rgb[~touch()], new.rgb[~touch()])
            green = np.frombuffer(new.planes.planes[0], np.uint16).reshape(SIZE[1], -1)
            packed = np.frombuffer(old.planes.planes[0], np.uint16).reshape(SIZE[1], -1)
            own = packed[:, 1 : 3 * SIZE[0] : 3]
            np.testing.assert_array_equal(green[:, : SIZE[0]][~touch()], own[~touch()])


def test_a_removal_keeps_the_depth_and_names_the_gap(folder, tmp_path):
    source = folder(".tif")
    report = remove(source, tmp_path / "out", box="10,10,9,6", codec="tiff")
    before, after = read(source), read(tmp_path / "out")
    assert [*before] == [*after]
    for old, new in zip(before.values(), after.values(), strict=True):
        assert new.dtype == np.uint16
        changed = (old != new).any(axis=2)
        assert changed.any()
        assert not changed[:, 30:].any()
    assert (
        "frame numbers 1003 to 1004 are missing in 'frames'; the frames beside a gap are taken as"
        " neighbours" in report.notes
    )
    assert json.loads(json.dumps(report.to_json()))["video"]["written"]["codec"] == "tiff"


def test_a_photograph_may_be_a_tiff(folder, tmp_path):
    source = folder() / NAMES[0]
    remove(source, tmp_path / "clean.tif", box="10,10,9,6")
    old, new = read_samples(source), read_samples(tmp_path / "clean.tif")
    assert new.dtype == np.uint16
    np.testing.assert_array_equal(old[:, 30:], new[:, 30:])
    with pytest.raises(OutputError, match=r"is one picture, not TIFF; use no suffix"):
        remove(source, tmp_path / "b.png", box="10,10,9,6", codec="tiff")


def test_a_pattern_chooses_a_sequence(folder, tmp_path, painted):
    source = folder()
    for name in ("shot_7.png", "other_001003.png", "shot_001003.tif"):
        assert cv2.imwrite(str(source / name), painted(0, (4, 4)))
    info = probe(source / "shot_%06d.png")
    assert (info.path, [file.name for file in info.files]) == (source, [*NAMES])
    remove(source / "shot_%06d.png", tmp_path / "out", box="10,10,9,6")
    assert [*read(tmp_path / "out")] == [*NAMES]
    with pytest.raises(OutputError):
        remove(source / "shot_%06d.png", source, box="10,10,9,6", overwrite=True)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a%d.png", ["a9.png", "a10.png"]),
        ("a%02d.png", ["a10.png"]),
        ("a%01d.png", ["a9.png", "a10.png"]),
        ("%03d.png", ["007.png", "1000.png"]),
    ],
)
def test_numbers_of_a_pattern(tmp_path, pattern, names):
    for name in ("a9.png", "a10.png", "007.png", "1000.png", "0999.png"):
        (tmp_path / name).touch()
    assert [file.name for file in list_sequence(tmp_path / pattern)] == names


def test_a_pattern_without_images_is_refused(tmp_path):
    (tmp_path / "a1.png").touch()
    with pytest.raises(VideoError, match=r"no images named like 'b%03d\.png'; give"):
        probe(tmp_path / "b%03d.png")
    (tmp_path / "100%d.png").touch()
    assert list_sequence(tmp_path / "100%d.png") is None
    assert list_sequence(tmp_path / "a1.png") is None


def test_mixed_depths_are_refused_by_name(folder, tmp_path, painted):
    source = folder()
    assert cv2.imwrite(str(source / NAMES[1]), painted(0, SIZE))
    with pytest.raises(VideoError, match=rf"'{NAMES[0]}' has 16 bits and '{NAMES[1]}' has 8 in"):
        probe(source)


def test_mixed_sizes_are_refused_by_name(folder):
    source = folder(".tif")
    name = Path(NAMES[2]).with_suffix(".tif").name
    assert cv2.imwrite(str(source / name), np.zeros((4, 5, 3), np.uint16))
    with pytest.raises(VideoError, match=rf"is 40x32 and '{name}' is 5x4"):
        probe(source)


def test_a_file_that_changes_its_depth_later_is_refused(folder, painted):
    source = folder()
    info = probe(source)
    assert cv2.imwrite(str(source / NAMES[1]), painted(0, SIZE))
    with open_reader(source, info) as reader, pytest.raises(DecodeError, match="of 16 bits"):
        list(reader)
