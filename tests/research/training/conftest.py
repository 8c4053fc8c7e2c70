from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cleanplate.research.training import Recipe

from .toy import TINY


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(network=TINY, batch=2, still_batch=2, steps=6, rate=2e-3, warm_up=2)
