from __future__ import annotations

import numpy as np
import pytest

from cleanplate.motion import DisFlow, FlowEstimator, Propagated, propagate


def psnr(made: np.ndarray, truth: np.ndarray) -> float:
    error = (made.astype(np.float64) - truth).ravel()
    return float(10 * np.log10(255**2 / max((error**2).mean(), 1e-9)))


def cover(frames: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """The frames with something loud in the hole, which nobody may look at."""
    covered = frames.copy()
    covered[mask] = (255, 0, 255)
    return list(covered)


def fill(frames: np.ndarray, mask: np.ndarray, result: Propagated) -> np.ndarray:
    """The frames with what belongs into their holes."""
    made = frames.copy()
    made[mask] = np.concatenate(result.pixels)
    return made


def still_mask(frames: np.ndarray) -> np.ndarray:
    mask = np.zeros(frames.shape[:3], np.bool_)
    mask[:, 24:40, 40:56] = True
    return mask


@pytest.mark.parametrize("step", [(4, 0), (2.5, 1.25)], ids=["whole pixels", "between pixels"])
def test_a_moving_background_comes_back(pan, step) -> None:
    frames = pan(frames=16, step=step)
    mask = still_mask(frames)
    result = propagate(cover(frames, mask), list(mask))
    assert psnr(fill(frames, mask, result)[mask], frames[mask]) > 30
    guessed = np.concatenate(result.guessed)
    assert guessed.dtype == np.float32
    assert guessed.min() >= 0
    assert guessed.max() <= 1
    assert guessed.mean() < 0.2


def test_a_moving_hole_over_a_still_background(pan) -> None:
    frames = pan(frames=12, step=(0, 0))
    mask = np.zeros(frames.shape[:3], np.bool_)
    for t in range(len(frames)):
        mask[t, 24:40, 10 + 5 * t : 26 + 5 * t] = True
    made = fill(frames, mask, propagate(cover(frames, mask), list(mask)))
    assert psnr(made[mask], frames[mask]) > 35


def test_flow_at_a_smaller_size_samples_at_full_size(pan) -> None:
    frames = pan(frames=14, size=(192, 128), step=(6, 0))
    mask = np.zeros(frames.shape[:3], np.bool_)
    mask[:, 50:80, 80:110] = True
    result = propagate(cover(frames, mask), list(mask), work=(64, 96))
    assert psnr(fill(frames, mask, result)[mask], frames[mask]) > 30


def test_what_no_frame_saw_is_a_guess(pan) -> None:
    frames = np.repeat(pan(frames=1), 5, axis=0)
    mask = still_mask(frames)
    result = propagate(cover(frames, mask), list(mask))
    np.testing.assert_allclose(np.concatenate(result.guessed), 1, atol=1e-6)


def test_nothing_is_changed_in_place(pan) -> None:
    frames = pan(frames=6)
    mask = still_mask(frames)
    before = frames.copy(), mask.copy()
    propagate(list(frames), list(mask))
    np.testing.assert_array_equal(frames, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_frames_without_a_hole_get_nothing(pan) -> None:
    frames = pan(frames=8)
    mask = still_mask(frames)
    mask[[0, 3, 7]] = False
    result = propagate(cover(frames, mask), list(mask))
    for t in (0, 3, 7):
        assert result.pixels[t].shape == (0, 3)
        assert not result.guessed[t].size


@pytest.mark.parametrize("frames", [1, 2])
def test_very_short_shots(pan, frames: int) -> None:
    clip = pan(frames=frames)
    mask = still_mask(clip)
    result = propagate(cover(clip, mask), list(mask))
    assert len(result.pixels) == len(result.guessed) == frames


def test_a_frame_that_is_all_hole(pan) -> None:
    frames = pan(frames=6, step=(0, 0))
    mask = np.zeros(frames.shape[:3], np.bool_)
    mask[2] = True
    made = fill(frames, mask, propagate(cover(frames, mask), list(mask)))
    inner = np.s_[2, 2:-2, 2:-2]
    assert psnr(made[inner], frames[inner]) > 30


def test_another_estimator_can_be_used(pan) -> None:
    frames = pan(frames=10, step=(4, 0))
    mask = still_mask(frames)

    class Known(FlowEstimator):
        def prepare(self, image: np.ndarray) -> tuple[int, int]:
            return image.shape[:2]

        def flow(self, source: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
            return np.zeros((*source, 2), np.float32)

    still, moved = (
        fill(frames, mask, propagate(cover(frames, mask), list(mask), estimator=estimator))
        for estimator in (Known(), DisFlow())
    )
    assert psnr(moved[mask], frames[mask]) > psnr(still[mask], frames[mask]) + 6


def test_only_the_wanted_frames_are_filled(pan) -> None:
    frames = pan(frames=10)
    mask = still_mask(frames)
    every = propagate(cover(frames, mask), list(mask))
    some = propagate(cover(frames, mask), list(mask), wanted=range(3, 7))
    np.testing.assert_array_equal(np.stack(some.pixels), np.stack(every.pixels[3:7]))
    np.testing.assert_array_equal(np.stack(some.guessed), np.stack(every.guessed[3:7]))


def test_known_motion_is_taken_up(pan) -> None:
    frames = pan(frames=14)
    mask = still_mask(frames)
    hidden = cover(frames, mask)
    first = propagate(hidden[:8], list(mask[:8]), wanted=range(5))
    rest = propagate(
        hidden[3:], list(mask[3:]), wanted=range(2, 11), motion=first.motion.without(3)
    )
    assert len(rest.motion) == 10
    assert psnr(np.concatenate(rest.pixels), frames[5:][mask[5:]]) > 30


def test_the_same_every_time_with_any_number_of_threads(pan) -> None:
    frames = pan(frames=8)
    mask = still_mask(frames)
    once, again = (propagate(list(frames), list(mask), threads=n).pixels for n in (1, 3))
    np.testing.assert_array_equal(once, again)


def test_where_no_hole_is_no_flow_is_estimated(pan) -> None:
    frames = pan(frames=12)
    mask = still_mask(frames)
    mask[5:] = False
    asked: list[np.ndarray] = []

    class Counting(DisFlow):
        def flow(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
            asked.append(source)
            return super().flow(source, target)

    made = fill(frames, mask, propagate(cover(frames, mask), list(mask), estimator=Counting()))
    assert psnr(made[mask], frames[mask]) > 28
    assert len(asked) == 2 * 2 * 5  # there and back, twice, from frame 0 to 5
