import numpy as np
import pytest

from cleanplate.research.evaluation.scoring import bootstrap, summarise


def row(sequence, value, **more):
    return {"sequence": sequence, "mask": "still", "method": "a", "psnr": value, **more}


def test_means_are_over_what_was_measured():
    rows = [row("x", 20.0), row("y", 30.0), {**row("z", 0.0), "error": "broken"}]
    mean = summarise(rows, ["psnr"], lambda name, rows: None)["still"]["a"]
    assert (mean["psnr"], mean["sequences"], mean["of"]) == (25.0, 2, 3)
    low, high = mean["intervals"]["psnr"]
    assert (low, high) == (20, 30)


def test_one_sequence_has_no_interval():
    mean = summarise([row("x", 20.0)], ["psnr"], lambda name, rows: None)["still"]["a"]
    assert mean["psnr"] == 20
    assert mean["intervals"] == {}


def test_what_is_no_mean_is_pooled():
    rows = [row("x", None), row("y", None), {**row("z", None), "left_out": "no"}]
    mean = summarise(rows, ["psnr"], lambda name, rows: float(len(rows)))["still"]["a"]
    assert mean["psnr"] == 2


def test_masks_and_methods_are_kept_apart():
    rows = [row("x", 1.0), {**row("x", 2.0), "mask": "moving"}, {**row("x", 3.0), "method": "b"}]
    means = summarise(rows, ["psnr"], lambda name, rows: None)
    assert means["still"]["a"]["psnr"] == 1
    assert means["moving"]["a"]["psnr"] == 2
    assert means["still"]["b"]["psnr"] == 3


def test_the_interval_is_near_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(30, 2, 100)
    low, high = bootstrap(list(values))
    half = 1.96 * values.std() / 10
    assert low == pytest.approx(values.mean() - half, abs=0.06)
    assert high == pytest.approx(values.mean() + half, abs=0.06)
    assert bootstrap(list(values)) == (low, high)
