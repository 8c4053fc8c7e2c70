"""What the tests of the pipeline share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cleanplate.network import SttnConfig, SttnNetwork, initialise


class Painter(nn.Module):
    """A network that paints everything in one grey, and keeps what it was shown."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, masked_frames: Tensor, masks: Tensor) -> Tensor:
        self.seen.append((masked_frames.clone(), masks.clone()))
        return torch.zeros_like(masked_frames) + self.value


@pytest.fixture
def painter() -> Painter:
    return Painter().eval()


@pytest.fixture
def tiny() -> SttnNetwork:
    """STTN eight channels wide, with values large enough that every layer matters."""
    network = SttnNetwork(SttnConfig(channels=8, widths=(4, 6), blocks=2))
    initialise(network, torch.Generator().manual_seed(3), deviation=0.2)
    return network.eval()


@pytest.fixture
def still_mask() -> Callable[[np.ndarray], np.ndarray]:
    """A hole in the middle of every frame of a 96x64 clip."""

    def make(frames: np.ndarray) -> np.ndarray:
        mask = np.zeros(frames.shape[:3], np.bool_)
        mask[:, 24:40, 40:56] = True
        return mask

    return make
