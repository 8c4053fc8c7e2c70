from fractions import Fraction

import numpy as np
import pytest

from cleanplate.errors import InputError, MaskError
from cleanplate.masks import BoxMask, TimedBox, list_doubts, parse_time
from cleanplate.masks.opening import describe_cuts
from cleanplate.types import Box, Size
from cleanplate.video import open_reader, probe

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


def shown(path, text: str) -> list[int]:
    """Numbers of the frames in which a box is."""
    info = probe(path)
    source = BoxMask([TimedBox.parse(f"2,3,4,5@{text}")])
    source.prepare(info)
    with open_reader(path, info) as reader:
        return [one.index for one in reader if source.mask(one.index, one.time).any()]


@pytest.mark.parametrize("name", ["slides.mp4", "slides.mkv"])
@pytest.mark.parametrize(
    ("span", "frames"),
    [
        ("0.5-1", [0]),  # in the middle of a slide
        ("1.9-2.1", [0, 1]),
        ("2-2.04", [1]),
        ("2.5-", [1, 2]),
        ("-0.001", [0]),
        ("2.999-3", [1]),
        ("3.02-3.03", [2]),  # during the last one
    ],
)
def test_a_span_meets_every_frame_that_is_on_the_screen_in_it(make_clip, name, span, frames):
    slides = make_clip(name, time_base=Fraction(1, 1000), pts=[0, 2000, 3000])
    assert shown(slides, span) == frames


@pytest.mark.parametrize(("span", "frames"), [("0.05-0.06", [1]), ("0.08-0.2", [2, 3, 4])])
def test_a_span_between_two_timestamps(make_clip, images, span, frames):
    assert shown(make_clip(frames=8), span) == frames
    names = [f"{number}.png" for number in range(8)]
    per_image = [number for number in range(8) if meets(span, number, 24)]
    assert shown(images(names), span) == per_image


def meets(span: str, number: int, rate: int) -> bool:
    start, end = map(Fraction, span.split("-"))
    return Fraction(number, rate) < end and Fraction(number + 1, rate) > start


def test_a_span_of_a_clip_that_starts_late(make_clip):
    late = make_clip("late.mkv", time_base=Fraction(1, 1000), pts=[500, 540, 580])
    assert shown(late, "0.55-0.56") == [1]
    with pytest.raises(MaskError, match=r"ends at 0\.5 s but the first frame is shown at 0\.5 s"):
        shown(late, "0.1-0.5")


def test_a_box_outside_names_the_pixel_aspect():
    with pytest.raises(MaskError, match="which is 40x24 with pixels of 8:5, shown as 64x24"):
        holes("50,0,5,5", FakeInfo(sample_aspect_ratio=Fraction(8, 5)))


def test_boxes_that_are_cut_are_noted_once_with_figures(info):
    size = info.display_size
    inside, wide = Box(0, 0, size.width, size.height), Box(-3, 2, size.width + 9, 4)
    mask = BoxMask([inside, wide, TimedBox(wide, Fraction(0)), Box(size.width - 1, 0, 7, 1)])
    mask.prepare(info)
    assert list_doubts(mask) == [
        f"cut at the edge of the frame ({size}): box {wide} to 0,2,{size.width},4,"
        f" {size.width - 1},0,7,1 to {size.width - 1},0,1,1"
    ]
    whole = BoxMask([inside])
    whole.prepare(info)
    assert list_doubts(whole) == []


def test_a_note_names_a_few_of_many_boxes():
    boxes = [Box(10 * number, 0, 5, 300) for number in range(7)]
    (note,) = describe_cuts(boxes, Size(100, 50))
    assert note.endswith("30,0,5,300 to 30,0,5,50 and 3 more")


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


@pytest.mark.parametrize("text", [None, 3, b"1,2,3,4", ["1,2,3,4"]])
def test_a_box_is_read_from_text_only(text):
    with pytest.raises(InputError, match="box"):
        TimedBox.parse(text)
