from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cleanplate.datasets.clip import Frames
from cleanplate.datasets.photographs import camera_move
from cleanplate.datasets.sampling import Sampler, Sampling, pick_frames

SMALL = Sampling(size=(32, 48), frames=4, reach=12, photographs=0.5)


class Noise:
    """A clip of seeded noise; frame k is k everywhere in its first row's first pixel."""

    def __init__(self, name: str, length: int, size: tuple[int, int] = (40, 64)) -> None:
        self.name = self.group = name
        self._frames = np.random.default_rng(len(name)).integers(
            0, 256, (length, *size, 3), np.uint8
        )

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, indices: Sequence[int]) -> Frames:
        return self._frames[list(indices)]


PHOTOGRAPHS = [np.random.default_rng(k).integers(0, 256, (60, 80, 3), np.uint8) for k in range(3)]


def test_samples_have_the_size_and_a_hole() -> None:
    sampler = Sampler([Noise("a", 20), Noise("bb", 9)], PHOTOGRAPHS, SMALL, seed=3)
    for number in range(20):
        frames, masks = sampler(number)
        assert (frames.shape, frames.dtype) == ((4, 32, 48, 3), np.uint8)
        assert (masks.shape, masks.dtype) == ((4, 32, 48), bool)


def test_a_number_always_gives_the_same_sample() -> None:
    first, second = (Sampler([Noise("a", 20)], PHOTOGRAPHS, SMALL, seed=3) for _ in range(2))
    second(0)
    for ours, theirs in zip(first(7), second(7), strict=True):
        assert np.array_equal(ours, theirs)
    assert not np.array_equal(first(7).frames, first(8).frames)


def test_clips_too_short_are_never_drawn() -> None:
    sampler = Sampler([Noise("long", 20), Noise("x", 3)], [], SMALL, seed=0)
    for number in range(10):
        sampler(number)


@pytest.mark.parametrize("size", [(20, 64), (64, 20), (200, 300)])
def test_clips_of_any_shape_are_cropped_and_scaled(size: tuple[int, int]) -> None:
    sampler = Sampler([Noise("a", 8, size)], [], SMALL, seed=1)
    assert sampler(0).frames.shape == (4, 32, 48, 3)


@pytest.mark.parametrize("length", [5, 6, 12, 100])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_picked_frames_are_different_in_order_and_in_reach(length: int, count: int) -> None:
    for seed in range(30):
        chosen = pick_frames(length, count, 40, np.random.default_rng(seed))
        assert chosen == sorted(set(chosen))
        assert len(chosen) == count
        assert chosen[0] >= 0
        assert chosen[-1] < length
        assert chosen[-1] - chosen[0] < 40


def test_a_camera_move_is_smooth_in_the_frames_numbers() -> None:
    def move(times: list[int]) -> Frames:
        rng = np.random.default_rng(5)
        return camera_move(PHOTOGRAPHS[0], PHOTOGRAPHS[1:], times, (32, 48), rng)

    assert np.array_equal(move([0, 6]), move(list(range(7)))[[0, 6]])
    assert (move([0, 6])[0] != move([0, 6])[1]).any()
