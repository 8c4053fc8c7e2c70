"""E_warp and flicker: by hand along known motion, and on moving pictures by estimated motion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cleanplate.motion import DisFlow, FlowEstimator
from cleanplate.research.evaluation.steadiness import (
    Flicker,
    Follower,
    WarpingError,
    find_correspondence,
)

SHAPE = (24, 32)
HOLE = np.zeros(SHAPE, np.bool_)
HOLE[8:16, 10:20] = True


class Sliding(FlowEstimator):
    """Everything moves `step` pixels to the right from frame to frame; counts what is asked."""

    def __init__(self, step: float = 0) -> None:
        self.step = step
        self.prepared: list[int] = []

    def prepare(self, image: np.ndarray) -> int:
        self.prepared.append(int(image[0, 0, 0]))
        return len(self.prepared)

    def flow(self, source: Any, target: Any) -> np.ndarray:
        flow = np.zeros((*SHAPE, 2), np.float32)
        flow[..., 0] = self.step * (target - source)
        return flow


def flat(level: int) -> np.ndarray:
    return np.full((*SHAPE, 3), level, np.uint8)


def fill(level: int, truth: np.ndarray) -> np.ndarray:
    made = truth.copy()
    made[HOLE] = level
    return made


def test_warping_error_of_a_change_by_hand() -> None:
    metric = WarpingError(Follower(Sliding()))
    assert metric.add(flat(10), flat(0), HOLE) is None
    assert metric.add(flat(20), flat(0), HOLE) == pytest.approx(100 * (10 / 255) ** 2)
    assert metric.add(flat(20), flat(0), HOLE) == 0
    assert metric.result() == pytest.approx(50 * (10 / 255) ** 2)


def test_warping_error_follows_the_motion() -> None:
    stripe = flat(0)
    stripe[:, 10:14] = 200
    moved = np.roll(stripe, 3, axis=1)
    for step, expected in ((3, 0.0), (0, 100 * (200 / 255) ** 2 * 6 / 32)):
        metric = WarpingError(Follower(Sliding(step)))
        metric.add(stripe, None, HOLE)
        assert metric.add(moved, None, HOLE) == pytest.approx(expected)


def test_what_comes_into_the_picture_is_not_visible_before() -> None:
    back = np.zeros((*SHAPE, 2), np.float32)
    back[..., 0] = -5
    visible = find_correspondence(back, -back).visible
    assert not visible[:, :5].any()
    assert visible[:, 5:].all()


def test_what_was_covered_is_not_visible_before() -> None:
    """A square moves 4 to the right over a still wall: the wall it leaves was behind it."""
    back, forth = np.zeros((2, *SHAPE, 2), np.float32)
    back[8:16, 12:20, 0] = -4
    forth[8:16, 8:16, 0] = 4
    visible = find_correspondence(back, forth).visible
    assert not visible[9:15, 8:11].any()
    assert visible[9:15, 13:19].all()
    assert not visible[9:15, 19].any()  # an edge of motion
    assert visible[:6].all()


def test_flicker_of_a_fill_that_jumps_by_hand() -> None:
    metric = Flicker(Follower(Sliding()))
    still = flat(100)
    assert metric.add(fill(90, still), still, HOLE) is None
    assert metric.add(fill(96, still), still, HOLE) == pytest.approx(6)
    assert metric.add(fill(88, still), still, HOLE) == pytest.approx(8)
    assert metric.result() == pytest.approx(np.sqrt((36 + 64) / 2))


def test_a_wrong_but_steady_fill_does_not_flicker() -> None:
    metric = Flicker(Follower(Sliding()))
    for _ in range(3):
        metric.add(fill(0, flat(100)), flat(100), HOLE)
    assert metric.result() == 0


def test_flicker_is_what_exceeds_the_change_of_the_truth() -> None:
    metric = Flicker(Follower(Sliding()))
    for truth, made in ((100, 100), (105, 108), (100, 100)):  # a change of light by 5, made as 8
        metric.add(flat(made), flat(truth), HOLE)
    assert metric.result() == pytest.approx(3)


def test_a_frozen_fill_under_a_changing_light_is_steadier_than_the_truth() -> None:
    metric = Flicker(Follower(Sliding()))
    for truth in (100, 105, 100):
        metric.add(fill(50, flat(truth)), flat(truth), HOLE)
    assert metric.result() == pytest.approx(-5)


def test_without_the_truth_the_surroundings_stand_in() -> None:
    metric = Flicker(Follower(Sliding()))
    for around, inside in ((100, 50), (102, 57)):
        metric.add(fill(inside, flat(around)), None, HOLE)
    assert metric.result() == pytest.approx(7 - 2)


def test_without_hole_or_surroundings_there_is_no_flicker() -> None:
    for mask in (np.zeros(SHAPE, np.bool_), np.ones(SHAPE, np.bool_)):
        metric = Flicker(Follower(Sliding()))
        metric.add(flat(0), None, mask)
        assert metric.add(flat(9), None, mask) is None
        assert metric.result() is None


def test_motion_is_estimated_once_on_the_truth_for_both_metrics() -> None:
    estimator = Sliding()
    follower = Follower(estimator)
    metrics = WarpingError(follower), Flicker(follower)
    for level in (1, 2, 3):
        for metric in metrics:
            metric.add(flat(99), flat(level), HOLE)
    assert estimator.prepared == [1, 2, 3]


def test_frames_may_be_reused_by_the_caller() -> None:
    frame, truth = flat(10), flat(10)
    metrics = WarpingError(Follower(Sliding())), Flicker(Follower(Sliding()))
    for metric in metrics:
        frame[:], truth[:] = 10, 10
        metric.add(frame, truth, HOLE)
        frame[:] = 20
        metric.add(frame, truth, HOLE)
    assert metrics[0].result() == pytest.approx(100 * (10 / 255) ** 2)
    assert metrics[1].result() == pytest.approx(10)


@pytest.fixture
def panned(pan: Callable[..., np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The truth of a pan, and fills: stuck to the screen, and noise."""
    truth = pan(frames=6, size=(96, 64), step=(3, 0))
    mask = np.zeros((64, 96), np.bool_)
    mask[20:44, 30:66] = True
    stuck, noisy = truth.copy(), truth.copy()
    stuck[:, mask] = truth[0][mask]
    noisy[:, mask] = np.random.default_rng(0).integers(0, 256, noisy[:, mask].shape)
    return {"truth": truth, "stuck": stuck, "noisy": noisy}, mask


def measure(made: np.ndarray, truth: np.ndarray | None, mask: np.ndarray) -> tuple[float, float]:
    """E_warp and flicker by dense inverse search."""
    follower = Follower(DisFlow())
    metrics = WarpingError(follower), Flicker(follower)
    for index, frame in enumerate(made):
        for metric in metrics:
            metric.add(frame, None if truth is None else truth[index], mask)
    error, flicker = (metric.result() for metric in metrics)
    assert error is not None
    assert flicker is not None
    return error, flicker


def test_a_fill_stuck_to_the_screen_is_found_along_the_motion_of_the_truth(
    panned: tuple[dict[str, np.ndarray], np.ndarray],
) -> None:
    clips, mask = panned
    found = {name: measure(made, clips["truth"], mask) for name, made in clips.items()}
    assert found["truth"][1] == 0
    assert found["truth"][0] < 0.2
    assert found["truth"] < found["stuck"] < found["noisy"]
    assert found["stuck"][1] > 10


def test_a_fill_stuck_to_the_screen_is_no_witness_of_its_own_motion(
    panned: tuple[dict[str, np.ndarray], np.ndarray],
) -> None:
    """Without the truth, the motion inside the hole is that of the picture around it."""
    clips, mask = panned
    found = {name: measure(made, None, mask) for name, made in clips.items()}
    assert abs(found["truth"][1]) < 2
    assert found["stuck"][1] > 10
    assert found["truth"] < found["stuck"] < found["noisy"]
