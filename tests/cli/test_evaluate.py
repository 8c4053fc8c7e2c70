"""`cleanplate evaluate` as a user meets it."""

import json

import cv2
import numpy as np
import pytest


@pytest.fixture
def data(pan, tmp_path):
    shown = pan(frames=4, size=(80, 72))
    mask = np.zeros((72, 80), np.uint8)
    mask[20:40, 20:50] = 255
    for name in ("frames", "still"):
        folder = tmp_path / "data" / "one" / name
        folder.mkdir(parents=True)
        for index, frame in enumerate(shown):
            picture = frame if name == "frames" else mask
            cv2.imwrite(str(folder / f"{index}.png"), picture)
    return tmp_path / "data"


def test_means_are_printed_and_reports_written(run, data, tmp_path):
    outcome = run("evaluate", data, "--methods", "telea, median", "-o", tmp_path / "out")
    assert outcome.code == 0
    assert outcome.err == ""
    assert "## Means, still" in outcome.out
    assert "| telea | 1 |" in outcome.out
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "report.json",
        "report.md",
        "report.html",
    }
    found = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert [row["method"] for row in found["rows"]] == ["telea", "median"]


def test_a_failing_method_is_exit_code_one(run, data, tmp_path):
    (tmp_path / "theirs").mkdir()
    methods = f"telea,theirs={tmp_path / 'theirs'}"
    outcome = run("evaluate", data, "--methods", methods, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "1 of 2 runs failed (first theirs on one, still: " in outcome.err
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "magic"], "no method 'magic'"),
        (["--methods", ""], "no method to evaluate"),
        (["--protocol", "magic"], "magic"),
        (["--only", "two"], "no sequence 'two'"),
        (["--i3d", "none.pt"], "none.pt"),
    ],
)
def test_wrong_usage_is_exit_code_two(options, message, run, data, tmp_path):
    outcome = run("evaluate", data, *options, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


def test_truth_and_masks_of_another_number_are_exit_code_two(run, data, tmp_path):
    (data / "one" / "still" / "3.png").unlink()
    outcome = run("evaluate", data, "--methods", "telea", "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "one, still: " in outcome.err


def test_going_on_needs_resume(run, data, tmp_path):
    arguments = ("evaluate", data, "--methods", "telea", "-o", tmp_path / "out")
    assert run(*arguments).code == 0
    assert "--resume" in run(*arguments).err
    assert run(*arguments, "--resume").code == 0
