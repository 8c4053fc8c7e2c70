from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.patience import PATIENCE

SCRIPT = Path(__file__).with_name("share.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train(folder: Path, world: int, adversary: int) -> dict[str, torch.Tensor]:
    """Start `world` processes as torchrun would, and read what the first one wrote."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), "4", str(adversary)],
            env={**os.environ, **place, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    state = torch.load(folder / "last.pt", weights_only=True)
    return {**state["network"], **(state["judge"]["network"] if adversary else {})}


@pytest.mark.slow
@pytest.mark.parametrize("adversary", [0, 1])
def test_two_processes_equal_one(tmp_path: Path, adversary: int) -> None:
    """Same global batch, so the same weights but for the order of sums."""
    alone = train(tmp_path / "alone", 1, adversary)
    shared = train(tmp_path / "shared", 2, adversary)
    assert alone.keys() == shared.keys()
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, atol=1e-5, rtol=0, msg=name)
