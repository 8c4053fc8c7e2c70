from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cleanplate.errors import WeightsError
from cleanplate.network import save
from cleanplate.network.weights import (
    MULTIPLE,
    TRACKING,
    FusionConfig,
    FusionNetwork,
    load_tracking,
)

SMALL = FusionConfig(channels=3, widths=(4, 6, 8))


@pytest.fixture
def network() -> FusionNetwork:
    torch.manual_seed(0)
    return FusionNetwork(SMALL).eval()


@pytest.mark.parametrize("size", [(MULTIPLE, 3 * MULTIPLE), (5 * MULTIPLE, 2 * MULTIPLE)])
def test_an_answer_for_every_pixel(network: FusionNetwork, size: tuple[int, int]) -> None:
    assert network(torch.randn(2, 3, *size)).shape == (2, *size)


def test_an_answer_depends_on_its_surroundings(network: FusionNetwork) -> None:
    evidence = torch.randn(1, 3, 64, 64)
    changed = evidence.clone()
    changed[..., 40:44, 40:44] += 3
    moved = (network(changed) - network(evidence)).abs()[0] > 0
    assert moved[42, 42]
    assert moved[30, 42]
    assert not moved[0, 0]


def test_saved_and_loaded(network: FusionNetwork, tmp_path: Path) -> None:
    save(network, tmp_path / "tracking.safetensors")
    evidence = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(
        load_tracking(tmp_path / "tracking.safetensors")(evidence), network(evidence)
    )


def test_another_network_is_refused(tmp_path: Path) -> None:
    other = torch.nn.Linear(2, 2)
    other.config = SMALL  # type: ignore[assignment]
    save(other, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="holds another network"):
        load_tracking(tmp_path / "other.safetensors")


def test_the_embedded_one_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / TRACKING.name
    damaged.write_bytes(TRACKING.read_bytes()[:-1] + b"?")
    (tmp_path / f"{TRACKING.name}.sha256").write_text(
        TRACKING.with_name(f"{TRACKING.name}.sha256").read_text()
    )
    monkeypatch.setattr("cleanplate.network.weights.TRACKING", damaged)
    with pytest.raises(WeightsError, match="do not match their checksum"):
        load_tracking()
