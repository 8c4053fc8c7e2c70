from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from cleanplate.errors import CleanplateError, InputError
from cleanplate.network import SttnConfig, load
from cleanplate.research.data.sampling import Sample
from cleanplate.research.evaluation.metric import measure_psnr
from cleanplate.research.training import RECIPES, Adversary, Recipe, Run, fit, main, setup
from cleanplate.research.training.feed import Data, fill, fill_smoothly
from cleanplate.research.training.loop import feed, take_step
from cleanplate.research.training.objective import make_network

from .toy import TINY, draw, draw_still

CPU = torch.device("cpu")
DATA = Data(draw, draw_still, [draw(50)])


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in network.parameters()])


def test_a_paused_run_goes_on(recipe: Recipe, tmp_path: Path) -> None:
    whole = main(recipe, tmp_path / "whole", DATA, CPU)
    paused = main(recipe, tmp_path / "parts", DATA, CPU, pause_after=1e-9)
    assert paused.step == 1
    assert (tmp_path / "parts" / "weights.safetensors").exists()
    resumed = main(recipe, tmp_path / "parts", DATA, CPU)
    assert resumed.step == whole.step
    torch.testing.assert_close(weights(resumed.network), weights(whole.network), atol=1e-6, rtol=0)


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


def test_a_run_that_fails_at_once_says_that_no_checkpoint_was_made(
    recipe: Recipe, tmp_path: Path
) -> None:
    run = setup(recipe, tmp_path, DATA, CPU)
    next(run.network.parameters()).data.fill_(float("inf"))
    with pytest.raises(CleanplateError, match=r"step 0; no checkpoint was made yet"):
        fit(run)


def test_gradients_are_clipped(recipe: Recipe, tmp_path: Path) -> None:
    run = main(replace(recipe, clip=1e-3, steps=2), tmp_path, DATA, CPU)
    gradients = [value.grad for value in run.network.parameters() if value.grad is not None]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert norm <= 1.001e-3
    assert run.recent[-1]["norm"] > 1e-3


def test_the_average_follows_the_weights(recipe: Recipe, tmp_path: Path) -> None:
    """In the first steps the decay is (1 + n) / (10 + n)."""
    run = setup(replace(recipe, average=0.9, steps=3), tmp_path, DATA, CPU)
    expected = weights(run.average)
    with feed(run) as batches:
        for step in range(1, 4):
            take_step(run, *batches.next())
            decay = (1 + step) / (10 + step)
            expected = decay * expected + (1 - decay) * weights(run.network)
    torch.testing.assert_close(weights(run.average), expected)
    assert run.kept is run.average


def test_channels_last_trains_the_same(recipe: Recipe, tmp_path: Path) -> None:
    # A large epsilon: Adam would blow up the rounding of gradients that are almost zero.
    recipe = replace(recipe, steps=2, epsilon=1e-2)
    plain = main(recipe, tmp_path / "plain", DATA, CPU)
    last = main(replace(recipe, channels_last=True), tmp_path / "last", DATA, CPU)
    filters = [value for value in last.network.parameters() if value.ndim == 4]
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in filters)
    torch.testing.assert_close(weights(last.network), weights(plain.network), atol=1e-3, rtol=0)


def test_mixed_precision_learns(recipe: Recipe, tmp_path: Path) -> None:
    run = main(replace(recipe, precision="bf16", steps=20), tmp_path, DATA, CPU)
    assert all(value.dtype == torch.float32 for value in run.network.parameters())
    assert np.isfinite(log(run, "train")[0]["total"])


@pytest.mark.slow
def test_a_compiled_run_is_resumed_by_a_plain_one(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced as always, but run as it is: making machine code of it takes many minutes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    recipe = replace(recipe, epsilon=1e-2)
    compiled = main(replace(recipe, compile=True, steps=2), tmp_path / "run", DATA, CPU)
    plain = main(replace(recipe, steps=2), tmp_path / "plain", DATA, CPU)
    torch.testing.assert_close(weights(compiled.network), weights(plain.network), atol=1e-3, rtol=0)
    assert main(recipe, tmp_path / "run", DATA, CPU).step == 6


def test_only_the_named_parts_learn(recipe: Recipe, tmp_path: Path) -> None:
    run = setup(replace(recipe, learn=("synthesis",)), tmp_path, DATA, CPU)
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    fit(run)
    changed = {
        name.split(".")[0]
        for name, value in run.network.named_parameters()
        if not torch.equal(value, before[name])
    }
    assert changed == {"synthesis"}
    with pytest.raises(InputError, match="no part 'decoder'"):
        setup(replace(recipe, learn=("decoder",)), tmp_path / "other", DATA, CPU)


def test_a_run_begins_with_given_weights(recipe: Recipe, tmp_path: Path) -> None:
    first = main(recipe, tmp_path / "first", DATA, CPU)
    start = str(tmp_path / "first" / "weights.safetensors")
    second = setup(replace(recipe, start=start), tmp_path / "second", DATA, CPU)
    for new, old in zip(second.network.parameters(), first.kept.parameters(), strict=True):
        torch.testing.assert_close(new, old, atol=1e-3, rtol=1e-3)  # kept in half precision
    assert second.network.training
    with pytest.raises(InputError, match="holds a network 'light'"):
        setup(replace(recipe, start=start, network=SttnConfig()), tmp_path / "other", DATA, CPU)


def test_tensorboard_gets_curves_and_pictures(recipe: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra [train]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = main(replace(recipe, steps=20), tmp_path, DATA, CPU)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {"train/total", "train/samples_per_second", "validation/psnr"} <= set(
        events.Tags()["scalars"]
    )
    (picture,) = events.Images("held out")
    image = cv2.imdecode(np.frombuffer(picture.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert (picture.step, picture.width, picture.height) == (20, 960, round(960 * 32 / (3 * 48)))
    hidden, filled, truth = np.split(image.astype(int), 3, axis=1)
    hole = (np.abs(hidden - 127) < 3).all(2)
    assert hole.mean() > 0.1
    assert np.abs(filled - truth)[~hole].mean() < 6
    assert run.step == 20


def test_the_sttn_recipe_is_the_paper_s() -> None:
    """Section 4.2: Adam (0, 0.99), 1e-4 divided by ten every 150k steps, batch 8 for 500k steps."""
    recipe = RECIPES["sttn"]
    assert (recipe.betas, recipe.rate, recipe.drop_every) == ((0.0, 0.99), 1e-4, 150_000)
    assert (recipe.batch, recipe.steps, recipe.decay) == (8, 500_000, 0.0)
    assert (recipe.sampling.frames, recipe.sampling.size) == (5, (240, 432))
    assert recipe.sampling.released
    losses, adversary = recipe.sttn_losses, recipe.adversary
    assert adversary is not None
    assert (losses.hole, losses.valid, adversary.weight) == (1.0, 1.0, 0.01)
    assert (adversary.begin, adversary.width, adversary.mix_clips) == (0.0, 64, False)
    assert sum(value.numel() for value in make_network(recipe).parameters()) == 16_556_163
    assert (recipe.clip, recipe.average, recipe.stills) == (0.0, 0.0, None)


@pytest.mark.parametrize(("step", "rate"), [(0, 1e-4), (149_999, 1e-4), (150_000, 1e-5)])
def test_the_paper_s_rate_drops(tmp_path: Path, step: int, rate: float) -> None:
    tiny = SttnConfig(channels=8, widths=(4, 6), blocks=1)
    recipe = replace(RECIPES["sttn"], network=tiny, batch=1, adversary=Adversary(width=2))
    run = setup(recipe, tmp_path, Data(draw), CPU)
    run.step = step
    with feed(run) as batches:
        assert take_step(run, *batches.next())["rate"] == pytest.approx(rate)
    run.journal.close()


def test_the_light_recipe_has_its_discriminator_in_the_last_third() -> None:
    adversary = RECIPES["light"].adversary
    assert adversary is not None
    assert adversary.begin == pytest.approx(2 / 3)


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
    truth = case.frames[case.masks]
    before = measure_psnr(fill_smoothly(case)[case.masks], truth)
    assert measure_psnr(fill(run.kept, case)[case.masks], truth) > before + 10
