from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from cleanplate.datasets.sampling import Sample
from cleanplate.errors import CleanplateError, InputError
from cleanplate.model import SttnConfig, load
from cleanplate.model.light import LightConfig
from cleanplate.training import Adversary, Recipe, Run, fit, main, setup
from cleanplate.training.data import Data
from cleanplate.training.validation import fill, fill_smoothly, hole_psnr

from .toy import TINY, draw, draw_still

CPU = torch.device("cpu")
DATA = Data(draw, draw_still, [draw(50)])


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in network.parameters()])


def log(run: Run, kind: str) -> list[dict[str, float]]:
    lines = (run.folder / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def test_a_run_leaves_weights_a_checkpoint_and_a_log(recipe: Recipe, tmp_path: Path) -> None:
    run = main(replace(recipe, steps=20), tmp_path / "run", DATA, CPU)
    assert run.step == 20
    loaded = load(tmp_path / "run" / "weights.safetensors")
    torch.testing.assert_close(weights(loaded), weights(run.average), atol=1e-3, rtol=1e-3)
    (entry,) = log(run, "train")
    assert entry["step"] == 20
    assert 0 <= entry["waiting"] <= 1
    assert log(run, "validation")[-1]["psnr"] > 0


@pytest.mark.parametrize("adversary", [None, Adversary(width=2)])
def test_resumed_equals_uninterrupted(
    recipe: Recipe, tmp_path: Path, adversary: Adversary | None
) -> None:
    recipe = replace(recipe, adversary=adversary, drop_every=100)
    whole = main(recipe, tmp_path / "whole", DATA, CPU)
    main(replace(recipe, steps=3), tmp_path / "parts", DATA, CPU)
    resumed = main(recipe, tmp_path / "parts", DATA, CPU)
    assert resumed.step == whole.step == 6
    for ours, theirs in ((resumed.network, whole.network), (resumed.average, whole.average)):
        torch.testing.assert_close(weights(ours), weights(theirs), atol=1e-6, rtol=0)


def test_paper_network_trains_with_the_discriminator(recipe: Recipe, tmp_path: Path) -> None:
    config = SttnConfig(channels=8, widths=(4, 6), blocks=1, masked=True)
    recipe = replace(recipe, network=config, adversary=Adversary(width=2), steps=20, average=0.0)
    run = setup(recipe, tmp_path, Data(draw), CPU)
    before = weights(run.network).clone()
    fit(run)
    assert (weights(run.network) != before).any()
    (entry,) = log(run, "train")
    assert {"hole", "valid", "judge"} <= entry.keys()


def test_the_discriminator_may_come_late(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, adversary=Adversary(width=2, begin=0.5))
    run = setup(recipe, tmp_path, DATA, CPU)
    assert run.judge is not None
    before = weights(run.judge.network).clone()
    run.recipe = replace(recipe, steps=1000)
    run.step = 499
    run.recipe = replace(run.recipe, steps=500)
    fit(run)
    assert (weights(run.judge.network) != before).any()


def test_the_global_random_state_is_left_alone(recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    setup(replace(recipe, adversary=Adversary(width=2)), tmp_path, DATA, CPU)
    assert torch.equal(torch.rand(1), expected)


def test_a_loss_that_is_not_a_number_stops_the_run(recipe: Recipe, tmp_path: Path) -> None:
    main(recipe, tmp_path, DATA, CPU)
    good = (tmp_path / "last.pt").read_bytes()
    run = setup(replace(recipe, steps=12), tmp_path, DATA, CPU)
    next(run.network.parameters()).data.fill_(float("nan"))
    with pytest.raises(CleanplateError, match=r"not a number at step 6.*last\.pt"):
        fit(run)
    assert (tmp_path / "last.pt").read_bytes() == good


def test_an_error_while_drawing_reaches_the_caller(recipe: Recipe, tmp_path: Path) -> None:
    def broken(number: int) -> Sample:
        raise InputError("clip 7 is gone; copy it again")

    with pytest.raises(InputError, match="clip 7"):
        main(recipe, tmp_path, Data(broken), CPU)


def test_a_checkpoint_of_another_network_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    main(replace(recipe, steps=1), tmp_path, DATA, CPU)
    other = replace(recipe, network=LightConfig(matching=4, widths=(8, 12, 16), heads=2))
    with pytest.raises(InputError, match=r"another network \(matching, blocks differ\)"):
        setup(other, tmp_path, DATA, CPU)


def test_a_damaged_checkpoint_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"PK not really")
    with pytest.raises(InputError, match=r"last\.pt: not a checkpoint"):
        setup(recipe, tmp_path, DATA, CPU)


@pytest.mark.parametrize(
    "values", [{"steps": None}, {"minutes": 1.0}, {"precision": "int8"}, {"batch": 0}]
)
def test_bad_recipes_are_refused(recipe: Recipe, values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(recipe, **values)  # type: ignore[arg-type]


@pytest.mark.slow
def test_learns_one_clip_by_ten_decibels(tmp_path: Path) -> None:
    """The bar of issue 3: one tiny clip, on the CPU, in under a minute."""
    case = draw(0)
    recipe = Recipe(
        network=TINY, batch=1, steps=250, rate=4e-3, warm_up=10, average=0.9, stills=None
    )
    run = main(recipe, tmp_path, Data(lambda number: case), CPU)
    before = hole_psnr(fill_smoothly(case), case)
    assert hole_psnr(fill(run.kept, case), case) > before + 10
