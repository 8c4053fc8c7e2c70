from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.masks.tracking.appearance import CastShadow
from cleanplate.masks.tracking.covering import grow
from cleanplate.masks.tracking.follower import register

HIGH, WIDE = 120, 200


def make_person(lift: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A figure on light ground, its long shadow to the right: the picture and both masks."""
    body, shadow = np.zeros((2, HIGH, WIDE), np.bool_)
    body[20 : 90 - lift, 60:80] = True
    shadow[86:91, 80:180] = True
    frame = np.full((HIGH, WIDE, 3), 150, np.uint8)
    frame[shadow] = 90
    frame[84:88, 5:60] = 90  # a line on the ground, to the left
    frame[body] = (200, 30, 30)
    return frame, body, shadow


@pytest.mark.parametrize("lift", [0, 6])
def test_marked_shadow_is_found_again(lift: int) -> None:
    frame, body, shadow = make_person()
    cast = CastShadow(frame, body | shadow)
    later, lifted, _ = make_person(lift)
    found = cast.find(later, lifted)
    assert (found & shadow).sum() > 0.95 * shadow.sum()
    assert not found[:, :50].any(), "the line on the other side was not marked"
    assert found[:70].sum() == 0


def test_shadow_that_was_not_marked_is_left_alone() -> None:
    frame, body, _ = make_person()
    assert not CastShadow(frame, body).find(frame, body).any()


def test_no_body_no_shadow() -> None:
    frame, body, shadow = make_person()
    nothing = np.zeros_like(body)
    assert not CastShadow(frame, body | shadow).find(frame, nothing).any()
    assert not CastShadow(frame, nothing).find(frame, body).any()


@pytest.mark.parametrize("thickness", [1, 4, 30])
def test_margin_suits_the_thickness(thickness: int) -> None:
    mask = np.zeros((HIGH, WIDE), np.bool_)
    mask[50 : 50 + thickness, 20:180] = True
    grown = grow(mask, 1.5)
    assert grown[mask].all()
    assert grown.sum() / mask.sum() < (3.2 if thickness == 1 else 1.7)
    assert grown.sum() > 1.4 * mask.sum()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_and_everything_stay(share: float) -> None:
    mask = np.full((9, 9), share > 0)
    np.testing.assert_array_equal(grow(mask, 2.0), mask)


def test_memory_is_shifted_to_what_is_seen() -> None:
    disc = cv2.circle(np.zeros((HIGH, WIDE), np.uint8), (90, 60), 15, 1, -1)
    memory = np.where(disc > 0, np.float32(4), np.float32(-4))
    news = np.roll(memory, (3, -5), (0, 1))
    found = register(memory, news, 60.0)
    np.testing.assert_array_equal(found > 0, news > 0)
