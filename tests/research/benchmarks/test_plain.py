from __future__ import annotations

import numpy as np
import pytest
import torch

from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.removal import inpaint
from cleanplate.research.benchmarks.comparison import run_plain


@pytest.fixture
def network() -> SttnNetwork:
    made = SttnNetwork(SttnConfig(channels=8, widths=(4, 6), blocks=2))
    initialise(made, torch.Generator().manual_seed(1), deviation=0.3)
    return made.eval()


@pytest.fixture
def clip() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 256, (23, 48, 96, 3)).astype(np.uint8)
    holes = np.zeros(frames.shape[:3], np.bool_)
    for t in range(len(frames)):
        holes[t, 10 + t % 5 : 30, 8 + t : 20 + t] = True
    return frames, holes


def test_the_product_makes_the_same(network: SttnNetwork, clip: tuple[np.ndarray, ...]) -> None:
    frames, holes = clip
    plain = run_plain(network, frames, holes)
    made = inpaint(frames, holes, model=network, method="network", blend="released", device="cpu")
    assert np.abs(made.astype(int) - plain).max() <= 1
    assert (plain[holes] != frames[holes]).mean() > 0.9
    np.testing.assert_array_equal(plain[~holes], frames[~holes])


def test_only_the_named_windows_are_run(network: SttnNetwork, clip: tuple[np.ndarray, ...]) -> None:
    frames, holes = clip
    some = run_plain(network, frames, holes, range(1, 2))
    np.testing.assert_array_equal(some[11:], frames[11:])
    assert (some[:11] != frames[:11]).any(axis=(1, 2, 3)).all()
