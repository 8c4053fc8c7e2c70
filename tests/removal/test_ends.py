from __future__ import annotations

import numpy as np
import pytest

from cleanplate.removal import Engine
from cleanplate.types import Size

SIZE = Size(120, 80)
LABEL = (slice(20, 44), slice(30, 90))
FRAMES = 24


def fill(frames: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """What comes out, and the numbers of the frames that were filled beyond their masks."""
    engine = Engine(SIZE, method="flow", split_shots=False)
    done = []
    for frame, mask in zip(frames, masks, strict=True):
        done += engine.push(frame, mask)
    done += engine.finish()
    return np.stack([one.frame for one in done]), sorted(engine.widened)


def label_on(frames: np.ndarray, shown: range) -> np.ndarray:
    """`frames` with letters in place at LABEL while they are `shown`."""
    letters = np.zeros((*SIZE.shape, 1), np.bool_)
    letters[20:44, 30:90] = np.random.default_rng(5).random((24, 60, 1)) > 0.6
    labelled = frames.copy()
    for t in shown:
        labelled[t] = np.where(letters, np.uint8(250), frames[t])
    return labelled


def mask_in(frames: range) -> np.ndarray:
    masks = np.zeros((FRAMES, *SIZE.shape), np.bool_)
    for t in frames:
        masks[(t, *LABEL)] = True
    return masks


@pytest.fixture(params=[(3, 0), (0, 0), (0.4, 0.2)], ids=["pan", "rest", "drift"])
def camera(request, pan) -> np.ndarray:
    return pan(frames=FRAMES, size=(SIZE.width, SIZE.height), step=request.param)


@pytest.mark.parametrize("short", [0, 1, 2, 3])
def test_a_mask_that_is_short_is_widened_to_the_thing(camera, short) -> None:
    shown, masked = range(6, 18), range(6 + short, 18 - short)
    filled, widened = fill(label_on(camera, shown), mask_in(masked))
    assert widened == [t for t in shown if t not in masked]
    exact, _ = fill(label_on(camera, shown), mask_in(shown))
    np.testing.assert_array_equal(filled, exact)


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_a_gap_through_which_the_thing_stays_is_closed(camera, gap) -> None:
    masks = mask_in(range(6, 18))
    masks[11 : 11 + gap] = False
    _, widened = fill(label_on(camera, range(6, 18)), masks)
    assert widened == list(range(11, 11 + gap))


def test_a_gap_in_which_the_thing_is_gone_stays_open(camera) -> None:
    masks = mask_in(range(6, 18))
    masks[11:13] = False
    frames = label_on(camera, range(6, 18))
    frames[11:13] = camera[11:13]
    filled, widened = fill(frames, masks)
    assert not widened
    np.testing.assert_array_equal(filled[11:13], camera[11:13])


def test_what_stays_on_the_screen_is_the_users_to_mask(camera) -> None:
    """A logo that is there all the time, masked for a while only, is no mask that is short."""
    _, widened = fill(label_on(camera, range(FRAMES)), mask_in(range(6, 18)))
    assert not widened


def test_a_mask_over_nothing_is_not_widened(camera) -> None:
    _, widened = fill(camera, mask_in(range(6, 18)))
    assert not widened


def test_a_second_thing_keeps_its_own_mask(camera) -> None:
    frames, masks = label_on(camera, range(6, 18)), mask_in(range(7, 18))
    other = (slice(None), slice(60, 70), slice(10, 40))
    frames[other], masks[other] = 0, True
    filled, widened = fill(frames, masks)
    assert widened == [6]
    np.testing.assert_array_equal(filled[:6, :50], camera[:6, :50])


def test_a_span_of_few_frames_finds_the_same(camera) -> None:
    frames, masks = label_on(camera, range(6, 18)), mask_in(range(8, 16))
    engine = Engine(SIZE, method="flow", split_shots=False, span=Engine(SIZE).span)
    small = Engine(SIZE, method="flow", split_shots=False, span=type(engine.span)(5, 7))
    for each in (engine, small):
        for frame, mask in zip(frames, masks, strict=True):
            each.push(frame, mask)
        each.finish()
    assert sorted(engine.widened) == sorted(small.widened) == [6, 7, 16, 17]
