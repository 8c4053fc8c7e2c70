"""The benchmarks measure what they say."""

import pytest
from benchmarks.speed import _measure

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
