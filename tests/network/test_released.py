"""The way back to the released code's files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cleanplate import network as model
from cleanplate.errors import OutputError, WeightsError
from cleanplate.network import SttnConfig, SttnNetwork
from cleanplate.network.weights import save_released


@pytest.fixture(scope="module")
def network() -> SttnNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SttnNetwork()


def test_what_is_written_is_what_the_released_code_reads(
    network: SttnNetwork, tmp_path: Path
) -> None:
    save_released(network, tmp_path / "sttn.pth")
    content = torch.load(tmp_path / "sttn.pth", weights_only=True)
    assert list(content) == ["netG"]
    assert all(value.dtype == torch.float32 for value in content["netG"].values())
    back = model.load(tmp_path / "sttn.pth").state_dict()
    assert all(torch.equal(back[name], value) for name, value in network.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["sttn.pth"]


def test_another_network_is_refused(tmp_path: Path) -> None:
    small = SttnNetwork(SttnConfig(channels=4, widths=(2, 2), blocks=1, scales=(1, 2)))
    with pytest.raises(WeightsError, match="the paper's network only"):
        save_released(small, tmp_path / "sttn.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(network: SttnNetwork, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; create it first"):
        save_released(network, tmp_path / "absent" / "sttn.pth")
