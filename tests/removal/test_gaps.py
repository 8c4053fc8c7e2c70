from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.removal import Engine
from cleanplate.types import Size

SIZE = Size(200, 140)
FRAMES = 24
SIDE = 30


def place(t: int) -> tuple[slice, slice]:
    """Where the object is in frame t: it moves two pixels to the right each frame."""
    x, y = 40 + 2 * t, 50
    return slice(y, y + SIDE), slice(x, x + SIDE)


@pytest.fixture
def scene(pan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A camera at rest: the frames without and with a textured object, and its masks."""
    truth = pan(frames=FRAMES, size=(SIZE.width, SIZE.height), step=(0, 0))
    noise = np.random.default_rng(3).random((SIDE, SIDE, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    texture = ((smooth - smooth.min()) / np.ptp(smooth) * 200).astype(np.uint8)
    shown, masks = truth.copy(), np.zeros(truth.shape[:3], np.bool_)
    for t in range(FRAMES):
        shown[(t, *place(t))] = texture
        masks[(t, *place(t))] = True
    return truth, shown, masks


def fill(frames: np.ndarray, masks: np.ndarray, **options) -> tuple[np.ndarray, list[int]]:
    engine = Engine(SIZE, method="flow", split_shots=False, dilate=2, **options)
    done = [one for pair in zip(frames, masks, strict=True) for one in engine.push(*pair)]
    done += engine.finish()
    return np.stack([one.frame for one in done]), sorted(engine.widened)


def measure(filled: np.ndarray, truth: np.ndarray, masks: np.ndarray) -> float:
    error = (filled[masks].astype(np.float64) - truth[masks]) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_a_lost_mask_is_carried_across_the_gap(scene, gap) -> None:
    truth, shown, masks = scene
    lost = masks.copy()
    lost[10 : 10 + gap] = False
    filled, widened = fill(shown, lost)
    assert widened == list(range(10, 10 + gap))
    whole, _ = fill(shown, masks)
    assert measure(filled, truth, masks) > measure(whole, truth, masks) - 1


def test_a_gap_in_which_the_object_is_hidden_stays_as_it_is(scene) -> None:
    truth, shown, masks = scene
    lost = masks.copy()
    shown[10:12], lost[10:12] = truth[10:12], False
    filled, widened = fill(shown, lost)
    assert widened == []
    np.testing.assert_array_equal(filled[10:12], truth[10:12])


def test_a_mask_that_ends_and_does_not_come_back_is_not_carried(scene) -> None:
    _, shown, masks = scene
    masks[12:] = False
    _, widened = fill(shown, masks)
    assert widened == []


def test_a_mask_over_nothing_is_not_carried(scene) -> None:
    truth, _, masks = scene
    masks[10:12] = False
    _, widened = fill(truth, masks)
    assert widened == []


def test_an_exact_mask_leaves_the_frames_of_the_gap_alone(scene) -> None:
    truth, shown, masks = scene
    lost = masks.copy()
    lost[10:12] = False
    filled, widened = fill(shown, lost, exact_mask=True)
    assert widened == []
    np.testing.assert_array_equal(filled[10:12], shown[10:12])
    # The object in those frames is no source for the others.
    assert measure(filled, truth, lost) > 30
