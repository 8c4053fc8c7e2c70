from __future__ import annotations

import numpy as np
import pytest

from cleanplate import inpaint
from cleanplate.motion import apply_gain, measure_flicker

SIZE = (120, 80)
FRAMES = 20


def flicker(frames: np.ndarray, much: float) -> tuple[np.ndarray, np.ndarray]:
    """`frames`, each times a gain of 1 ± `much`, and the gains."""
    gains = 1 + np.random.default_rng(4).uniform(-much, much, len(frames))
    return np.stack([apply_gain(f, g) for f, g in zip(frames, gains, strict=True)]), gains


def hole_in(frames: np.ndarray) -> np.ndarray:
    masks = np.zeros(frames.shape[:3], np.bool_)
    for t in range(len(frames)):
        masks[t, 25:50, 4 * t : 4 * t + 24] = True
    return masks


def outside(masks: np.ndarray) -> np.ndarray:
    """Pixels that no frame masks."""
    return ~masks.any(axis=0)


@pytest.fixture
def grey(pan) -> np.ndarray:
    """A panning camera; dim enough that brighter frames do not clip."""
    return (pan(frames=FRAMES, size=SIZE) * 0.6 + 20).astype(np.uint8)


@pytest.mark.parametrize("much", [0.05, 0.15, 0.25])
def test_gains_are_found_up_to_slow_changes(grey, much) -> None:
    frames, gains = flicker(grey, much)
    found = measure_flicker(frames, outside(hole_in(frames)))
    assert found is not None
    # From one frame to the next only flicker counts: what is slow, the content may have done.
    np.testing.assert_allclose(found[1:] / found[:-1], gains[1:] / gains[:-1], rtol=0.05)


def test_a_moving_camera_does_not_flicker(pan) -> None:
    frames = pan(frames=FRAMES, size=SIZE)
    assert measure_flicker(frames, outside(hole_in(frames))) is None


@pytest.mark.parametrize("change", [1.5, 0.4], ids=["brighter", "darker"])
def test_a_slow_change_of_light_is_no_flicker(grey, change) -> None:
    frames = np.stack([apply_gain(f, change ** (t / FRAMES)) for t, f in enumerate(grey)])
    assert measure_flicker(frames, outside(hole_in(frames))) is None


def test_what_cannot_be_measured_does_not_flicker(grey) -> None:
    nothing_known = np.ones(grey.shape[:3], np.bool_)
    assert measure_flicker(grey, outside(nothing_known)) is None
    black = np.zeros_like(grey)
    assert measure_flicker(black, outside(hole_in(black))) is None
    assert measure_flicker(grey[:1], outside(hole_in(grey[:1]))) is None


@pytest.mark.parametrize("method", ["auto", "flow"])
def test_the_hole_pulses_as_its_surroundings_do(grey, method) -> None:
    frames, _ = flicker(grey, 0.2)
    masks = hole_in(frames)
    shown = np.where(masks[..., None], np.uint8(255), frames)
    filled = inpaint(shown, masks, method=method, dilate=0, feather=0)
    steady = inpaint(np.where(masks[..., None], np.uint8(255), grey), masks, method=method)
    error = filled[masks].astype(int) - frames[masks]
    without = steady[masks].astype(int) - grey[masks]
    assert np.sqrt((error**2).mean()) < np.sqrt((without**2).mean()) + 4
    means = [(filled[t][masks[t]].mean(), frames[t][masks[t]].mean()) for t in range(FRAMES)]
    assert max(abs(a - b) for a, b in means) < 2.5
