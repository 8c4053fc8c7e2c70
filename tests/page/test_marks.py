"""Boxes, clicks and strokes, and the masks they make."""

import numpy as np
import pytest
from pydantic import ValidationError

from cleanplate.page.marks import BoxMark, ClickMark, Stroke, Thing, fill_box, paint, round_box
from cleanplate.types import Box

EMPTY = np.zeros((40, 60), np.bool_)


def no_click(mark):
    raise AssertionError("there is no click here")


def stroke(kind, points, radius=5.0):
    return Stroke(kind=kind, frame=0, radius=radius, points=points)


def test_a_dab_is_a_disc():
    mask = paint(EMPTY, [stroke("brush", [(30, 20)])], no_click)
    rows, columns = np.mgrid[:40, :60]
    distance = np.hypot(columns + 0.5 - 30, rows + 0.5 - 20)
    assert mask[distance < 4].all()
    assert not mask[distance > 6].any()


def test_a_line_covers_its_way():
    mask = paint(EMPTY, [stroke("brush", [(10, 20), (50, 20)], 4)], no_click)
    assert mask[17:23, 10:50].all()
    assert not mask[:14].any()
    assert not mask[26:].any()


def test_the_last_stroke_decides_and_painting_twice_changes_nothing():
    strokes = [
        stroke("brush", [(10, 20), (50, 20)]),
        stroke("erase", [(30, 20)], 7),
        stroke("brush", [(30, 20)], 2),
    ]
    once = paint(EMPTY, strokes, no_click)
    assert once[20, 30]
    assert not once[20, 25]
    assert once[20, 12]
    assert (paint(once, strokes, no_click) == once).all()


def test_strokes_may_leave_the_picture():
    mask = paint(EMPTY, [stroke("brush", [(-500, -500), (5, 5), (900, 5)])], no_click)
    assert mask[5, 59]
    assert not mask[20:].any()


def test_clicks_add_what_they_mean():
    region = EMPTY.copy()
    region[3:6, 3:6] = True
    mark = ClickMark(kind="click", frame=0, point=(4, 4))
    mask = paint(EMPTY, [mark, stroke("erase", [(4, 4)], 1)], lambda found: region)
    assert not mask[4, 4]
    assert mask[3, 5]


def test_boxes_are_rounded_and_clipped():
    mark = BoxMark(kind="box", frame=0, box=(2.4, 3.6, 10, 0.2))
    assert round_box(mark) == Box(2, 4, 10, 1)
    outside = BoxMark(kind="box", frame=0, box=(-5, 38, 10, 10))
    assert fill_box((40, 60), outside).sum() == 5 * 2


@pytest.mark.parametrize(
    "mark",
    [
        {"kind": "box", "frame": -1, "box": [0, 0, 1, 1]},
        {"kind": "box", "frame": 0, "box": [0, 0, 1]},
        {"kind": "box", "frame": 0, "box": [0, 0, 1, float("nan")]},
        {"kind": "brush", "frame": 0, "radius": 0, "points": [[1, 1]]},
        {"kind": "brush", "frame": 0, "radius": 3, "points": []},
        {"kind": "brush", "frame": 0, "radius": 3, "points": [[1, 1e30]]},
        {"kind": "erase", "frame": 0, "radius": 3, "points": [[1, 1]] * 4001},
        {"kind": "click", "frame": 0, "point": [1, 1], "path": "../x"},
        {"kind": "polygon", "frame": 0},
    ],
)
def test_marks_out_of_bounds_are_refused(mark):
    with pytest.raises(ValidationError):
        Thing.model_validate({"marks": [mark]})
