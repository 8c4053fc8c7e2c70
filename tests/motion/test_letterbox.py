from __future__ import annotations

import numpy as np
import pytest

from cleanplate import inpaint
from cleanplate.motion import fill_bars, find_picture
from cleanplate.types import Box

SIZE = (120, 80)


def frame_in(frames: np.ndarray, picture: Box, colour=(0, 0, 0), noise: int = 2) -> np.ndarray:
    """`frames` (t, h, w, 3) with bars of `colour` around `picture`, and a little coding noise."""
    noisy = np.random.default_rng(3).integers(-noise, noise + 1, frames.shape)
    barred = np.clip(np.array(colour) + noisy, 0, 255).astype(np.uint8)
    inside = (slice(None), *picture.slices)
    barred[inside] = frames[inside]
    return barred


def find(frames: np.ndarray, hole: np.ndarray | None = None) -> Box:
    hole = np.zeros(frames.shape[1:3], np.bool_) if hole is None else hole
    return find_picture([(frame, ~hole) for frame in frames])


PICTURES = {
    "letterbox": Box(0, 12, 120, 55),
    "one bar": Box(0, 0, 120, 66),
    "pillars": Box(17, 0, 90, 80),
    "window": Box(10, 8, 99, 60),
}


@pytest.mark.parametrize("colour", [(0, 0, 0), (16, 16, 16), (200, 30, 90)])
@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_bars_are_found(pan, picture, colour) -> None:
    assert find(frame_in(pan(frames=6, size=SIZE), picture, colour)) == picture


def test_a_caption_in_a_bar_hides_nothing(pan) -> None:
    picture = PICTURES["letterbox"]
    frames, hole = frame_in(pan(frames=6, size=SIZE), picture), np.zeros((80, 120), np.bool_)
    hole[69:78, 20:100] = True
    frames[:, hole] = 255
    assert find(frames, hole) == picture


def test_a_picture_without_bars_is_all_picture(pan) -> None:
    whole = Box(0, 0, *SIZE)
    moving = pan(frames=6, size=SIZE)
    sky = moving.copy()
    sky[:, :40] = np.linspace(250, 180, 40)[:, None, None]  # a gradient into the horizon
    plain = np.full_like(moving, 90)
    for frames in (moving, sky, plain):
        assert find(frames) == whole


def test_a_bar_is_filled_with_its_rows_and_columns(pan) -> None:
    picture = PICTURES["window"]
    clean = frame_in(pan(frames=1, size=SIZE), picture, (30, 60, 90), noise=0)[0]
    hole = np.zeros((80, 120), np.bool_)
    hole[50:75, 90:116] = True
    shown = np.where(hole[..., None], 255, clean).astype(np.uint8)
    box = Box(88, 48, 30, 29)
    filled, in_bar = fill_bars(shown, hole, picture, box)
    np.testing.assert_array_equal(filled[in_bar], clean[box.slices][in_bar])
    assert in_bar.sum() == box.width * box.height - (109 - 88) * (68 - 48)


@pytest.mark.parametrize("method", ["auto", "flow"])
@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_a_hole_across_the_edge_keeps_bar_and_picture_apart(pan, picture, method) -> None:
    clean = frame_in(pan(frames=12, size=SIZE), picture, noise=0)
    hole = np.zeros((12, 80, 120), np.bool_)
    for t in range(12):  # it moves, so that other frames show what it hides
        hole[t, 52:76, 5 + 7 * t : 25 + 7 * t] = True
    shown = np.where(hole[..., None], np.uint8(255), clean)
    filled = inpaint(shown, hole, method=method, dilate=0, feather=0)
    inside = np.zeros_like(hole)
    inside[(slice(None), *picture.slices)] = True
    assert not filled[hole & ~inside].any()
    error = filled[hole & inside].astype(int) - clean[hole & inside]
    assert np.sqrt((error**2).mean()) < 12


def test_what_lies_in_a_bar_does_not_change_the_picture(pan) -> None:
    picture = PICTURES["letterbox"]
    clean = frame_in(pan(frames=6, size=SIZE), picture, noise=0)
    hole = np.zeros((6, 80, 120), np.bool_)
    hole[:, 68:76, 30:90] = True
    shown = np.where(hole[..., None], np.uint8(255), clean)
    filled = inpaint(shown, hole, dilate=4, feather=3)
    np.testing.assert_array_equal(filled, clean)
