from __future__ import annotations

import numpy as np

from cleanplate.overlays import Profile, estimate_overlay

from .drawing import BOX, SIZE, blend, draw_alpha, make_scene

PART = (slice(None), *BOX.slices)


def test_opacity_is_learned_in_spite_of_noise_and_wrong_fills(profile: Profile) -> None:
    truth = 0.6 * draw_alpha()[BOX.slices]
    assert profile.is_known.all()
    assert np.abs(profile.opacity - truth).mean() < 0.01
    assert np.abs(profile.opacity - truth).max() < 0.15


def test_colour_is_learned(profile: Profile) -> None:
    core = draw_alpha()[BOX.slices] > 0.95
    colour = profile.added[0][core] / profile.opacity[core]
    assert abs(np.median(colour) - 240) < 5
    assert np.abs(profile.added[1:][:, core]).max() < 3


def test_where_there_is_no_overlay_nothing_is_learned(profile: Profile) -> None:
    outside = draw_alpha()[BOX.slices] == 0
    assert (profile.keep[0][outside] == 1).mean() > 0.95


def test_a_background_at_rest_gives_a_large_error(profile: Profile) -> None:
    still = np.repeat(make_scene(1), 40, axis=0)
    shown = blend(still, 0.6 * draw_alpha())
    known = np.ones(still.shape[:3], np.bool_)
    found = estimate_overlay(shown[PART], still[PART], known[PART], BOX, SIZE)
    core = draw_alpha()[BOX.slices] > 0.5
    assert np.median(found.slope_error[core]) > 100 * np.median(profile.slope_error[core])


def test_pixels_without_samples_are_unknown() -> None:
    frames = make_scene(30)
    shown = blend(frames, 0.6 * draw_alpha())
    known = np.ones(frames.shape[:3], np.bool_)
    known[:, 20:24, 100:110] = False
    found = estimate_overlay(shown[PART], frames[PART], known[PART], BOX, SIZE)
    assert np.array_equal(found.is_known, known[0][BOX.slices])
    assert found.covers[~found.is_known].all()


def test_opaque_parts_are_not_solvable() -> None:
    frames = make_scene(40)
    shown = blend(frames, draw_alpha())
    known = np.ones(frames.shape[:3], np.bool_)
    found = estimate_overlay(shown[PART], frames[PART], known[PART], BOX, SIZE)
    opaque = draw_alpha()[BOX.slices] > 0.99
    assert not found.is_solvable[opaque].any()
