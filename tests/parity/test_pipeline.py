from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.removal import inpaint

from .loop import run_released_loop

pytestmark = pytest.mark.usefixtures("one_thread")

SHARE = 0.999
"""Of the values that may differ by one level at most: float32 sums differ between machines, and
truncation turns the smallest difference into a level."""


def assert_same_levels(made: np.ndarray, expected: np.ndarray) -> None:
    apart = np.abs(made.astype(np.int64) - expected)
    assert (apart <= 1).mean() >= SHARE


@pytest.mark.slow
def test_released_pipeline(parity: Path, released: ModuleType) -> None:
    frames, masks = released.clip(13, 7)
    pictures = ((frames + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    holes = masks[:, 0] > 0
    network = SttnNetwork().eval()
    values = released.state_dict("generator")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    made = inpaint(pictures, holes, model=network, method="network", blend="released", device="cpu")
    with np.load(parity / "pipeline.npz") as stored:
        assert_same_levels(made[holes], stored["hole_pixels"])
    np.testing.assert_array_equal(made[~holes], pictures[~holes])


@pytest.mark.slow
def test_half_precision_of_the_full_size(released: ModuleType) -> None:
    frames, masks = released.clip(6, 3)
    pictures = ((frames + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    holes = masks[:, 0] > 0
    network = SttnNetwork().eval()
    values = released.state_dict("generator")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    exact, rough = (
        inpaint(pictures, holes, model=network, method="network", precision=precision, device="cpu")
        for precision in ("fp32", "bf16")
    )
    error = np.square(exact[holes].astype(np.float64) - rough[holes]).mean()
    assert 10 * np.log10(255**2 / error) >= 45


@pytest.mark.parametrize(("length", "size"), [(23, (48, 48)), (12, (60, 44)), (1, (48, 96))])
def test_small_network_against_a_plain_rendition(length: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(length)
    frames = rng.integers(0, 256, (length, *size, 3)).astype(np.uint8)
    holes = np.zeros((length, *size), np.bool_)
    for t in range(length):
        holes[t, 10 + t % 5 : 30, 8 + t : 20 + t] = True
    network = SttnNetwork(SttnConfig(channels=8, widths=(4, 6), blocks=1))
    initialise(network, torch.Generator().manual_seed(1), deviation=0.3)
    network.eval()
    expected = run_released_loop(network, frames, holes)
    made = inpaint(frames, holes, model=network, method="network", blend="released", device="cpu")
    assert_same_levels(made, expected)
    assert (made[holes] != frames[holes]).mean() > 0.9
