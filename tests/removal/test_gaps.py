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


@pytest.fixture
def walker(pan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A camera that pans fast past a thin, jointed, blurred figure: frames without it, with it."""
    truth = pan(frames=FRAMES, size=(SIZE.width, SIZE.height), step=(3, 0))
    shown, masks = truth.copy(), np.zeros(truth.shape[:3], np.bool_)
    for t in range(FRAMES):
        drawn = np.zeros((*truth.shape[1:3], 2), np.float32)
        for moment in (t - 0.25, t, t + 0.25):  # while the shutter is open
            drawn[..., 0] += draw_figure(moment, 6) / 3
            drawn[..., 1] += draw_figure(moment, 3) / 3  # a stripe along each limb
        share, stripe = drawn[..., :1], np.minimum(drawn[..., 1:], drawn[..., :1])
        colour = (share - stripe) * (30, 20, 90) + stripe * (230, 60, 40)
        shown[t] = (truth[t] * (1 - share) + colour).astype(np.uint8)
        masks[t] = drawn[..., 0] > 0
    return truth, shown, masks


def draw_figure(moment: float, width: int) -> np.ndarray:
    """A trunk with two arms and two legs that swing, walking to the left."""
    x, y = 120 - moment, 40
    plane = np.zeros((SIZE.height, SIZE.width), np.float32)
    points = [((0, 0), (0, 36))]
    for joint, length, phase in ((4, 26, 0.0), (4, 26, np.pi), (36, 34, np.pi), (36, 34, 0.0)):
        angle = 0.6 * np.sin(moment / 3 + phase)
        points.append(((0, joint), (length * np.sin(angle), joint + length * np.cos(angle))))
    for line in points:
        ends = [(round(16 * (x + dx)), round(16 * (y + dy))) for dx, dy in line]
        cv2.line(plane, *ends, 1, width, cv2.LINE_AA, shift=4)
    return plane


@pytest.mark.parametrize("gap", [1, 2])
def test_the_mask_of_a_thin_jointed_figure_is_carried(walker, gap) -> None:
    truth, shown, masks = walker
    lost = masks.copy()
    lost[11 : 11 + gap] = False
    filled, widened = fill(shown, lost)
    assert widened == list(range(11, 11 + gap))
    assert measure(filled, truth, masks) > 35


def test_a_gap_in_which_the_figure_is_not_there_stays_as_it_is(walker) -> None:
    truth, shown, masks = walker
    lost = masks.copy()
    shown[11:13], lost[11:13] = truth[11:13], False
    filled, widened = fill(shown, lost)
    assert widened == []
    np.testing.assert_array_equal(filled[11:13], truth[11:13])


@pytest.mark.parametrize("name", ["scene", "walker"])
def test_what_stands_in_front_of_the_object_is_kept(request, name) -> None:
    _, shown, masks = request.getfixturevalue(name)
    lost = masks.copy()
    lost[11:13] = False
    smooth = np.random.default_rng(5).integers(0, 256, (14, 20, 3)).astype(np.uint8)
    shown[11:13] = cv2.resize(smooth, (SIZE.width, SIZE.height), interpolation=cv2.INTER_LINEAR)
    filled, widened = fill(shown, lost)
    assert widened == []
    np.testing.assert_array_equal(filled[11:13], shown[11:13])


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
