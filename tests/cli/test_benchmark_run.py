"""`cleanplate benchmark` measures what it says; figures themselves are not tested."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from cleanplate.cli.evaluate import benchmark
from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.research.benchmarks import comparison, speed
from cleanplate.research.benchmarks import run as benchmark_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw() -> SttnNetwork:
        network = SttnNetwork(SttnConfig(channels=8, widths=(4, 6), blocks=1))
        initialise(network, torch.Generator().manual_seed(0), deviation=0.2)
        return network.eval()

    monkeypatch.setattr(benchmark_run, "draw_network", draw)
    for name, value in (("_SIDE", 8), ("_HEIGHT", 4), ("_WIDTH", 4), ("_COPY", 64)):
        monkeypatch.setattr(speed, name, value)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(benchmark, list(map(str, arguments)))


def measure(*arguments: object) -> dict[str, object]:
    result = invoke(*arguments, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.output)
    return found


DRAWN = ("--size", "96x48", "--frames", 12)


def test_stages_of_a_drawn_clip() -> None:
    found = measure(*DRAWN, "--method", "flow")
    assert (found["size"], found["frames"], found["method"]) == ("96x48", 12, "flow")
    stages = found["seconds_per_frame"]
    assert isinstance(stages, dict)
    assert {"decode", "mask", "flow", "blend", "encode", "all"} <= stages.keys()
    assert all(value >= 0 for value in stages.values())
    assert found["frames_per_second"] == pytest.approx(1 / stages["all"], rel=0.02)
    assert found["plain"] is None
    assert isinstance(found["ceilings"], dict)
    assert {"matrix_bf16_gflops", "convolution_fp32_gflops", "copy_gb_per_second"} <= (
        found["ceilings"].keys()
    )
    assert found["peak_memory_bytes"] > 2**24  # type: ignore[operator]


def test_the_paper_s_network_against_the_plain_rendition() -> None:
    found = measure(
        *DRAWN, "--model", "sttn", "--method", "network", "--against-plain", "--windows", 1
    )
    plain, stages = found["plain"], found["seconds_per_frame"]
    assert isinstance(plain, dict)
    assert isinstance(stages, dict)
    assert (plain["windows"], plain["measured"]) == (3, 1)
    assert plain["plain_seconds"] > plain["plain_measured_seconds"]
    assert plain["ratio"] == pytest.approx(plain["plain_seconds"] / found["seconds"], abs=0.02)
    assert plain["within_one_level"] > 0.999
    assert plain["decibels"] > 45
    assert stages["network"] > 0
    assert found["notes"][-2:] == [
        "the network's values are drawn, not learned",
        "1 of 3 windows were run, the middle ones; the rest is scaled",
    ]


def test_any_method_against_the_plain_rendition() -> None:
    found = measure(*DRAWN, "--method", "flow", "--against-plain", "--all-windows", "--no-ceilings")
    plain = found["plain"]
    assert isinstance(plain, dict)
    assert plain["windows"] == plain["measured"] == 3
    assert "network_seconds" not in plain
    assert found["ceilings"] is None


def test_lines_for_people() -> None:
    result = invoke(*DRAWN, "--model", "sttn", "--method", "network", "--against-plain")
    assert result.exit_code == 0, result.output
    assert "s a frame" in result.output
    assert "the plain version:" in result.output
    assert "released windows by the network alone" in result.output


def test_a_clip_of_ones_own(images: Callable[..., Path]) -> None:
    names = tuple(f"{k}.png" for k in range(4))
    source = images(names, (64, 48))
    mask = images(names[:1], (64, 48), "mask")
    found = measure(source, "--mask", mask / "0.png", "--method", "flow", "--no-ceilings")
    assert (found["frames"], found["size"]) == (4, "64x48")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clip.mp4"], "INPUT and --mask go together"),
        (["clip.mp4", "--mask", "m.png", "--frames", 3], "leave INPUT out"),
        (["--size", "12"], "not WIDTHxHEIGHT"),
        (["--size", "100x50", "--frames", 2, "--against-plain", "--device", "cpu"], "divide by 48"),
    ],
)
def test_what_cannot_be_measured(arguments: list[object], said: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code
    assert said in result.output + str(result.exception)


def test_the_middle_windows_are_chosen() -> None:
    assert comparison.choose_windows(80, 2) == range(7, 9)
    assert comparison.choose_windows(80, None) == range(16)
    assert comparison.choose_windows(6, 9) == range(2)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("ERROR"):
        yield
