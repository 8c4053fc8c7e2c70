from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanplate.motion import enlarge, shrink, shrink_mask
from cleanplate.motion.areas import pull_push
from cleanplate.motion.spatial import continue_edges, guess_from_rim


def centre(shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(shape, np.bool_)
    mask[12:28, 20:40] = True
    return mask


def guess_into(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    filled = frame.copy()
    guess = guess_from_rim(frame, mask)
    assert guess is not None
    guess.put_into(filled, mask)
    return filled


def test_known_pixels_stay(pan) -> None:
    frame, mask = pan(frames=1, size=(60, 40))[0], centre()
    before = frame.copy()
    for fill in (guess_into, continue_edges):
        np.testing.assert_array_equal(fill(frame, mask)[~mask], frame[~mask])
        np.testing.assert_array_equal(frame, before)


def test_what_the_hole_shows_is_never_looked_at(pan) -> None:
    frame, mask = pan(frames=1, size=(60, 40))[0], centre()
    other = frame.copy()
    other[mask] = (255, 0, 255)
    for fill in (guess_into, continue_edges):
        np.testing.assert_array_equal(fill(frame, mask)[mask], fill(other, mask)[mask])


def test_a_plain_wall_is_filled_plainly() -> None:
    frame = np.full((40, 60, 3), (90, 120, 30), np.uint8)
    for fill, most in ((guess_into, 0), (continue_edges, 8)):
        # OpenCV's Telea follows gradients that its own rounding makes: a few levels.
        np.testing.assert_allclose(fill(frame, centre()).astype(int), frame, atol=most)


def test_no_hole_and_nothing_but_hole() -> None:
    frame = np.full((8, 9, 3), 77, np.uint8)
    nothing, everything = np.zeros((8, 9), np.bool_), np.ones((8, 9), np.bool_)
    assert guess_from_rim(frame, nothing) is None
    assert continue_edges(frame, nothing) is frame
    assert continue_edges(frame, everything) is frame
    assert not guess_into(frame, everything).any()


def test_variety_tells_texture_from_a_wall(pan) -> None:
    mask = centre()
    wall = np.full((40, 60, 3), 128, np.uint8)
    textured = pan(frames=1, size=(60, 40))[0]
    y, x = (axis.astype(np.float32) for axis in np.nonzero(mask))
    found = [guess_from_rim(frame, mask).at(x, y, 60) for frame in (wall, textured)]
    assert found[0][:, 3].max() < 10
    assert found[1][:, 3].mean() > 100


def test_a_guess_can_be_asked_at_another_size(pan) -> None:
    frame, mask = pan(frames=1, size=(60, 40))[0], centre()
    guess = guess_from_rim(frame, mask)
    assert guess is not None
    large = np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)
    again = np.zeros((80, 120, 3), np.uint8)
    guess.put_into(again, large)
    once = np.zeros_like(frame)
    guess.put_into(once, mask)
    assert np.abs(again[large].mean(0) - once[mask].mean(0)).max() < 1
    assert not again[~large].any()


THIN = """
import numpy as np
from cleanplate.motion.spatial import continue_edges
numbers = np.random.default_rng(2)
for shape in [(1, 9), (9, 1), (2, 33), (1, 300), (3, 3), (7, 50)]:
    frame = np.sort(numbers.integers(0, 256, (*shape, 3), np.uint8), axis=1)
    for share in (0.3, 0.6):
        hole = numbers.random(shape) < share
        print(shape, continue_edges(frame, hole).tobytes().hex())
"""


def test_memory_beyond_a_thin_picture_is_not_read() -> None:
    """OpenCV's Telea takes what lies there, so results changed from run to run."""
    results = {
        subprocess.run(
            [sys.executable, "-c", THIN],
            env={**os.environ, "MALLOC_PERTURB_": str(number)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for number in (1, 128)  # glibc fills memory with it; elsewhere nothing is shown
    }
    assert len(results) == 1


def test_edges_go_on_into_the_hole() -> None:
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[20:] = 200
    for scale in (1.0, 2.0):
        made = continue_edges(frame, centre(), scale)
        assert made[14, 22:38].max() < 60
        assert made[25, 22:38].min() > 140


@given(
    value=st.floats(-100, 100, width=32),
    height=st.integers(1, 21),
    width=st.integers(1, 21),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_pull_push_carries_a_constant_anywhere(value, height, width, seed) -> None:
    weight = (np.random.default_rng(seed).random((height, width)) < 0.2).astype(np.float32)
    weight[0, 0] = 1
    values = np.where(weight[..., None] > 0, np.float32(value), np.float32(1e6))
    values = values.astype(np.float32)
    completed = pull_push(values, weight)
    assert completed.shape == values.shape
    np.testing.assert_allclose(completed, value, rtol=1e-3, atol=1e-3)


def test_pull_push_knows_nothing_without_weight() -> None:
    assert not pull_push(np.ones((7, 5, 2), np.float32), np.zeros((7, 5), np.float32)).any()


def test_a_shrunk_mask_keeps_every_hole() -> None:
    mask = np.zeros((41, 61), np.bool_)
    mask[17, 33] = True
    small = shrink_mask(mask, (20, 30))
    assert small.shape == (20, 30)
    assert small.any()


def test_sizes_come_and_go(pan) -> None:
    frame = pan(frames=1, size=(60, 40))[0]
    assert shrink(frame, (40, 60)) is frame
    assert enlarge(frame, (40, 60)) is frame
    assert enlarge(shrink(frame, (20, 30)), (40, 60)).shape == frame.shape
