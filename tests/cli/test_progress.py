"""The numbers behind the bar: frames of this run only, over a sliding window."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cleanplate.cli.options import Pace, _describe


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock) -> Pace:
    return Pace(clock)


def pass_span(pace: Pace, clock: Clock, first: int, *, wait: float, frames: int = 64) -> None:
    """A span comes after `wait` seconds, one frame a hundredth of a millisecond."""
    clock.now += wait
    for done in range(first, first + frames):
        pace.note(done)
        clock.now += 0.00001


def test_the_first_span_counts_with_the_time_it_took(pace, clock):
    pass_span(pace, clock, 1, wait=8.0)
    assert pace.rate is None  # the burst is not over
    clock.now += 1
    assert pace.rate == pytest.approx(8.0, rel=0.01)
    assert _describe(pace, 64, 128, "frames") == "64/128 8.0 frames/s 0:00:08"


def test_frames_of_an_earlier_run_do_not_count(pace, clock):
    for _ in range(5000):  # they pass by fast
        pace.note(5000)
        clock.now += 0.001
    assert pace.rate is None
    pass_span(pace, clock, 5001, wait=8.0)
    clock.now += 1
    assert pace.rate == pytest.approx(8.0, rel=0.01)
    assert pace.estimate_remaining(5064 + 80) == pytest.approx(9.0, rel=0.02)


def test_the_remaining_time_falls_with_the_clock(pace, clock):
    clock.now += 4.0
    seen = []
    for span in range(12):  # a span in 8 seconds
        pass_span(pace, clock, 1 + 64 * span, wait=4.0)
        for _ in range(4):
            clock.now += 1.0
            seen.append(pace.estimate_remaining(64 * 12))
    assert seen[0] == pytest.approx(8 * 11, abs=1.1)
    assert all(later < earlier for earlier, later in pairwise(seen[:-3]))
    assert seen[-1] == pytest.approx(0, abs=4)


def test_the_window_slides(pace, clock):
    for done in range(1, 1001):  # 10 frames a second, then 1
        clock.now += 0.1
        pace.note(done)
    assert pace.rate == pytest.approx(10, rel=0.05)
    for done in range(1001, 1101):
        clock.now += 1.0
        pace.note(done)
    assert pace.rate == pytest.approx(1, rel=0.05)


def test_rare_bursts_stay_in_the_window(pace, clock):
    for span in range(4):
        pass_span(pace, clock, 1 + 64 * span, wait=300.0)
    clock.now += 1
    assert pace.rate == pytest.approx(64 / 300, rel=0.02)


def test_one_frame_tells_no_rate(pace, clock):
    pace.note(0)
    clock.now += 12
    pace.note(1)
    clock.now += 1
    assert _describe(pace, 1, 300, "frames") == "1/300"
    clock.now += 11
    pace.note(65)
    clock.now += 1
    assert pace.rate == pytest.approx(65 / 24)


def test_what_takes_longer_than_estimated_has_no_remaining_time(pace, clock):
    pass_span(pace, clock, 1, wait=8.0)
    clock.now += 20
    assert pace.estimate_remaining(128) is None


def test_a_job_that_begins_again_is_measured_again(pace, clock):
    pass_span(pace, clock, 1, wait=8.0)
    clock.now += 1
    pace.note(3)
    assert pace.rate is None
    clock.now += 10
    pace.note(43)
    clock.now += 1
    assert pace.rate == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("done", "total", "says"), [(0, None, ""), (7, None, "7 frames"), (7, 30, "7/30")]
)
def test_what_is_not_known_is_left_out(pace, done, total, says):
    assert _describe(pace, done, total, "frames") == says
