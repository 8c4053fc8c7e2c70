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
