"""PSNR against numbers worked by hand and against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from cleanplate.research.evaluation.metric import (
    HIGHEST,
    HolePsnr,
    Psnr,
    measure_squared_error,
    to_decibels,
)

ALL = np.ones((4, 4), np.bool_)
NONE = np.zeros((4, 4), np.bool_)


def gray(level: int, size: tuple[int, int] = (4, 4)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def test_an_error_of_one_level_everywhere_is_48_decibels() -> None:
    metric = Psnr()
    assert metric.add(gray(101), gray(100), ALL) == pytest.approx(48.1308, abs=1e-4)


def test_psnr_equals_scikit_image() -> None:
    rng = np.random.default_rng(0)
    made, truth = rng.integers(0, 256, (2, 37, 53, 3), dtype=np.uint8)
    expected = peak_signal_noise_ratio(truth, made, data_range=255)
    value = Psnr().add(made, truth, np.ones((37, 53), np.bool_))
    assert value == pytest.approx(expected, abs=1e-9)


def test_squared_error_of_large_frames_does_not_overflow() -> None:
    made, truth = gray(255, (2100, 4000)), gray(0, (2100, 4000))
    expected = 2100 * 4000 * 3 * 255**2
    assert measure_squared_error(made, truth) == pytest.approx(expected, rel=1e-12)


def test_psnr_is_the_mean_of_the_frames_decibels() -> None:
    metric = Psnr()
    metric.add(gray(101), gray(100), ALL)  # error 1
    metric.add(gray(110), gray(100), ALL)  # error 100: 20 dB less
    assert metric.result() == pytest.approx(48.1308 - 10, abs=1e-4)


def test_frames_without_a_hole_are_left_out() -> None:
    for metric in (Psnr(), HolePsnr()):
        assert metric.add(gray(100), gray(100), NONE) is None
        assert metric.result() is None
        value = metric.add(gray(101), gray(100), ALL)
        assert metric.result() == value


def test_a_frame_equal_to_the_truth_is_not_infinite() -> None:
    for metric in (Psnr(), HolePsnr()):
        assert metric.add(gray(7), gray(7), ALL) == HIGHEST
        assert metric.result() == HIGHEST
    assert to_decibels(1e-12) == HIGHEST


def test_nothing_is_measured_without_the_truth() -> None:
    for metric in (Psnr(), HolePsnr()):
        assert metric.add(gray(7), None, ALL) is None
        assert metric.result() is None


def test_hole_psnr_pools_the_error_over_the_hole_pixels_of_all_frames() -> None:
    one = NONE.copy()
    one[0, 0] = True
    made = gray(100)
    made[0, 0] = 104  # error 16 on one pixel
    metric = HolePsnr()
    assert metric.add(made, gray(100), one) == pytest.approx(to_decibels(16))
    assert metric.add(gray(101), gray(100), ALL) == pytest.approx(to_decibels(1))
    assert metric.result() == pytest.approx(to_decibels((16 + 16 * 1) / 17))


def test_hole_psnr_does_not_look_outside_the_hole() -> None:
    one = NONE.copy()
    one[0, 0] = True
    made = gray(200)
    made[0, 0] = 101
    assert HolePsnr().add(made, gray(100), one) == pytest.approx(to_decibels(1))
