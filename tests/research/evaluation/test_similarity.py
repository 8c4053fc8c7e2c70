"""SSIM against scikit-image and against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from cleanplate.research.evaluation.metric import (
    UNIFORM_SIDE,
    Ssim,
    measure_ssim_gaussian,
    measure_ssim_uniform,
)


@pytest.fixture(params=[(65, 65), (66, 97), (120, 101)])
def pair(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture and a damaged one."""
    height, width = request.param
    y, x = np.mgrid[:height, :width]
    truth = np.stack([x * 2, y * 2, x + y], -1) % 256
    noise = np.random.default_rng(1).integers(-40, 40, truth.shape)
    made = truth + noise * (x > width // 2)[..., None]
    return made.clip(0, 255).astype(np.uint8), truth.astype(np.uint8)


def test_uniform_window_equals_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    expected = structural_similarity(*pair, win_size=65, channel_axis=-1, data_range=255)
    assert measure_ssim_uniform(*pair) / 100 == pytest.approx(expected, abs=1e-9)


def test_gaussian_window_equals_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    expected = structural_similarity(
        *pair,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1,
        data_range=255,
    )
    assert measure_ssim_gaussian(*pair) / 100 == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(0, 3), slice(0, 3)), (slice(70, 75), slice(80, 90)), (slice(139, 140), slice(0, 150))],
)
def test_small_differences_anywhere_equal_scikit_image(rows: slice, columns: slice) -> None:
    truth = np.random.default_rng(2).integers(0, 256, (140, 150, 3), dtype=np.uint8)
    made = truth.copy()
    made[rows, columns] = 128
    expected = structural_similarity(made, truth, win_size=65, channel_axis=-1, data_range=255)
    assert expected < 1
    assert measure_ssim_uniform(made, truth) / 100 == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("measure", [measure_ssim_uniform, measure_ssim_gaussian])
def test_extremes_do_not_overflow(measure) -> None:
    black, white = np.zeros((70, 70, 3), np.uint8), np.full((70, 70, 3), 255, np.uint8)
    assert measure(white, white) == pytest.approx(100)
    # Without variance only the brightness term is left: C1 / (255² + C1), C1 = 2.55².
    assert measure(black, white) == pytest.approx(100 * 6.5025 / (65025 + 6.5025), rel=1e-6)


def test_brightness_alone_by_hand() -> None:
    made, truth = (np.full((65, 65, 3), level, np.uint8) for level in (100, 120))
    expected = (2 * 100 * 120 + 6.5025) / (100**2 + 120**2 + 6.5025)
    assert measure_ssim_uniform(made, truth) == pytest.approx(100 * expected, abs=1e-9)


def test_frames_are_sampled_from_the_first_and_those_without_hole_left_out() -> None:
    levels = iter([10.0, 20.0, 30.0])
    metric = Ssim("ssim", lambda made, truth: next(levels), 4, every=2)
    frame, hole, none = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), np.zeros((8, 8), bool)
    masks = [hole, hole, none, hole, hole]
    values = [metric.add(frame, frame, mask) for mask in masks]
    assert values == [10.0, None, None, None, 20.0]
    assert metric.result() == 15.0


def test_frames_smaller_than_the_window_are_a_gap_and_no_number() -> None:
    metric = Ssim("ssim", measure_ssim_uniform, UNIFORM_SIDE, every=1)
    frame = np.zeros((64, 100, 3), np.uint8)
    assert metric.add(frame, frame, np.ones((64, 100), np.bool_)) is None
    assert metric.result() is None
    assert metric.gap is not None
    assert "65x65" in metric.gap


def test_without_the_truth_there_is_nothing_to_measure() -> None:
    metric = Ssim("ssim", measure_ssim_uniform, UNIFORM_SIDE, every=1)
    frame = np.zeros((70, 70, 3), np.uint8)
    assert metric.add(frame, None, np.ones((70, 70), np.bool_)) is None
    assert metric.result() is None
