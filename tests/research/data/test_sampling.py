from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from cleanplate.errors import InputError
from cleanplate.research.data.clips import Frames
from cleanplate.research.data.sampling import Crop, Draft, Sampler, Sampling, pick_frames
from cleanplate.research.holes import Outlines

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


class Counted:
    """A clip whose frame k shows the level 4 k everywhere."""

    def __init__(self, length: int, size: tuple[int, int]) -> None:
        self.name = self.group = "counted"
        self._length, self._size = length, size

    def __len__(self) -> int:
        return self._length

    def read(self, indices: Sequence[int]) -> Frames:
        return np.stack([np.full((*self._size, 3), 4 * index, np.uint8) for index in indices])


PHOTOGRAPHS = [np.random.default_rng(k).integers(0, 256, (60, 80, 3), np.uint8) for k in range(3)]


def test_samples_have_the_size_and_a_hole() -> None:
    sampler = Sampler([Noise("a", 20), Noise("bb", 9)], PHOTOGRAPHS, SMALL, seed=3)
    for number in range(20):
        frames, masks = sampler(number).render("cpu")
        assert (frames.shape, frames.dtype) == ((4, 32, 48, 3), torch.uint8)
        assert (masks.shape, masks.dtype) == ((4, 32, 48), torch.bool)


def test_a_number_always_gives_the_same_sample() -> None:
    first, second = (Sampler([Noise("a", 20)], PHOTOGRAPHS, SMALL, seed=3) for _ in range(2))
    second(0)
    for number in (7, 11):
        pairs = zip(first(number).render("cpu"), second(number).render("cpu"), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert not torch.equal(first(7).render("cpu")[0], first(8).render("cpu")[0])


def test_clips_too_short_are_never_drawn() -> None:
    sampler = Sampler([Noise("long", 20), Noise("x", 3)], [], SMALL, seed=0)
    for number in range(10):
        sampler(number)
    with pytest.raises(InputError, match="no clip has the 4 frames"):
        Sampler([Noise("x", 3)], [], SMALL, seed=0)


def test_the_released_trainer_s_way_to_draw() -> None:
    """Whole frames, either consecutive or from anywhere, colours as they are."""
    clip = Counted(60, (40, 64))
    sampler = Sampler([clip], PHOTOGRAPHS, replace(SMALL, released=True), seed=2)
    consecutive = 0
    for number in range(60):
        draft = sampler(number)
        frames, _ = draft.render("cpu")
        chosen = frames[:, 0, 0, 0].tolist()
        assert chosen == sorted(set(chosen))
        assert frames.unique().numel() == 4
        consecutive += chosen[-1] - chosen[0] == 4 * 3
        assert isinstance(draft.content, Crop)
        assert draft.content.frames.shape[1:3] == (40, 64)
    assert 20 <= consecutive <= 40


def test_a_crop_shows_its_part_of_the_clip() -> None:
    """The picture is a ramp, so colours say what was cut out and that it was scaled evenly."""
    ramp = np.broadcast_to(np.arange(0, 256, 2, dtype=np.uint8)[:, None], (1, 64, 128, 3))
    scaled = Crop(np.ascontiguousarray(ramp[:, :, 32:96])).paint((32, 32), "cpu")[0, 0, 0]
    np.testing.assert_allclose(scaled, np.linspace(65, 189, 32), atol=1.6)


def test_colours_and_mirroring_are_the_draft_s() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)
    holes = Outlines((20, 30), 2, ())
    draft = Draft(Crop(frames), holes, gain=(1.0, 0.5, 2.0), shift=10.0, mirrored=True)
    expected = np.clip(np.rint(frames[:, :, ::-1] * [1.0, 0.5, 2.0] + 10), 0, 255)
    rendered, masks = draft.render("cpu")
    np.testing.assert_allclose(rendered, expected, atol=1)
    assert not masks.any()


@pytest.mark.parametrize("size", [(20, 64), (64, 20), (200, 300)])
def test_clips_of_any_shape_are_cropped_and_scaled(size: tuple[int, int]) -> None:
    sampler = Sampler([Noise("a", 8, size)], [], SMALL, seed=1)
    assert sampler(0).render("cpu")[0].shape == (4, 32, 48, 3)


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


def test_a_drawn_clip_backwards_has_the_hole_s_clock_forwards() -> None:
    sampler = Sampler([Counted(60, (40, 64))], [], SMALL, seed=4)
    firsts = [sampler(number).render("cpu")[0][:, 0, 0, 0].float() for number in range(20)]
    ways = [(levels.diff() > 0).all() or (levels.diff() < 0).all() for levels in firsts]
    assert all(ways)
    assert 4 <= sum(bool(levels[-1] < levels[0]) for levels in firsts) <= 16
