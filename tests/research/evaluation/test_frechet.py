"""The Fréchet distance against the closed form, scipy's matrix root and hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from cleanplate.research.evaluation.learned import measure_frechet_distance


def make_samples(count: int, mean: np.ndarray, covariance: np.ndarray, seed: int) -> np.ndarray:
    """Samples whose own mean and covariance are exactly those asked for."""
    raw = np.random.default_rng(seed).normal(size=(count, len(mean)))
    raw -= raw.mean(0)
    whitened = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def test_one_dimension_by_hand() -> None:
    # Means 1 and 4, deviations √2 and 2√2: 3² + (√2)² = 11.
    first, second = np.array([[0.0], [2.0]]), np.array([[2.0], [6.0]])
    assert measure_frechet_distance(first, second) == pytest.approx(11)


def test_equals_the_closed_form_for_gaussians_with_commuting_covariances() -> None:
    spread, other = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 16.0])
    first = make_samples(50, np.zeros(3), np.diag(spread), 0)
    second = make_samples(40, np.array([1.0, 2.0, 3.0]), np.diag(other), 1)
    expected = 1 + 4 + 9 + ((np.sqrt(spread) - np.sqrt(other)) ** 2).sum()
    assert measure_frechet_distance(first, second) == pytest.approx(expected, abs=1e-9)


def test_equals_the_matrix_root_for_gaussians_of_any_covariance() -> None:
    rng = np.random.default_rng(2)
    one, other = (root @ root.T + np.eye(6) for root in rng.normal(size=(2, 6, 6)))
    first, second = make_samples(30, np.zeros(6), one, 3), make_samples(30, np.ones(6), other, 4)
    expected = 6 + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert measure_frechet_distance(first, second) == pytest.approx(expected, abs=1e-8)


def test_singular_covariances_give_a_finite_number() -> None:
    first, second = np.random.default_rng(5).normal(size=(2, 5, 1024))
    distance = measure_frechet_distance(first, second)
    assert np.isfinite(distance)
    assert distance > ((first.mean(0) - second.mean(0)) ** 2).sum()


def test_equal_samples_are_at_no_distance_and_never_below() -> None:
    samples = np.random.default_rng(6).normal(size=(5, 1024))
    assert 0 <= measure_frechet_distance(samples, samples.copy()) < 1e-9


def test_one_sample_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two samples"):
        measure_frechet_distance(np.zeros((1, 4)), np.zeros((5, 4)))
