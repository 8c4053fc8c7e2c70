from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.errors import InputError
from cleanplate.overlays import Profile, place
from cleanplate.types import Size

from .drawing import BOX, SIZE, blend, draw_alpha, make_scene


def test_its_own_place_is_found_exactly(profile: Profile) -> None:
    shown = blend(make_scene(30, seed=7), 0.6 * draw_alpha())
    found = place(profile, shown, SIZE)
    assert found.fits
    assert found.profile is profile


def test_another_place_is_found(profile: Profile) -> None:
    alpha = np.roll(draw_alpha(), (40, -60), (0, 1))
    found = place(profile, blend(make_scene(30, seed=7), 0.6 * alpha), SIZE)
    moved = found.profile
    assert found.fits
    y, x = np.unravel_index(np.argmax(moved.opacity), moved.opacity.shape)
    assert alpha[moved.box.y + y, moved.box.x + x] > 0.8
    part = alpha[moved.box.slices]
    assert np.abs(moved.opacity - 0.6 * part).mean() < 0.04


def test_another_size_is_found(profile: Profile) -> None:
    size = Size(240, 144)
    alpha = cv2.resize(draw_alpha(), (240, 144), interpolation=cv2.INTER_CUBIC)
    found = place(profile, blend(make_scene(30, 7, size), 0.6 * alpha), size)
    assert found.fits
    assert abs(found.scale - 1.5) < 0.03
    part = alpha[found.profile.box.slices]
    assert np.abs(found.profile.opacity - 0.6 * part).mean() < 0.04


@pytest.mark.parametrize("text", ["", "A1", "XO", "HH", "8B", "M", "ooo"])
def test_other_overlays_do_not_fit(profile: Profile, text: str) -> None:
    shown = blend(make_scene(30, seed=7), 0.6 * draw_alpha(text))
    assert not place(profile, shown, SIZE).fits


@pytest.mark.parametrize("opacity", [0.3, 1.0])
def test_another_opacity_does_not_fit(profile: Profile, opacity: float) -> None:
    shown = blend(make_scene(30, seed=7), opacity * draw_alpha())
    assert not place(profile, shown, SIZE).fits


def test_pictures_are_needed_and_of_one_size(profile: Profile) -> None:
    with pytest.raises(InputError, match="no picture"):
        place(profile, [], SIZE)
    with pytest.raises(InputError, match="must be of 160x96"):
        place(profile, [np.zeros((8, 8, 3), np.uint8)], SIZE)
    assert BOX.clipped(SIZE) == BOX
