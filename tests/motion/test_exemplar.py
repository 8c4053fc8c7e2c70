from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cleanplate.motion.spatial import fill_from_rim
from cleanplate.plates import exemplar
from cleanplate.plates.exemplar import complete_by_example

from .test_propagation import psnr


def weave(height: int = 120, width: int = 160) -> np.ndarray:
    """A cloth of slanted threads, which repeats, in uneven light."""
    y, x = np.mgrid[:height, :width]
    threads = 60 * (np.sin((x + y) * 2 * np.pi / 10) > 0) + 50 * (np.sin((x - y) * np.pi / 8) > 0)
    cloth = 70 + threads[..., None] * np.array([1.0, 0.7, 0.4]) + x[..., None] / 8
    return np.rint(cloth).astype(np.uint8)


def middle(shape: tuple[int, int], side: int = 24) -> np.ndarray:
    hole = np.zeros(shape, np.bool_)
    top, left = shape[0] // 2 - side // 2, shape[1] // 2 - side // 2
    hole[top : top + side, left : left + side] = True
    return hole


def test_a_texture_goes_on() -> None:
    picture = weave()
    hole = middle(picture.shape[:2])
    made = complete_by_example(picture, hole)
    assert made is not None
    smooth = fill_from_rim(picture, hole, hole.size)
    assert psnr(made[hole], picture[hole]) > psnr(smooth[hole], picture[hole]) + 4
    assert made[hole].std() > 0.8 * picture[hole].std()


def test_known_pixels_stay_and_hidden_ones_are_not_looked_at() -> None:
    picture = weave()
    hole = middle(picture.shape[:2])
    loud = picture.copy()
    loud[hole] = (255, 0, 255)
    made, again = (complete_by_example(one, hole) for one in (picture, loud))
    assert made is not None
    assert again is not None
    np.testing.assert_array_equal(made[~hole], picture[~hole])
    np.testing.assert_array_equal(made, again)


def test_a_slow_change_of_colour_goes_on_without_steps() -> None:
    y, x = np.mgrid[:100, :140]
    picture = np.stack([40 + x / 2, 60 + y / 2, 30 + (x + y) / 4], axis=2).astype(np.uint8)
    hole = middle((100, 140), 40)
    made = complete_by_example(picture, hole)
    assert made is not None
    near = cv2.dilate(hole.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    steps = [np.abs(np.diff(made, axis=axis)).max(2) for axis in (0, 1)]
    assert steps[0][near[1:]].max() < 8
    assert steps[1][near[:, 1:]].max() < 8


def test_a_large_hole_is_put_together_of_what_was_found_in_small(monkeypatch) -> None:
    picture = weave(240, 320)
    hole = middle((240, 320), 80)
    searched = complete_by_example(picture, hole)
    less = replace(exemplar._TUNING, searched=80 * 80 // 4)
    monkeypatch.setattr(exemplar, "_TUNING", less)
    made = complete_by_example(picture, hole)
    assert made is not None
    assert searched is not None
    assert not np.array_equal(made, searched)
    assert made[hole].std() > 0.8 * picture[hole].std()
    np.testing.assert_array_equal(made[~hole], picture[~hole])


def test_threads_change_nothing() -> None:
    picture, usual = weave(), cv2.getNumThreads()
    hole = middle(picture.shape[:2], 40)
    made = []
    try:
        for threads in (1, 3):
            cv2.setNumThreads(threads)
            made.append(complete_by_example(picture, hole))
    finally:
        cv2.setNumThreads(usual)
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("where", ["top", "left", "corner", "rows", "all but a column"])
def test_a_hole_may_touch_the_border(where: str) -> None:
    picture = weave(90, 121)
    hole = np.zeros(picture.shape[:2], np.bool_)
    part = {
        "top": np.s_[:20, 40:60],
        "left": np.s_[30:50, :20],
        "corner": np.s_[-17:, -17:],
        "rows": np.s_[40:60, :],
        "all but a column": np.s_[:, :80],
    }[where]
    hole[part] = True
    made = complete_by_example(picture, hole)
    assert made is not None
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made[~hole], picture[~hole])


@pytest.mark.parametrize("shape", [(120, 160), (13, 80), (5, 5), (1, 1)])
@pytest.mark.parametrize("share", [0, 1])
def test_without_enough_around_it_nothing_is_made(shape: tuple[int, int], share: int) -> None:
    hole = np.full(shape, share, np.bool_)
    assert complete_by_example(np.zeros((*shape, 3), np.uint8), hole) is None
    hole[0, 0] = True
    if min(shape) < 14:
        assert complete_by_example(np.zeros((*shape, 3), np.uint8), hole) is None
