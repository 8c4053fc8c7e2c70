from fractions import Fraction

import numpy as np
import pytest

from cleanplate.errors import InputError, MaskError
from cleanplate.masks import BoxMask, TimedBox, parse_time
from cleanplate.types import Box

from .conftest import FakeInfo


def holes(text: str, info: FakeInfo, *times: float) -> list[np.ndarray]:
    source = BoxMask([TimedBox.parse(text)])
    source.prepare(info)
    return [source.mask(index, Fraction(time)) for index, time in enumerate(times)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("7.25", Fraction(29, 4)),
        (".5", Fraction(1, 2)),
        ("90", 90),
        ("1:02", 62),
        ("01:02.5", Fraction(125, 2)),
        ("1:00:00", 3600),
        ("10:59:59.999", Fraction(39599999, 1000)),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "a", "-1", "1:60", "1:99:00", "1:2:3:4", "1e3", "1,5", "²"])
def test_no_times(text):
    with pytest.raises(MaskError, match="no time"):
        parse_time(text)


def test_spans_are_open_or_closed():
    box = Box(1, 2, 3, 4)
    assert TimedBox.parse("1,2,3,4") == TimedBox(box)
    assert TimedBox.parse("1,2,3,4@3-") == TimedBox(box, Fraction(3), None)
    assert TimedBox.parse("1,2,3,4@-5") == TimedBox(box, None, Fraction(5))
    assert TimedBox.parse("1,2,3,4@0:03-1:00.5") == TimedBox(box, Fraction(3), Fraction(121, 2))


@pytest.mark.parametrize(
    "text", ["1,2,3", "1,2,0,4", "1,2,3,4@", "1,2,3,4@-", "1,2,3,4@3", "1,2,3,4@5-3", "1,2,3,4@3-3"]
)
def test_bad_boxes_are_input_errors_that_name_the_text(text):
    with pytest.raises(InputError, match="box '1,2,"):
        TimedBox.parse(text)


def test_a_box_is_shown_from_start_to_before_end(info):
    source = BoxMask([TimedBox.parse("2,3,4,5@0.04-0.08")])
    source.prepare(info)
    exact = [source.mask(i, Fraction(i, 25)).any() for i in range(3)]
    assert exact == [False, True, False]


def test_a_box_marks_its_pixels_and_is_clipped(info):
    (hole,) = holes("35,-2,10,5", info, 0)
    expected = np.zeros((24, 40), bool)
    expected[:3, 35:] = True
    assert (hole == expected).all()


def test_a_box_outside_names_the_frame(info):
    with pytest.raises(MaskError, match="box 40,0,5,5 is outside the frame, which is 40x24"):
        holes("40,0,5,5", info)


def test_a_box_that_starts_after_the_end_names_the_duration(info):
    with pytest.raises(MaskError, match=r"starts at 9 s but the video ends at 0\.12 s"):
        holes("0,0,5,5@9-", info)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_boxes_are_in_display_orientation(rotation):
    info = FakeInfo(rotation=rotation)
    (hole,) = holes("1,2,3,4", info, 0)
    assert hole.shape == info.size.shape
    shown = np.rot90(hole, -rotation // 90)  # clockwise
    assert shown[2:6, 1:4].all()
    assert shown.sum() == 12
    with pytest.raises(MaskError, match=str(info.display_size)):
        holes("100,0,2,2", info)


def test_boxes_may_overlap_in_time(info):
    source = BoxMask([Box(0, 0, 2, 2), TimedBox(Box(1, 1, 2, 2), start=Fraction(1, 25))])
    source.prepare(info)
    assert [source.mask(i, Fraction(i, 25)).sum() for i in range(2)] == [4, 7]
    source.close()


@pytest.mark.parametrize("text", ["9" * 400, "1" * 5000, "9" * 5000 + ":00:00", "0." + "3" * 5000])
def test_no_time_is_beyond_all_bounds(info, text):
    with pytest.raises(MaskError, match="no time"):
        holes(f"1,1,2,2@{text}-", info, 0)
    with pytest.raises(InputError):
        holes(f"{text},1,2,2", info, 0)


def test_a_span_in_thirty_years_is_refused_in_words(info):
    with pytest.raises(MaskError, match="starts at"):
        holes("1,1,2,2@999999999-", info, 0)
