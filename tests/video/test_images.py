"""Images: natural order, honest reading, refusals."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.errors import EncodeError, VideoError
from cleanplate.types import Size
from cleanplate.video.images import describe_gaps, measure_image, natural_key, read_image, write_png


def test_natural_order():
    names = ["b1", "a10", "a2", "a02", "10", "9", "a"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "a02", "a2", "a10", "b1"]
    long = ["2" * 5000, "1" * 5001, "0" * 5000 + "3"]
    assert sorted(long, key=natural_key) == [long[2], long[0], long[1]]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".jpg"])
def test_size_is_that_of_the_picture(tmp_path, suffix):
    path = tmp_path / f"ü{suffix}"
    picture = np.arange(17 * 23 * 3, dtype=np.uint8).reshape(17, 23, 3)
    path.write_bytes(cv2.imencode(suffix, picture)[1].tobytes())
    assert measure_image(path) == Size(23, 17)
    assert read_image(path).shape == (17, 23, 3)
    if suffix in (".png", ".bmp", ".tif"):
        np.testing.assert_array_equal(read_image(path), picture[..., ::-1])


def test_exif_turn_is_applied_and_measured(tmp_path):
    path = tmp_path / "turned.jpg"
    plain = cv2.imencode(".jpg", np.zeros((16, 24, 3), np.uint8))[1].tobytes()
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    path.write_bytes(
        plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    )
    assert measure_image(path) == Size(16, 24)
    assert read_image(path).shape == (24, 16, 3)


def test_grey_and_opaque_alpha_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 5), 77, np.uint8))
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.full((4, 5, 3), 77))
    opaque = np.full((4, 5, 4), 255, np.uint8)
    opaque[..., 2] = 9
    cv2.imwrite(str(tmp_path / "opaque.png"), opaque)
    assert read_image(tmp_path / "opaque.png")[0, 0].tolist() == [9, 255, 255]


def test_refusals(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((4, 5, 3), np.uint16))
    with pytest.raises(VideoError, match="more than 8 bits"):
        read_image(tmp_path / "deep.png")
    cv2.imwrite(str(tmp_path / "clear.png"), np.full((4, 5, 4), 128, np.uint8))
    with pytest.raises(VideoError, match="transparent"):
        read_image(tmp_path / "clear.png")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png"):
        with pytest.raises(VideoError, match="damaged"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_cut_short(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = cv2.imencode(suffix, noise)[1].tobytes()
    (tmp_path / f"a{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="cut short"):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        ((1, 2, 3), None),
        ((7,), None),
        ((10, 20, 30), None),
        ((1001, 1002, 1005), "1003 to 1004"),
        ((8, 9, 11, 12, 15), "10, 13 to 14"),
        ((2, 4, 8), "6"),
        ((0, 1, *range(3, 20, 2)), "2, 4, 6, 8 and 5 more"),
    ],
)
def test_gaps_in_the_numbers_are_named(numbers, gaps):
    files = [Path("shot") / f"v2_{number:06d}.png" for number in numbers]
    notes = describe_gaps(Path("shot"), files)
    assert notes == (() if gaps is None else notes)
    assert gaps is None or notes[0].startswith(f"frame numbers {gaps} are missing in 'shot'; ")


def test_names_of_other_kinds_have_no_gaps():
    for names in (("a.png", "b.png"), ("a1.png", "b9.png"), ("1.png", "x.png", "9.png")):
        assert describe_gaps(Path("shot"), [Path(name) for name in names]) == ()


def test_write_fails_with_one_line(tmp_path):
    with pytest.raises(EncodeError, match="could not be written"):
        write_png(tmp_path / "none" / "a.png", np.zeros((4, 4, 3), np.uint8))
