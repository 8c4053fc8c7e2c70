"""The benchmarks measure what they say."""

import re

import numpy as np
import pytest
from benchmarks.__main__ import benchmarks
from benchmarks.quality import BEST, BLANK, FOOTAGE, MEANS, Case, Score, fill_by_median, measure
from benchmarks.speed import _measure
from click.testing import CliRunner

from cleanplate.datasets.demo import make_demo_clip
from cleanplate.types import Size


@pytest.fixture
def case():
    truth = np.random.default_rng(0).integers(50, 200, (6, 70, 80, 3), np.uint8)
    masks = np.zeros((6, 70, 80), np.bool_)
    masks[:5, :35, :40] = True
    return Case("noise", "stationary", truth, masks)


def test_scores_are_of_the_composited_picture(case):
    score = measure(lambda frames, masks: case.truth + np.uint8(10), case)
    inside = 10 * np.log10(255**2 / 100)
    assert score.hole == pytest.approx(inside, abs=1e-3)
    assert score.psnr == pytest.approx(inside + 10 * np.log10(4), abs=1e-3)
    assert 90 < score.ssim < 100


def test_methods_never_see_what_a_hole_hides(case):
    def look(frames, masks):
        assert (frames[masks] == BLANK).all()
        assert (frames[~masks] == case.truth[~masks]).all()
        return case.truth

    assert measure(look, case).hole > 100


def test_the_median_is_over_what_was_seen(case):
    still = np.broadcast_to(case.truth[:1], case.truth.shape)
    hidden = np.where(case.masks[..., None], 0, still).astype(np.uint8)
    assert (fill_by_median(hidden, case.masks) == still).all()


def test_without_footage_quality_is_skipped(tmp_path):
    outcome = CliRunner().invoke(benchmarks, ["quality", "--footage", str(tmp_path / "none")])
    assert outcome.exit_code == 0
    assert "skipped" in outcome.output


def test_an_unknown_method_is_named(tmp_path):
    arguments = ["quality", "--footage", str(tmp_path), "--methods", "magic"]
    outcome = CliRunner().invoke(benchmarks, arguments)
    assert outcome.exit_code == 2
    assert "magic" in outcome.output


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="the evaluation footage is not here")
def test_the_stored_numbers_are_the_best_of_the_footages_table():
    best = {}
    for line in (FOOTAGE / "README.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| \**([\w-]+)(?: \||,) (stationary|moving)\** \|", line)
        scores = re.findall(r"([\d.]+) / ([\d.]+) / ([\d.]+)", line)
        if row:
            best[row[1], row[2]] = max(Score(*map(float, score)) for score in scores)
    stored = {case: score for case, (_, score) in BEST.items()}
    stored |= {("mean", kind): score for kind, (_, score) in MEANS.items()}
    assert best == stored


@pytest.mark.slow
def test_costs_are_of_the_command_alone(tmp_path):
    clip = make_demo_clip(tmp_path / "demo", 4, Size(96, 64))
    cost = _measure(clip, tmp_path, 9, ["--method", "flow"])
    assert cost.frames == 9
    assert cost.wall > 0.2
    assert cost.processor > 0.2
    assert cost.memory > 50 * 2**20
