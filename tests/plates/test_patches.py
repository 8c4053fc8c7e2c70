"""The kernels of exemplar-based completion against OpenCV and NumPy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.plates import patches


@pytest.mark.parametrize(("count", "others"), [(40, 700), (3, 256), (5, 1)])
def test_the_nearest_patch_is_that_of_opencv(count, others) -> None:
    rng = np.random.default_rng(count)
    wanted = rng.normal(0, 100, (count, 18)).astype(np.float32)
    known = rng.normal(0, 100, (others, 18)).astype(np.float32)
    apart, nearest = cv2.batchDistance(wanted, known, cv2.CV_32F, normType=cv2.NORM_L2, K=1)
    distance, found = patches.find_nearest(wanted, np.ascontiguousarray(known.T))
    np.testing.assert_array_equal(found, nearest[:, 0])
    np.testing.assert_allclose(distance, apart[:, 0], rtol=1e-6)


def test_the_first_of_equal_patches_is_taken() -> None:
    known = np.ones((18, 600), np.float32)
    known[:, :300] = 2
    assert patches.find_nearest(np.ones((1, 18), np.float32), known)[1] == 300


def test_patches_are_added_around_their_targets() -> None:
    rng = np.random.default_rng(3)
    height, width, reach = 20, 24, 3
    pixels = rng.uniform(0, 255, (height * width, 3)).astype(np.float32)
    rows, columns = rng.integers(reach, height - reach, 30), rng.integers(reach, width - reach, 30)
    target = rows * width + columns
    source = np.flip(target)
    weight, light = rng.random(30, np.float32), rng.normal(0, 9, (30, 3)).astype(np.float32)
    shares = rng.random((7, 7))
    total = np.zeros((height * width, 4), np.float32)
    patches.add_patches(pixels, target, source, weight, light, shares, width, total)
    wanted = np.zeros_like(total)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            step = dy * width + dx
            share = (weight * shares[dy + reach, dx + reach])[:, None]
            np.add.at(wanted[:, :3], target + step, share * (pixels[source + step] + light))
            np.add.at(wanted[:, 3], target + step, share[:, 0])
    np.testing.assert_allclose(total, wanted, rtol=1e-4, atol=1e-3)


def test_few_pixels_are_compared_up_to_light() -> None:
    rng = np.random.default_rng(5)
    one = rng.uniform(0, 255, (15, 22, 3)).astype(np.float32)
    other = rng.integers(0, 256, (15, 22, 3)).astype(np.uint8)
    known, seen = rng.random((2, 15, 22)) < 0.7
    count, spread = patches.compare_few(one, known, other, seen)
    both = known[::2, ::2] & seen[::2, ::2]
    apart = one[::2, ::2][both].astype(np.float64) - other[::2, ::2][both]
    assert count == both.sum()
    assert spread == pytest.approx(apart.var(axis=0).mean(), rel=1e-9)
    assert patches.compare_few(one, known, other, ~known) == (0, 0)


@pytest.mark.parametrize("displaced", [(0, 0), (3, 0), (0, -6)])
def test_detail_is_correlated_where_both_are_known(displaced) -> None:
    rng = np.random.default_rng(6)
    one, other = rng.normal(0, 9, (2, 40, 60)).astype(np.float32)
    known, seen = rng.random((2, 40, 60)) < 0.95
    y, x = np.mgrid[:40, :60].astype(np.float32)
    x, y = x + np.float32(1.5), y * np.float32(0.9)
    overlap, score = patches.correlate_few(one, known, other, seen, x, y, *displaced)
    to_x, to_y = x[::2, ::2] + displaced[0], y[::2, ::2] + displaced[1]
    cover = cv2.remap((~seen).astype(np.float32), to_x, to_y, cv2.INTER_LINEAR, borderValue=(1,))
    both = known[::2, ::2] & (cover == 0)
    found = cv2.remap(other, to_x, to_y, cv2.INTER_LINEAR)
    assert overlap == pytest.approx(both.mean(), abs=0.03)
    expected = np.corrcoef(one[::2, ::2][both], found[both])[0, 1]
    assert score == pytest.approx(expected, abs=0.02)
