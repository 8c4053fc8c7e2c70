from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cleanplate.research import holes as outlines
from cleanplate.research import holes as synthetic
from cleanplate.research.holes import Outlines

SIZE, TIMES = (60, 108), [0, 1, 2, 10, 30]
Draw = Callable[[np.random.Generator], Outlines]
KINDS: dict[str, Draw] = {
    "free-form at rest": lambda rng: outlines.free_form(SIZE, TIMES, rng, moving=False),
    "free-form moving": lambda rng: outlines.free_form(SIZE, TIMES, rng, moving=True),
    "blobs": lambda rng: outlines.blobs(SIZE, TIMES, rng),
    "rectangles": lambda rng: outlines.rectangles(SIZE, TIMES, rng),
    "text": lambda rng: outlines.text_bars(SIZE, TIMES, rng),
    "paper": lambda rng: outlines.paper(SIZE, TIMES, rng),
    "mixed": lambda rng: outlines.mixed(SIZE, TIMES, rng),
}


def draw(kind: str, seed: int) -> np.ndarray:
    masks: np.ndarray = KINDS[kind](np.random.default_rng(seed)).draw().numpy()
    return masks


@pytest.mark.parametrize("kind", KINDS)
def test_masks_have_holes_and_leave_pixels(kind: str) -> None:
    for seed in range(20):
        masks = draw(kind, seed)
        assert masks.shape == (len(TIMES), *SIZE)
        assert masks.dtype == bool
        assert masks.any(), seed
        assert masks.mean() < 0.6, seed


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_draw_equal_masks(kind: str) -> None:
    assert np.array_equal(draw(kind, 4), draw(kind, 4))
    assert any((draw(kind, 4) != draw(kind, seed)).any() for seed in (5, 6))


def test_shapes_at_rest_stay_and_others_move() -> None:
    rest = draw("free-form at rest", 1)
    assert (rest == rest[0]).all()
    for kind in ("free-form moving", "blobs"):
        moving = draw(kind, 1)
        assert (moving != moving[0]).any()


def test_the_paper_s_holes_are_at_rest_half_of_the_time() -> None:
    at_rest = [(masks == masks[0]).all() for masks in (draw("paper", seed) for seed in range(60))]
    assert 20 <= sum(at_rest) <= 40


def test_motion_depends_on_the_frames_numbers_only() -> None:
    sparse = synthetic.draw_free_form(SIZE, [0, 10], np.random.default_rng(2), moving=True)
    dense = synthetic.draw_free_form(SIZE, list(range(11)), np.random.default_rng(2), moving=True)
    assert np.array_equal(sparse, dense[[0, 10]])


def test_a_contour_without_roughness_is_nearly_a_circle() -> None:
    curve = outlines.contour(np.random.default_rng(0), corners=12, roughness=0)
    assert np.linalg.norm(curve, axis=1) == pytest.approx(1, abs=0.06)
