import numpy as np
import pytest

from cleanplate.errors import MaskError
from cleanplate.masks import read_marked, read_size
from cleanplate.types import Size

SQUARE = np.zeros((24, 40), np.uint8)
SQUARE[5:10, 6:20] = 255


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"])
def test_read_size_and_marks_of_common_formats(write, name):
    path = write(name, SQUARE)
    assert read_size(path) == Size(40, 24)
    assert (read_marked(path) == (SQUARE > 0)).mean() > 0.99


def test_size_of_progressive_jpeg_with_a_comment_comes_from_its_header(tmp_path):
    import cv2

    data = cv2.imencode(".jpg", SQUARE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:2] + b"\xff\xfe\x00\x04\xff\xd9" + data[2:])
    assert read_size(path) == Size(40, 24)


def test_threshold_is_exclusive(write):
    path = write("a.png", np.full((4, 4), 127, np.uint8))
    assert not read_marked(path).any()
    assert read_marked(path, 126).all()


def test_any_channel_of_a_colour_mask_counts(write):
    pixels = np.zeros((3, 3, 3), np.uint8)
    for channel in range(3):
        pixels[channel, channel, channel] = 255
    assert (read_marked(write("a.png", pixels)) == np.eye(3, dtype=bool)).all()


def test_alpha_counts_only_where_something_is_see_through(write):
    painted = np.zeros((4, 6, 4), np.uint8)
    painted[1:3, 1:4, 3] = 255  # black paint on nothing
    assert read_marked(write("a.png", painted)).sum() == 6
    opaque = np.full((4, 6, 4), 255, np.uint8)
    opaque[..., :3] = 0
    opaque[0, 0, :3] = 255
    assert read_marked(write("b.png", opaque)).sum() == 1


def test_sixteen_bits_are_scaled(write):
    path = write("a.png", (SQUARE > 0).astype(np.uint16) * 65535)
    assert (read_marked(path) == (SQUARE > 0)).all()
    assert not read_marked(write("b.png", np.full((4, 4), 255, np.uint16))).any()


def test_float_images_are_scaled(write):
    path = write("a.tif", (SQUARE > 0).astype(np.float32))
    assert (read_marked(path) == (SQUARE > 0)).all()


@pytest.mark.parametrize("alphas", [b"", b"\x00"], ids=["opaque", "transparent background"])
def test_every_label_of_an_annotation_palette_counts(write_palette, alphas):
    palette = bytes([0, 0, 0, 128, 0, 0, 0, 0, 64, 1, 1, 2])
    indices = np.array([[0, 1, 2, 3], [0, 0, 0, 0]])
    assert (read_marked(write_palette(indices, palette, alphas)) == (indices > 0)).all()


@pytest.mark.parametrize("palette", [bytes([0, 0, 0, 255, 255, 255]), b"\xff\xff\xff\0\0\0"])
def test_a_palette_of_greys_is_a_grey_image(write_palette, palette):
    indices = np.array([[0, 1, 1], [0, 0, 1]])
    white = 1 if palette[0] == 0 else 0
    assert (read_marked(write_palette(indices, palette, b"")) == (indices == white)).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"])
@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.9])
def test_half_written_images_are_named(write, name, part):
    noise = np.random.default_rng(0).integers(0, 255, (24, 40), np.uint8)
    path = write(name, noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    for read in (read_size, read_marked):
        with pytest.raises(MaskError, match=name):
            read(path)


def test_other_files_are_named(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    with pytest.raises(MaskError, match=r"notes\.png is no image"):
        read_marked(path)
    with pytest.raises(MaskError, match="cannot read mask"):
        read_size(tmp_path / "absent.png")


@pytest.mark.parametrize("palette", [b"", b"\0\0\0\1", bytes(5)])
def test_a_palette_of_broken_colours_is_refused_in_words(write_palette, palette):
    with pytest.raises(MaskError, match="damaged"):
        read_marked(write_palette(np.zeros((4, 4), np.uint8), palette, b""))
