from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cleanplate.masks import synthetic

SIZE, TIMES = (60, 108), [0, 1, 2, 10, 30]
Draw = Callable[[np.random.Generator], synthetic.Masks]
KINDS: dict[str, Draw] = {
    "free-form at rest": lambda rng: synthetic.free_form(SIZE, TIMES, rng, moving=False),
    "free-form moving": lambda rng: synthetic.free_form(SIZE, TIMES, rng, moving=True),
    "blobs": lambda rng: synthetic.blobs(SIZE, TIMES, rng),
    "rectangles": lambda rng: synthetic.rectangles(SIZE, TIMES, rng),
    "text": lambda rng: synthetic.text_bars(SIZE, TIMES, rng),
    "mixed": lambda rng: synthetic.mixed(SIZE, TIMES, rng),
}


@pytest.mark.parametrize("kind", KINDS)
def test_masks_have_holes_and_leave_pixels(kind: str) -> None:
    for seed in range(20):
        masks = KINDS[kind](np.random.default_rng(seed))
        assert masks.shape == (len(TIMES), *SIZE)
        assert masks.dtype == bool
        assert masks.any(), seed
        assert masks.mean() < 0.6, seed


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_draw_equal_masks(kind: str) -> None:
    first, second = (KINDS[kind](np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, second)


def test_shapes_at_rest_stay_and_others_move() -> None:
    rest = KINDS["free-form at rest"](np.random.default_rng(1))
    assert (rest == rest[0]).all()
    moving = KINDS["free-form moving"](np.random.default_rng(1))
    assert (moving != moving[0]).any()


def test_motion_depends_on_the_frames_numbers_only() -> None:
    sparse = synthetic.free_form(SIZE, [0, 10], np.random.default_rng(2), moving=True)
    dense = synthetic.free_form(SIZE, list(range(11)), np.random.default_rng(2), moving=True)
    assert np.array_equal(sparse, dense[[0, 10]])


def test_a_contour_without_roughness_is_nearly_a_circle() -> None:
    curve = synthetic.contour(np.random.default_rng(0), corners=12, roughness=0)
    assert np.linalg.norm(curve, axis=1) == pytest.approx(1, abs=0.06)
