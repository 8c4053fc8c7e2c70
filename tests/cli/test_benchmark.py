from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cleanplate.cli.evaluate import benchmark
from cleanplate.network.light import LightConfig
from cleanplate.research.data.clips import make_clips
from cleanplate.research.data.sampling import Sampling
from cleanplate.research.training import RECIPES, Recipe

TINY = Recipe(
    network=LightConfig(matching=8, widths=(8, 12, 16), heads=2, blocks=1),
    sampling=Sampling(size=(32, 48), frames=3),
    stills=Sampling(size=(32, 48), frames=1),
    still_batch=2,
    steps=100,
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "light", TINY)


def invoke(*arguments: object) -> str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    options = ["train", "--device", "cpu", *map(str, arguments)]
    result = CliRunner().invoke(benchmark, options, catch_exceptions=False)
    torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_table_for_people(tmp_path: Path) -> None:
    lines = dict(line.split("  ", 1) for line in invoke("--steps", 2).splitlines())
    assert lines["recipe"].strip() == "light"
    assert float(lines["samples a second"]) > 0
    assert "% of the time" in lines["waiting for data"]


def test_json_counts_samples_and_the_wait() -> None:
    found = json.loads(invoke("--steps", 3, "--batch", 1, "--json"))
    assert found["steps"] == 3
    assert found["samples"] == 3 * (1 + 2)
    assert found["samples_per_second"] == pytest.approx(9 / found["seconds"], rel=0.02)
    assert 0 < found["share_waiting_for_data"] < 1
    assert found["peak_device_bytes"] is None


def test_the_named_data_are_used_and_kept_in_the_cache(tmp_path: Path) -> None:
    from cleanplate.video.images import write_png

    for clip in make_clips(2, 6, (48, 64)):
        folder = tmp_path / "clips" / clip.name
        folder.mkdir(parents=True)
        for index, frame in enumerate(clip):
            write_png(folder / f"{index}.png", frame)
    invoke("--steps", 1, "--clips", tmp_path / "clips", "--cache", tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*/frames.u8"))) == 1
