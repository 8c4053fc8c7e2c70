from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cleanplate.network import SttnConfig, SttnNetwork, initialise

TINY = SttnConfig(channels=8, widths=(4, 6), blocks=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.fixture
def config() -> SttnConfig:
    return TINY


@pytest.fixture
def network(config: SttnConfig, rng: torch.Generator) -> SttnNetwork:
    """Eight channels wide, with values large enough that every layer matters."""
    made = SttnNetwork(config)
    initialise(made, rng, deviation=0.2)
    return made.eval()
