from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cleanplate.research.data.cache import CarriedClip, build_cache, carry, carry_all, open_cache
from cleanplate.research.data.clips import Frames
from cleanplate.research.data.sampling import Sampler, Sampling

SIZE = (64, 96)


def film(number: int, pace: int, length: int = 12) -> Frames:
    """A textured picture that shifts by `pace` pixels a frame."""
    coarse = np.random.default_rng(number).integers(0, 256, (12, 40, 3), np.uint8)
    wide = cv2.resize(coarse, (SIZE[1] + pace * length, SIZE[0]), interpolation=cv2.INTER_CUBIC)
    return np.stack([wide[:, pace * k : pace * k + SIZE[1]] for k in range(length)])


class Film:
    def __init__(self, name: str, frames: Frames) -> None:
        self.name = self.group = name
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self):
        return iter(self._frames)

    def read(self, indices: Sequence[int]) -> Frames:
        return self._frames[list(indices)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    build_cache([Film(f"{k}", film(k, pace=0)) for k in range(3)], tmp_path / "c", short_side=64)
    return tmp_path / "c"


def test_unknown_pixels_are_the_truth_and_most_others_near_it() -> None:
    frames = film(1, pace=0)
    tries = (carry(frames, np.random.default_rng(seed)) for seed in range(10))
    found = next(piece for piece in tries if piece is not None)
    assert (found.shape, found.dtype) == ((12, *SIZE, 4), np.uint8)
    assert set(np.unique(found[..., 3])) == {0, 255}
    unknown = found[..., 3] > 0
    np.testing.assert_array_equal(found[..., :3][unknown], frames[unknown])
    assert np.abs(found[..., :3].astype(int) - frames).mean() < 3


def test_what_everything_uncovers_teaches_nothing() -> None:
    """A picture that moves fast shows all that a small hole at rest hides."""
    frames = film(2, pace=8, length=24)
    teaching = [carry(frames, np.random.default_rng(seed)) is not None for seed in range(6)]
    still = [carry(film(2, 0), np.random.default_rng(seed)) is not None for seed in range(6)]
    assert sum(teaching) < sum(still)


def test_pieces_do_not_depend_on_the_processes(cache: Path) -> None:
    one = list(carry_all(cache, ["0", "2"], seed=5, processes=1, rounds=2))
    two = list(carry_all(cache, ["0", "2"], seed=5, processes=2, rounds=2))
    assert [clip.name for clip in one] == [clip.name for clip in two]
    assert one
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)


def test_a_cache_keeps_the_fourth_channel(cache: Path, tmp_path: Path) -> None:
    pieces = list(carry_all(cache, ["0", "1"], seed=5, processes=1))
    build_cache(pieces, tmp_path / "carried", short_side=10**6)
    for piece, kept in zip(pieces, open_cache(tmp_path / "carried"), strict=True):
        np.testing.assert_array_equal(kept.read(range(len(kept))), piece.frames)


def test_samples_take_their_holes_from_the_clip() -> None:
    """The picture is white where it is unknown, so holes and pixels must go together."""
    frames = np.zeros((8, 60, 90, 4), np.uint8)
    frames[:, 15:45, 20:60] = 255
    clip = CarriedClip("a", "a", frames)
    sampling = Sampling(size=(32, 48), frames=4, reach=8, carried=1.0)
    sampler = Sampler([clip], [], sampling, seed=1, carried=[clip])
    for number in range(8):
        pictures, masks = sampler(number).render("cpu")
        white = pictures.float().mean(-1) > 127
        assert masks.any()
        assert (white == masks).float().mean() > 0.999
        assert masks.dtype == torch.bool
