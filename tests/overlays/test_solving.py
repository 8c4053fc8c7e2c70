from __future__ import annotations

import numpy as np

from cleanplate.overlays import Profile, Solver

from .drawing import BOX, blend, draw_alpha, make_scene, measure

PART = (slice(None), *BOX.slices)
CORE = draw_alpha()[BOX.slices] > 0.02
HOLE = np.ones(CORE.shape, np.bool_)


def test_the_picture_behind_comes_back(profile: Profile) -> None:
    truth = make_scene(6, seed=9)[PART]
    shown = blend(make_scene(6, seed=9), 0.6 * draw_alpha())[PART]
    fill = np.full_like(truth, 128)
    solver = Solver(profile, noise=0.4)
    found = np.stack([solver.solve(BOX, *one, HOLE)[0] for one in zip(shown, fill, strict=True)])
    assert measure(found, truth, (slice(None), CORE)) > 40


def test_a_good_fill_counts_more_than_noise(profile: Profile) -> None:
    random = np.random.default_rng(5)
    truth = make_scene(6, seed=9)[PART]
    shown = blend(make_scene(6, seed=9), 0.6 * draw_alpha())[PART]
    noisy = np.clip(shown + random.normal(0, 8, shown.shape), 0, 255).astype(np.uint8)
    fill = np.clip(truth + random.normal(0, 2, truth.shape), 0, 255).astype(np.uint8)
    solver = Solver(profile, noise=8)
    found = np.stack([solver.solve(BOX, *one, HOLE)[0] for one in zip(noisy, fill, strict=True)])
    where = (slice(None), CORE)
    assert measure(found, truth, where) > measure(fill, truth, where) - 0.2


def test_noise_is_measured_when_nothing_says_it(profile: Profile) -> None:
    random = np.random.default_rng(5)
    truth = make_scene(6, seed=9)[PART]
    shown = blend(make_scene(6, seed=9), 0.6 * draw_alpha())[PART]
    noisy = np.clip(shown + random.normal(0, 3, shown.shape), 0, 255).astype(np.uint8)
    fill = np.clip(truth + random.normal(0, 3, truth.shape), 0, 255).astype(np.uint8)
    found = np.stack(
        [Solver(profile).solve(BOX, *one, HOLE)[0] for one in zip(noisy, fill, strict=True)]
    )
    where = (slice(None), CORE)
    assert measure(found, truth, where) > measure(fill, truth, where) - 0.2


def test_a_frame_without_the_overlay_is_left_to_the_fill(profile: Profile) -> None:
    truth = make_scene(1, seed=9)[PART][0]
    found, share = Solver(profile, noise=1).solve(BOX, truth, truth, HOLE)
    assert np.array_equal(found, truth)
    assert not share.any()


def test_only_the_hole_is_solved(profile: Profile) -> None:
    shown = blend(make_scene(1, seed=9), 0.6 * draw_alpha())[PART][0]
    fill = np.full_like(shown, 128)
    hole = HOLE.copy()
    hole[:, :30] = False
    found, share = Solver(profile, noise=0.4).solve(BOX, shown, fill, hole)
    assert (found[:, :30] == 128).all()
    assert not share[:, :30].any()
    assert share[:, 30:].any()
