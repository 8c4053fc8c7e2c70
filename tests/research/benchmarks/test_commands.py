"""The benchmarks measure what they say."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cleanplate.research.benchmarks import robustness, run, speed
from cleanplate.research.benchmarks.robustness import film_wandering, watch_process
from cleanplate.research.benchmarks.speed import measure_removal, start
from cleanplate.scene import make_demo_clip
from cleanplate.types import Size
from cleanplate.video import probe


@pytest.mark.slow
def test_costs_are_of_the_command_alone(tmp_path):
    clip = make_demo_clip(tmp_path / "demo", 4, Size(96, 64))
    cost = measure_removal(clip, tmp_path, 9, ["--method", "flow"])
    assert cost.frames == 9
    assert cost.wall > 0.2
    assert cost.processor > 0.2
    assert cost.memory > 50 * 2**20


def test_the_commands_for_a_gpu_are_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_SIDE", 8), ("_HEIGHT", 4), ("_WIDTH", 4), ("_COPY", 64)):
        monkeypatch.setattr(speed, name, value)
    monkeypatch.setattr(run, "_remove", lambda *options: list(options))
    result = CliRunner().invoke(run.gpu, ["--device", "cpu", "--rehearse"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["network"]["fp32"]["within_one_level"] > 0.999
    assert found["network"]["bf16"]["decibels"] > 35
    assert found["long"] == ["cpu", "network", "96x48", 24]
    assert found["auto 192x96"] == ["cpu", "auto", "192x96", 6]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_long_run_is_looked_at_from_outside(tmp_path):
    source, result = tmp_path / "long.mp4", tmp_path / "result.mp4"
    film_wandering(source, 60)
    assert probe(source).frame_count == 60
    command = [sys.executable, "-m", "cleanplate", "remove", str(source), "-o", str(result)]
    samples = watch_process([*command, "--box", "24,14,14,8", "--method", "flow"])
    assert len(samples) > 3
    assert all(sample.memory > 2**12 and sample.files > 2 for sample in samples)
    assert max(sample.threads for sample in samples) > 1


def test_starts_do_not_load_torch() -> None:
    result = CliRunner().invoke(start, ["--repeats", "1"])
    assert result.exit_code == 0, result.output
    rows = [line.split("|") for line in result.output.splitlines() if "`" in line]
    assert [row[-2].strip() for row in rows] == ["no"] * 4
    assert all(float(row[2]) > 0 for row in rows)


def test_large_pictures_are_filmed_and_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(speed.LARGE_SIZES, "4k", Size(192, 128))
    monkeypatch.setattr(speed, "_LARGE_FRAMES", 3)
    arguments = ["--size", "4k", "--frames", "7", "--max-memory", "2GB"]
    result = CliRunner().invoke(speed.large, arguments)
    assert result.exit_code == 0, result.output
    assert "192x128, 7 frames --max-memory 2GB: " in result.output


def test_the_memory_of_who_measures_does_not_count(tmp_path: Path) -> None:
    clip = make_demo_clip(tmp_path / "demo", 2, Size(96, 64))
    mine = np.ones(400 * 2**20, np.uint8)  # touched, so resident
    cost = measure_removal(clip, tmp_path, 2, ["--method", "flow"])
    assert cost.memory < len(mine)


@pytest.mark.parametrize(
    "removal", robustness.REMOVALS, ids=lambda one: f"{one.holes} {one.method}"
)
def test_removals_raise_no_numeric_fault(removal: robustness.Removal) -> None:
    clip = _scroll(8)
    assert robustness.try_removal(clip, removal, threads=2) is None


@pytest.mark.parametrize("name", ["motion.propagation.guess_at", "removal.filling.propagate"])
def test_numeric_faults_are_found_in_every_thread(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        np.exp(np.full(1, -100, np.float32))

    monkeypatch.setattr(f"cleanplate.{name}", fail)
    found = robustness.try_removal(_scroll(3), robustness.REMOVALS[0], threads=2)
    assert found is not None
    assert "underflow" in found
    assert "test_commands.py" in found


def _scroll(count: int) -> np.typing.NDArray[np.uint8]:
    """Noise that moves to the side, 64x48."""
    noise = np.random.default_rng(3).integers(0, 256, (48, 64 + 2 * count, 3), np.uint8)
    return np.stack([noise[:, 2 * t : 2 * t + 64] for t in range(count)])
