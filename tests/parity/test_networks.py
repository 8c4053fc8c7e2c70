"""Our networks compute what the released ones computed, at full size.

Tolerances are those of the stored results: other float32 kernels sum in another order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cleanplate.network import SttnConfig, SttnNetwork
from cleanplate.research.training import Discriminator
from cleanplate.research.training.config import LossWeights
from cleanplate.research.training.objective import (
    composite,
    judge_made,
    judge_real,
    measure_l1,
    persuade,
)

ABSOLUTE = 1e-4
RELATIVE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def _two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stored(parity: Path) -> Mapping[str, np.ndarray]:
    with np.load(parity / "networks.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def clip(released: ModuleType) -> tuple[Tensor, Tensor]:
    frames, masks = released.clip(5, 0)
    return torch.from_numpy(frames)[None], torch.from_numpy(masks)[None]


def fill(network: nn.Module, released: ModuleType, which: str) -> None:
    values = released.state_dict(which, 0)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})


@pytest.fixture(scope="module")
def generator(released: ModuleType) -> SttnNetwork:
    network = SttnNetwork()
    fill(network, released, "generator")
    return network


@pytest.fixture
def discriminator(released: ModuleType) -> Discriminator:
    network = Discriminator()
    fill(network, released, "discriminator")
    return network


def assert_close(actual: Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(actual, torch.from_numpy(expected), atol=ABSOLUTE, rtol=0)


@pytest.mark.parametrize("which", ["generator", "discriminator"])
def test_names_and_shapes(parity: Path, which: str) -> None:
    expected = json.loads((parity / "shapes.json").read_text())[which]
    with torch.device("meta"):
        network = SttnNetwork() if which == "generator" else Discriminator()
    assert {name: list(t.shape) for name, t in network.state_dict().items()} == expected


def test_encoder(
    generator: SttnNetwork, clip: tuple[Tensor, Tensor], stored: Mapping[str, np.ndarray]
) -> None:
    frames, masks = clip
    with torch.inference_mode():
        features = generator.encode((frames * (1 - masks))[:, :1])
    assert_close(features[0, 0, ::16], stored["encoder"])


@pytest.mark.parametrize("mix_clips", [False, True])
def test_discriminator(
    released: ModuleType,
    clip: tuple[Tensor, Tensor],
    stored: Mapping[str, np.ndarray],
    mix_clips: bool,
) -> None:
    frames, _ = clip
    network = Discriminator(mix_clips=mix_clips)
    fill(network, released, "discriminator")
    # With mixing, five clips of one frame are one video of five.
    frames = frames.transpose(0, 1) if mix_clips else frames
    with torch.no_grad():
        assert_close(network(frames), stored["discriminator"])


@dataclass(frozen=True)
class Pass:
    """One forward pass with gradients, shared because it takes long."""

    features: Tensor
    filled: Tensor


@pytest.fixture(scope="module")
def forward(generator: SttnNetwork, clip: tuple[Tensor, Tensor]) -> Pass:
    frames, masks = clip
    features = generator.encode(frames * (1 - masks))
    return Pass(features, generator.decode(generator.transform(features, masks)))


@pytest.mark.slow
def test_generator(forward: Pass, stored: Mapping[str, np.ndarray]) -> None:
    assert_close(forward.filled.detach()[0, [0, 2]], stored["generator_released"])


@pytest.mark.slow
def test_training_step(
    generator: SttnNetwork,
    discriminator: Discriminator,
    forward: Pass,
    clip: tuple[Tensor, Tensor],
    parity: Path,
) -> None:
    frames, masks = clip
    made = composite(frames, forward.filled, masks)
    real, fake = judge_real(discriminator(frames)), judge_made(discriminator(made.detach()))
    judged = (real + fake) / 2
    judged.backward()
    discriminator_norm = measure_gradient(discriminator)
    weights = LossWeights()
    adversarial = weights.adversarial * persuade(discriminator(made))
    hole = weights.hole * measure_l1(forward.filled, frames, masks)
    valid = weights.valid * measure_l1(forward.filled, frames, 1 - masks)
    total = hole + valid + adversarial
    total.backward()
    found = {
        "discriminator_real": real.item(),
        "discriminator_fake": fake.item(),
        "discriminator_total": judged.item(),
        "discriminator_gradient_norm": discriminator_norm,
        "generator_adversarial_weighted": adversarial.item(),
        "hole": hole.item(),
        "valid": valid.item(),
        "generator_total": total.item(),
        "generator_gradient_norm": measure_gradient(generator),
    }
    expected = json.loads((parity / "training_step.json").read_text())
    assert found == pytest.approx(expected, rel=RELATIVE)


@pytest.mark.slow
def test_generator_with_equation_4(
    released: ModuleType,
    forward: Pass,
    clip: tuple[Tensor, Tensor],
    stored: Mapping[str, np.ndarray],
) -> None:
    network = SttnNetwork(SttnConfig(masked=True))
    fill(network, released, "generator")
    with torch.inference_mode():
        filled = network.decode(network.transform(forward.features.detach(), clip[1])[:, [0, 2]])
    assert_close(filled[0], stored["generator_masked"])


def measure_gradient(network: nn.Module) -> float:
    """Norm of the whole gradient, summed in float64: float32 loses 2e-4 over millions of values."""
    gradients = [p.grad.double() for p in network.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients).item()
