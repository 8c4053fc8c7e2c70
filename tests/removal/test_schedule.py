from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanplate.removal.networks import crossfade_weight, schedule_windows


@given(length=st.integers(1, 120))
def test_every_frame_is_filled(length: int) -> None:
    windows = list(schedule_windows(length))
    assert {frame for window in windows for frame in window.neighbours} == set(range(length))
    for window in windows:
        assert window.frames == window.neighbours + window.references
        assert len(set(window.frames)) == len(window.frames)
        assert all(0 <= frame < length for frame in window.frames)


@given(length=st.integers(1, 60), frame=st.integers(0, 59))
def test_weights_are_positive_and_largest_at_the_centre(length: int, frame: int) -> None:
    for window in schedule_windows(length):
        if frame in window.neighbours:
            weight = crossfade_weight(frame, window)
            assert 0 < weight <= crossfade_weight(window.centre, window) == 1


def test_a_window_begins_every_radius_frames() -> None:
    windows = list(schedule_windows(20, radius=4, reference_step=6))
    assert [window.centre for window in windows] == [0, 4, 8, 12, 16]
    assert windows[2].neighbours == tuple(range(4, 13))
    assert windows[2].references == (0, 18)


@given(length=st.integers(1, 400))
def test_spread_references_are_bounded_and_lie_around_the_centre(length: int) -> None:
    for window in schedule_windows(length, spread=(8, 12, 40)):
        ways = {abs(frame - window.centre) for frame in window.references}
        assert ways <= {8, 12, 40}
        assert len(window.references) <= 6
        assert all(0 <= frame < length for frame in window.references)


def test_nothing_is_scheduled_for_nothing() -> None:
    assert list(schedule_windows(0)) == []


@pytest.mark.parametrize("length", [300])
def test_references_grow_with_the_length_only(length: int) -> None:
    last = list(schedule_windows(length))[-1]
    assert len(last.references) == length // 10 - 1
