from __future__ import annotations

import numpy as np
import pytest

from cleanplate.motion import Weighing
from cleanplate.motion.candidates import Candidates, Ground, blend_candidates, settle_thin

HOLE = np.zeros((20, 30), np.bool_)
HOLE[5:15, 8:22] = True
COUNT = int(HOLE.sum())
EVERY = np.arange(COUNT)
"""All pixels of the hole, as its rim."""


def pair(
    forward: float,
    backward: float,
    *,
    found: tuple[bool, bool] = (True, True),
    age: tuple[float, float] = (2, 2),
    doubt: tuple[float, float] = (0, 0),
    step: float = np.nan,
    offset: float = 0.0,
    follows_model: bool = False,
) -> Candidates:
    """Two plain pictures, the same everywhere in the hole."""

    def spread(values: tuple[float, float]) -> np.ndarray:
        return np.repeat(np.float32(values)[:, None], COUNT, axis=1)

    colours = np.repeat(spread((forward, backward))[..., None], 3, axis=2)
    return Candidates(
        colours=colours,
        found=spread(found) > 0,
        age=spread(age),
        doubt=spread(doubt),
        step=np.full((2, COUNT), step, np.float32),
        offset=np.full((2, COUNT, 3), offset, np.float32),
        follows_model=follows_model,
    )


def blend(*pairs: Candidates, guess: float = 200.0) -> tuple[np.ndarray, np.ndarray]:
    colours = np.full((COUNT, 3), guess, np.float32)
    variety = np.full(COUNT, 400, np.float32)
    return blend_candidates(list(pairs), colours, variety, Ground(HOLE, EVERY, 1.0), Weighing())


def test_what_both_directions_say_wins_over_the_guess() -> None:
    values, share = blend(pair(50, 50))
    assert values.shape == (COUNT, 3)
    assert np.abs(values - 50).max() < 5
    assert share.max() < 0.05


def test_without_a_source_the_guess_is_all() -> None:
    values, share = blend(pair(50, 50, found=(False, False)))
    np.testing.assert_allclose(values, 200, atol=1e-3)
    np.testing.assert_allclose(share, 1)


@pytest.mark.parametrize(
    "worse",
    [{"age": (2.0, 40.0)}, {"doubt": (0.0, 5.0)}],
    ids=["old", "doubtful"],
)
def test_the_surer_direction_weighs_more(worse: dict[str, tuple[float, float]]) -> None:
    values, _ = blend(pair(50, 80, **worse), guess=65)
    assert values.mean() < 60


def test_one_that_stands_alone_is_outvoted() -> None:
    alone = pair(250, 50, found=(True, False), follows_model=True)
    values, _ = blend(pair(50, 52), alone, guess=60)
    assert np.abs(values - 51).max() < 8


def test_a_change_of_light_is_taken_out() -> None:
    values, _ = blend(pair(50, 50, step=10.0, offset=6.0), guess=56)
    assert np.abs(values - 56).max() < 2


def test_another_thing_beside_the_hole_speaks_against_a_source() -> None:
    trusted = blend(pair(50, 50, step=0.0))[1]
    doubted = blend(pair(50, 50, step=4000.0, offset=60.0))[1]
    assert (doubted > 2 * trusted).all()


def test_a_missing_direction_does_not_matter_to_the_other() -> None:
    values, share = blend(pair(50, 0, found=(True, False)))
    assert np.abs(values - 50).max() < 30
    assert share.max() < 0.5


def test_what_is_known_at_the_rim_reaches_the_middle() -> None:
    rim = np.flatnonzero((HOLE.cumsum(1) == 1)[HOLE])  # the left column
    step, offset = np.full(len(rim), 4, np.float32), np.full((len(rim), 3), 6, np.float32)
    step[0] = np.nan
    ground = Ground(HOLE, rim, 1.0)
    height, width = ground.part.shape
    spread = ground.spread(step, offset)[:height, :width][ground.part]
    steps, offsets = spread[:, 0], spread[:, 1:]
    assert steps.shape == (COUNT,)
    np.testing.assert_allclose(steps, 4, rtol=1e-3)
    column = np.nonzero(HOLE)[1]
    near, far = offsets[column == 8].mean(), offsets[column == 21].mean()
    assert 6 >= near > far > 0  # it fades away


def test_at_the_border_of_the_picture_nothing_is_known() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[:10] = True
    depth = Ground(mask, np.arange(0), 1.0).depth.reshape(10, 30)
    np.testing.assert_allclose(depth[:, 15], np.arange(10, 0, -1), rtol=0.05)


def test_nothing_better_is_sought_for_thin_holes() -> None:
    hole = np.zeros((60, 80), np.bool_)
    hole[5:8, 5:70] = True  # a stroke
    hole[20:50, 20:60] = True
    share = np.ones(np.count_nonzero(hole), np.float32)
    open_ = np.zeros_like(hole)
    open_[hole] = settle_thin(hole, share, 1.0) > 0
    assert not open_[5:8].any()
    assert open_[20:50, 20:60].all()
