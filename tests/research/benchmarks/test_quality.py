"""`make check-quality` passes as recorded, and fails when the weights are worse."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cleanplate import network as model
from cleanplate.research.benchmarks import quality
from cleanplate.research.benchmarks.__main__ import benchmarks

FIGURES = {"auto": {"moving": 20.0}, "network": {"moving": 18.0}}


@pytest.fixture
def one_kind(monkeypatch, one_thread):
    """The gate with moving holes and the network only, to save time."""
    cases = [case for case in quality.make_cases() if case.kind == "moving"]
    monkeypatch.setattr(quality, "make_cases", lambda: iter(cases))
    monkeypatch.setattr(quality, "METHODS", ("network",))


@pytest.fixture
def record(tmp_path):
    figures = json.loads(quality.RECORD.read_text())
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"network": {"moving": figures["network"]["moving"]}}))
    return path


def run(*options):
    return CliRunner().invoke(benchmarks, ["check-quality", *map(str, options)])


def test_a_fall_of_more_than_a_tenth_is_named():
    assert quality.compare({"auto": {"moving": 19.91}, "network": {"moving": 17.89}}, FIGURES) == [
        "network moving"
    ]
    assert quality.compare({"auto": {"moving": 25.0}, "network": {"moving": 18.0}}, FIGURES) == []


def test_what_was_not_measured_or_is_no_number_has_fallen():
    assert quality.compare({"auto": {"moving": float("nan")}}, FIGURES) == [
        "auto moving",
        "network moving",
    ]


def test_all_that_is_measured_is_recorded():
    figures = json.loads(quality.RECORD.read_text())
    assert {method: set(kinds) for method, kinds in figures.items()} == {
        method: set(quality.KINDS) for method in quality.METHODS
    }


def test_the_clips_are_always_the_same_and_each_kind_is_what_it_says():
    for one, other in zip(quality.make_cases(), quality.make_cases(), strict=True):
        assert (one.truth == other.truth).all()
        assert (one.masks == other.masks).all()
        assert one.masks.any((1, 2)).all()
        assert one.masks.mean() < 0.2
        at_rest = bool((one.masks == one.masks[:1]).all())
        assert at_rest == (one.kind != "moving")
        still = np.mean(one.truth[0] == one.truth[-1]) > 0.8
        assert still == (one.kind == "unseen")


def test_the_embedded_weights_pass_and_disturbed_ones_fail(one_kind, record, tmp_path, monkeypatch):
    passed = run("--figures", record)
    assert passed.exit_code == 0, passed.output
    network = model.load("default")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight += 4 * weight.std() * torch.randn(weight.shape, generator=generator)
    model.save(network, tmp_path / "disturbed.safetensors")
    # One clip will do: on it the embedded weights are 9 dB above the figure for all three.
    cases = list(quality.make_cases())
    monkeypatch.setattr(quality, "make_cases", lambda: iter(cases[1:2]))
    failed = run("--figures", record, "--model", tmp_path / "disturbed.safetensors")
    assert failed.exit_code == 1
    assert "fell by more than 0.1 dB: network moving" in failed.output


def test_figures_are_recorded_when_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(quality, "measure", lambda model, method: FIGURES[method])
    assert run("--record", "--figures", tmp_path / "new.json").exit_code == 0
    assert json.loads((tmp_path / "new.json").read_text()) == FIGURES
