"""Look-alikes are found while they are apart, and carried through a crossing by their velocity."""

from __future__ import annotations

import numpy as np
import pytest

from cleanplate.masks.tracking.appearance import Place
from cleanplate.masks.tracking.course import Course
from cleanplate.masks.tracking.rivals import Rivals, Surroundings

SHAPE = (60, 240)
SIDE = 20
COLOURS = 1728
OURS, GROUND = 700, 100


def square(left: int) -> np.ndarray:
    """A square of SIDE pixels whose left edge is at `left`, bool (h, w)."""
    mask = np.zeros(SHAPE, np.bool_)
    mask[20 : 20 + SIDE, max(left, 0) : max(left + SIDE, 0)] = True
    return mask


def moving(speed: float) -> Course:
    """A course of `speed` pixels per frame to the right; backward motion points to the left."""
    course = Course()
    course.measure(np.array([[-speed, 0]], np.float32))
    return course


def look(ours: int, theirs: int, colour: int = OURS) -> tuple[np.ndarray, Surroundings]:
    """What a frame shows: the object moves 3 pixels to the right, the other 3 to the left."""
    own = np.zeros((*SHAPE, 2), np.float32)
    own[square(theirs)] = (3, 0)
    own[square(ours)] = (-3, 0)
    colours = np.full(SHAPE, GROUND, np.int32)
    colours[square(theirs)] = colour
    colours[square(ours)] = OURS
    frequency = np.zeros(COLOURS, np.float32)
    frequency[OURS] = 1
    return own, Surroundings(colours, frequency, own)


def cross(frames: int, colour: int = OURS) -> tuple[Rivals, Place, Place]:
    """Let two squares approach each other from 150 pixels apart for `frames` frames."""
    rivals, course = Rivals(), moving(3)
    for frame in range(frames):
        ours, theirs = 20 + 3 * frame, 170 - 3 * frame
        place = Place.around(square(ours))
        rivals.carry(np.zeros((*SHAPE, 2), np.float32), place, 3)
        _, view = look(ours, theirs, colour)
        rivals.learn(view.find_candidates(course, square(ours), SIDE), view, place, SIDE**2)
    return rivals, place, Place.around(square(theirs))


def test_a_look_alike_meets_the_object_when_they_touch() -> None:
    assert not cross(10)[0].meets
    assert cross(23)[0].meets


def test_what_looks_different_is_no_look_alike() -> None:
    assert not cross(23, colour=1500)[0].meets


@pytest.mark.parametrize("frames", [23, 25, 28])
def test_a_look_alike_keeps_its_pixels_through_a_crossing(frames: int) -> None:
    rivals, place, other = cross(frames)
    ours, theirs = (round(p.x - SIDE / 2) for p in (place, other))
    own, _ = look(ours, theirs)
    claimed = rivals.claim(own, moving(3), square(ours))
    only = square(theirs) & ~square(ours)
    assert claimed[only].mean() > 0.8
    assert not claimed[square(ours)].any(), "what the object is known to fill stays its own"


def test_motion_tells_which_pixels_are_the_look_alikes() -> None:
    rivals, place, other = cross(24)
    ours, theirs = (round(p.x - SIDE / 2) for p in (place, other))
    own, _ = look(ours, theirs)
    along = rivals.move_along(own, moving(3))
    assert along[square(theirs) & ~square(ours)].mean() > 0.8
    assert not along[square(ours)].any()


def test_after_the_crossing_they_are_apart_again() -> None:
    assert not cross(45)[0].meets


def test_specks_and_walls_are_no_look_alikes() -> None:
    for width in (2, 200):
        rivals, place = Rivals(), Place.around(square(10))
        own = np.zeros((*SHAPE, 2), np.float32)
        colours = np.full(SHAPE, GROUND, np.int32)
        colours[20:40, 35 : 35 + width] = OURS
        frequency = np.zeros(COLOURS, np.float32)
        frequency[OURS] = 1
        for _ in range(4):
            view = Surroundings(colours, frequency, own)
            candidates = view.find_candidates(moving(3), square(10), SIDE)
            rivals.learn(candidates, view, place, SIDE**2)
            rivals.carry(own, place, 10)
        assert not rivals.meets


def test_velocity_follows_what_is_measured_and_fades_without() -> None:
    course = Course()
    for _ in range(20):
        course.measure(np.full((5, 2), 4, np.float32))
    np.testing.assert_allclose(course.speed, 4)
    course.coast()
    assert 3.8 < course.speed[0] < 4
