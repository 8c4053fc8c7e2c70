from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.removal import Engine, Span
from cleanplate.types import Size

SIZE = Size(240, 160)
FRAMES = 32
RADIUS = 16


def draw_object(truth: np.ndarray, halo: float, tint=(1, 1, 1)) -> tuple[np.ndarray, np.ndarray]:
    """A disc that crosses `truth` with a soft halo of that relative brightness, and its masks."""
    shown, masks = truth.copy(), np.zeros(truth.shape[:3], np.bool_)
    y, x = np.mgrid[: SIZE.height, : SIZE.width]
    for t in range(FRAMES):
        far = np.hypot(x - 40 - 5 * t, y - 80)
        beside = np.clip(1 - (far - RADIUS) / 14, 0, 1) ** 2
        light = 1 + halo * beside[..., None] * np.array(tint)
        masks[t] = far <= RADIUS
        shown[t] = (truth[t] * light).clip(0, 255)
        shown[t][masks[t]] = (200, 40, 160)
    return shown, masks


@pytest.fixture
def ground(pan) -> np.ndarray:
    """A soft texture in the middle of the range, seen by a camera that drifts slowly."""
    frames = pan(frames=FRAMES, size=(SIZE.width, SIZE.height), step=(0.5, 0))
    soft = [cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in frames]
    return (np.stack(soft) * 0.5 + 60).astype(np.uint8)


def fill(frames: np.ndarray, masks: np.ndarray, **options) -> tuple[np.ndarray, set[int]]:
    engine = Engine(SIZE, method="flow", split_shots=False, feather=2, **options)
    done = [one for pair in zip(frames, masks, strict=True) for one in engine.push(*pair)]
    done += engine.finish()
    return np.stack([one.frame for one in done]), engine.shaded


def measure(filled: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    error = (filled[where].astype(np.float64) - truth[where]) ** 2
    return float(10 * np.log10(255**2 / max(error.mean(), 1e-3)))


@pytest.mark.parametrize("halo", [-0.4, -0.2, 0.3], ids=["shadow", "weak shadow", "glow"])
def test_a_halo_goes_with_the_object(ground, halo) -> None:
    shown, masks = draw_object(ground, halo)
    differs = np.abs(shown.astype(np.int16) - ground).max(axis=3) > 8
    filled, shaded = fill(shown, masks)
    assert len(shaded) > FRAMES / 2
    assert measure(filled, ground, differs) > 32


@pytest.mark.parametrize("span", [Span(16, 8), Span(8, 3)], ids=str)
def test_a_halo_goes_until_the_end_of_the_shot(ground, span) -> None:
    shown, masks = draw_object(ground, -0.4)
    _, shaded = fill(shown, masks, span=span)
    assert shaded == set(range(FRAMES))


def test_a_halo_is_found_under_margins_that_cover_most_of_it(ground) -> None:
    shown, masks = draw_object(ground, -0.4)
    filled, shaded = fill(shown, masks, dilate=4)
    assert len(shaded) > FRAMES / 2
    assert measure(filled, ground, masks) > 32


def test_a_logo_in_the_same_mask_hides_no_halo(ground) -> None:
    shown, masks = draw_object(ground, -0.4)
    masks[:, 5:20, 5:35] = True
    shown[:, 5:20, 5:35] = 250
    filled, shaded = fill(shown, masks)
    assert len(shaded) > FRAMES / 2
    assert measure(filled[:, 40:], ground[:, 40:], masks[:, 40:]) > 32


def test_a_gap_in_the_masks_is_closed_with_its_halo(ground) -> None:
    shown, masks = draw_object(ground, -0.4)
    differs = np.abs(shown.astype(np.int16) - ground).max(axis=3) > 8
    masks[16:18] = False
    filled, _ = fill(shown, masks)
    assert measure(filled[16:18], ground[16:18], differs[16:18]) > 28


def test_without_a_halo_nothing_outside_the_mask_changes(ground) -> None:
    shown, masks = draw_object(ground, 0)
    filled, shaded = fill(shown, masks)
    assert not shaded
    grown = np.stack([cv2.dilate(mask.view(np.uint8), np.ones((5, 5))) > 0 for mask in masks])
    np.testing.assert_array_equal(filled[~grown], shown[~grown])


def test_an_exact_mask_keeps_the_shadow_but_not_in_the_fill(ground) -> None:
    shown, masks = draw_object(ground, -0.4)
    filled, shaded = fill(shown, masks, exact_mask=True)
    assert not shaded
    grown = np.stack([cv2.dilate(mask.view(np.uint8), np.ones((5, 5))) > 0 for mask in masks])
    np.testing.assert_array_equal(filled[~grown], shown[~grown])
    inside = np.stack([cv2.erode(mask.view(np.uint8), np.ones((5, 5))) > 0 for mask in masks])
    assert measure(filled, ground, inside) > 32


def test_a_companion_beside_the_object_is_no_halo(ground) -> None:
    shown, masks = draw_object(ground, 0)
    for t in range(FRAMES):
        x = 40 + 5 * t + RADIUS + 3
        shown[t, 60:100, x : x + 26] = (30, 120, 60)
    filled, shaded = fill(shown, masks)
    assert not shaded
    assert measure(filled, shown, np.roll(masks, 3 * RADIUS // 2 + 8, axis=2) & ~masks) > 25


def draw_pair(truth: np.ndarray, halos: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Two discs that move in opposite directions, each with its own halo, in one mask."""
    shown, masks = truth.copy(), np.zeros(truth.shape[:3], np.bool_)
    y, x = np.mgrid[: SIZE.height, : SIZE.width]
    for t in range(FRAMES):
        for halo, middle in zip(halos, ((40 + 5 * t, 45), (200 - 5 * t, 115)), strict=True):
            far = np.hypot(x - middle[0], y - middle[1])
            beside = np.clip(1 - (far - RADIUS) / 14, 0, 1) ** 2
            shown[t] = (shown[t] * (1 + halo * beside[..., None])).clip(0, 255)
            masks[t] |= far <= RADIUS
        shown[t][masks[t]] = (200, 40, 160)
    return shown, masks


@pytest.mark.parametrize("halos", [(-0.4, -0.4), (-0.4, 0), (-0.3, 0.3)], ids=str)
def test_each_object_in_a_mask_has_a_halo_of_its_own(ground, halos) -> None:
    shown, masks = draw_pair(ground, halos)
    differs = np.abs(shown.astype(np.int16) - ground).max(axis=3) > 8
    filled, shaded = fill(shown, masks)
    assert len(shaded) > FRAMES / 2
    assert measure(filled, ground, differs) > 32


def test_two_objects_without_a_halo_get_none(ground) -> None:
    shown, masks = draw_pair(ground, (0, 0))
    _, shaded = fill(shown, masks)
    assert not shaded


def test_a_thing_that_shows_for_a_moment_has_no_halo(ground) -> None:
    shown, masks = draw_object(ground, -0.4)
    masks[5, 130:140, 200:210] = True
    _, shaded = fill(shown, masks)
    assert shaded == set(range(FRAMES))


@pytest.mark.parametrize("levels", [(95, 96), (60, 61), (60, 130)], ids=["grey", "dark", "rough"])
def test_a_plain_companion_that_touches_the_object_is_no_halo(ground, levels) -> None:
    """It replaces what is behind it; a shadow lets the ground's texture through."""
    shown, masks = draw_object(ground, 0)
    texture = np.random.default_rng(1).integers(*levels, (28, 16, 1)).astype(np.uint8)
    kept = np.zeros_like(masks)
    for t in range(FRAMES):
        x = 40 + 5 * t + RADIUS
        place = slice(66, 94), slice(x, x + 16)
        beside = ~masks[t][place]
        part = shown[t][place]
        part[beside] = np.broadcast_to(texture[:, : part.shape[1]], part.shape)[beside]
        kept[t][place] = beside
        kept[t] &= cv2.dilate(masks[t].view(np.uint8), np.ones((7, 7))) == 0
    filled, shaded = fill(shown, masks)
    assert not shaded
    np.testing.assert_array_equal(filled[kept], shown[kept])


def test_a_resumed_run_finds_the_same_halo(ground) -> None:
    class Keeper(dict):
        load = dict.get

        def save(self, frames, pixels, *, begins_segment, ends_segment) -> None:
            self[frames] = pixels

    shown, masks = draw_object(ground, -0.4)
    kept = Keeper()
    first, _ = fill(shown, masks, store=kept)
    again, _ = fill(shown, masks, store=kept)
    np.testing.assert_array_equal(first, again)
