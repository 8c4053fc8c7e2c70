from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cleanplate.errors import MaskError
from cleanplate.masks import BoxMask, FolderMask, ImageMask, Union, open_mask
from cleanplate.types import Box

from .conftest import FakeInfo

EVAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval"


def corner(height: int = 24, width: int = 40) -> np.ndarray:
    pixels = np.zeros((height, width), np.uint8)
    pixels[:3, :5] = 255
    return pixels


def first(source, info) -> np.ndarray:
    source.prepare(info)
    hole = source.mask(0, Fraction(0))
    source.close()
    return hole


def test_one_image_serves_all_frames(write, info):
    source = open_mask(write("a.png", corner()))
    assert isinstance(source, ImageMask)
    source.prepare(info)
    for index in range(5):
        assert (source.mask(index, Fraction(index)) == (corner() > 0)).all()


def test_results_may_be_changed(write, info):
    source = open_mask(write("a.png", corner()))
    source.prepare(info)
    source.mask(0, Fraction(0))[:] = True
    assert source.mask(1, Fraction(1)).sum() == 15


def test_an_image_that_lies_below_the_threshold_is_refused(write, info):
    with pytest.raises(MaskError, match="marks nothing above the threshold 127"):
        first(open_mask(write("a.png", corner() // 255)), info)
    assert first(open_mask(write("b.png", corner() // 255), threshold=0), info).sum() == 15


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_folder_of_labels_below_the_threshold_is_refused_at_its_end(write, tmp_path, info, kind):
    for number in range(3):
        write(f"m/{number}.png", (corner() // 255 * (number == 1)).astype(kind))
    source = open_mask(tmp_path / "m")
    source.prepare(info)
    assert not any(source.mask(index, Fraction(index)).any() for index in range(2))
    with pytest.raises(MaskError, match=r"m marks nothing above the threshold 127; .* lower"):
        source.mask(2, Fraction(2))

    lower = open_mask(tmp_path / "m", threshold=0)
    lower.prepare(info)
    assert [lower.mask(index, Fraction(index)).sum() for index in range(3)] == [0, 15, 0]


def test_a_folder_may_be_black_in_part_or_as_a_whole(write, tmp_path, info):
    for number in range(3):
        write(f"m/{number}.png", corner() // 255 * (255 if number == 0 else 1))
        write(f"n/{number}.png", corner() * 0)
    for folder, marks in (("m", [15, 0, 0]), ("n", [0, 0, 0])):
        source = open_mask(tmp_path / folder)
        source.prepare(info)
        assert [source.mask(index, Fraction(index)).sum() for index in range(3)] == marks


def test_a_black_image_marks_nothing(write, info):
    assert not first(open_mask(write("a.png", corner() * 0)), info).any()


def test_inverted(write, info):
    hole = first(open_mask(write("a.png", corner()), invert=True), info)
    assert (hole == (corner() == 0)).all()


def test_a_folder_is_sorted_naturally(write, tmp_path, info):
    for number in (1, 2, 10):
        pixels = np.zeros((24, 40), np.uint8)
        pixels[0, number] = 255
        write(f"masks/m{number}.png", pixels)
    (tmp_path / "masks" / ".hidden.png").write_text("")
    (tmp_path / "masks" / "notes.txt").write_text("")
    source = open_mask(tmp_path / "masks")
    assert isinstance(source, FolderMask)
    source.prepare(info)
    assert [int(source.mask(i, Fraction(i)).argmax()) for i in range(3)] == [1, 2, 10]
    with pytest.raises(MaskError, match="3 masks but the video continues to frame 4"):
        source.mask(3, Fraction(3))


def test_a_wrong_number_names_both(write, tmp_path, info):
    write("masks/0.png", corner())
    with pytest.raises(MaskError, match="holds 1 mask but the video has 3 frames"):
        open_mask(tmp_path / "masks").prepare(info)


def test_an_empty_folder_and_a_missing_path_are_refused(tmp_path, info):
    with pytest.raises(MaskError, match="holds no images"):
        open_mask(tmp_path).prepare(info)
    with pytest.raises(MaskError, match="does not exist"):
        open_mask(tmp_path / "absent")


def test_a_wrong_size_names_both_before_the_first_frame(write, tmp_path, info):
    with pytest.raises(MaskError, match=r"is 50x24 but the video is 40x24;"):
        open_mask(write("a.png", corner(24, 50))).prepare(info)
    for number, width in enumerate((40, 40, 44)):
        write(f"masks/{number}.png", corner(24, width))
    with pytest.raises(MaskError, match=r"2\.png is 44x24 but the video is 40x24"):
        open_mask(tmp_path / "masks").prepare(info)


def test_a_damaged_image_is_found_before_the_first_frame(write, tmp_path, info):
    for number in range(3):
        path = write(f"masks/{number}.png", corner())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MaskError, match=r"2\.png is half-written"):
        open_mask(tmp_path / "masks").prepare(info)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_masks_are_in_display_orientation(write, rotation):
    info = FakeInfo(rotation=rotation)
    shown = corner(*info.display_size.shape)
    hole = first(open_mask(write("a.png", shown)), info)
    assert hole.shape == info.size.shape
    assert (np.rot90(hole, -rotation // 90) == (shown > 0)).all()


def test_a_mask_of_the_stored_size_only_is_taken_as_stored(write):
    info = FakeInfo(rotation=90)
    assert (first(open_mask(write("a.png", corner())), info) == (corner() > 0)).all()
    with pytest.raises(MaskError, match=r"is 9x9 but the video is 24x40 \(or 40x24 as stored\)"):
        open_mask(write("b.png", corner(9, 9))).prepare(info)


WIDE = Fraction(8, 5)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("aspect", [WIDE, 1 / WIDE])
def test_a_mask_in_the_size_that_players_show_is_scaled(write, rotation, aspect):
    info = FakeInfo(rotation=rotation, sample_aspect_ratio=aspect)
    width, height = info.shown_size.width, info.shown_size.height
    shown = np.zeros((height, width), np.uint8)
    shown[3:9, width // 4 : width // 2] = 255
    hole = first(open_mask(write("a.png", shown)), info)
    assert hole.shape == info.size.shape
    upright = np.rot90(hole, -rotation // 90)
    scale = info.display_size.width / width
    rows, columns = (np.flatnonzero(upright.any(axis=axis)) for axis in (1, 0))
    assert abs(rows[0] - 3) <= 1
    assert abs(rows[-1] - 8) <= 1
    assert abs(columns[0] - width // 4 * scale) <= 1
    assert abs(columns[-1] + 1 - width // 2 * scale) <= 1


def test_no_mark_is_lost_by_scaling(write):
    info = FakeInfo(sample_aspect_ratio=WIDE)
    for column in range(64):
        shown = np.zeros((24, 64), np.uint8)
        shown[5, column] = 255
        assert first(open_mask(write("a.png", shown)), info).any()


@pytest.mark.parametrize(("width", "taken"), [(62, False), (63, True), (65, True), (66, False)])
def test_players_round_the_shown_size_in_their_own_ways(write, width, taken):
    info = FakeInfo(sample_aspect_ratio=WIDE)
    source = open_mask(write("a.png", np.zeros((24, width), np.uint8)))
    if taken:
        source.prepare(info)
        return
    words = rf"is {width}x24 but the video is 40x24 with pixels of 8:5, shown as 64x24; make"
    with pytest.raises(MaskError, match=words):
        source.prepare(info)


def test_square_pixels_are_not_scaled(write):
    info = FakeInfo(sample_aspect_ratio=Fraction(1))
    with pytest.raises(MaskError, match="is 41x24 but the video is 40x24; make"):
        open_mask(write("a.png", corner(24, 41))).prepare(info)


def test_a_folder_of_both_orientations_is_refused(write, tmp_path):
    for number, shape in enumerate([(24, 40), (40, 24), (24, 40)]):
        write(f"masks/{number}.png", corner(*shape))
    with pytest.raises(MaskError, match="differ in size"):
        open_mask(tmp_path / "masks").prepare(FakeInfo(rotation=90))


def test_union(write, info):
    source = Union([open_mask(write("a.png", corner())), BoxMask([Box(30, 20, 2, 2)])])
    assert first(source, info).sum() == 15 + 4
    with pytest.raises(MaskError, match="no mask given"):
        Union([])
    with pytest.raises(MaskError, match="outside the frame"):
        Union([BoxMask([Box(0, 0, 2, 2)]), BoxMask([Box(90, 0, 2, 2)])]).prepare(info)


@pytest.mark.skipif(not EVAL.is_dir(), reason="no evaluation sequences beside the checkout")
@pytest.mark.parametrize("kind", ["stationary", "moving"])
def test_evaluation_masks(kind):
    from cleanplate.types import Size

    folder = EVAL / "bmx-trees" / kind
    count = len(list(folder.glob("*.png")))
    source = open_mask(folder)
    source.prepare(FakeInfo(size=Size(432, 240), frame_count=count))
    shares = [source.mask(index, Fraction(index, 24)).mean() for index in range(count)]
    assert 0.02 < np.mean(shares) < 0.2
