"""The benchmarks measure what they say."""

import json

import pytest
from benchmarks import network
from benchmarks.speed import _measure
from click.testing import CliRunner

from cleanplate.benchmark import ceilings
from cleanplate.datasets.demo import make_demo_clip
from cleanplate.types import Size


@pytest.mark.slow
def test_costs_are_of_the_command_alone(tmp_path):
    clip = make_demo_clip(tmp_path / "demo", 4, Size(96, 64))
    cost = _measure(clip, tmp_path, 9, ["--method", "flow"])
    assert cost.frames == 9
    assert cost.wall > 0.2
    assert cost.processor > 0.2
    assert cost.memory > 50 * 2**20


def test_the_commands_for_a_gpu_are_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_SIDE", 8), ("_HEIGHT", 4), ("_WIDTH", 4), ("_COPY", 64)):
        monkeypatch.setattr(ceilings, name, value)
    monkeypatch.setattr(network, "_remove", lambda *options: list(options))
    result = CliRunner().invoke(network.gpu, ["--device", "cpu", "--rehearse"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["network"]["fp32"]["within_one_level"] > 0.999
    assert found["network"]["bf16"]["decibels"] > 35
    assert found["long"] == ["cpu", "sttn", "96x48", 24]
    assert found["auto 192x96"] == ["cpu", "auto", "192x96", 6]
