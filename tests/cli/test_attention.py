"""`cleanplate attention` from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cleanplate.video.images import write_png


@pytest.fixture
def clip(tmp_path, pan):
    """Frames of a moving camera, and a mask for all of them."""
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(pan(frames=4)):
        write_png(tmp_path / "frames" / f"{index}.png", frame)
    mask = np.zeros((64, 96, 3), np.uint8)
    mask[20:40, 30:60] = 255
    write_png(tmp_path / "mask.png", mask)
    return tmp_path / "frames", tmp_path / "mask.png"


def test_maps_of_the_embedded_network(run, clip, tmp_path, one_thread):
    frames, mask = clip
    options = ("--mask", mask, "--time", "0.05", "-o", tmp_path / "out", "--json")
    done = run("attention", frames, *options)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == json.loads((tmp_path / "out" / "attention.json").read_text())
    assert json.loads(done.out)["frame"] == 1
    assert (tmp_path / "out" / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--frame or --time"),
        (("--frame", 1, "--time", "0"), "--frame or --time"),
        (("--frame", 4), "no frame 4; the last one is 3"),
        (("--time", "later"), "'later' is no time"),
        (("--time", "9"), "ends before 9 s"),
        (("--frame", 1, "--model", "nothing.pth"), "no checkpoint"),
        (("--frame", 1, "-o", "there"), "not empty"),
    ],
)
def test_bad_requests_are_one_line(run, clip, tmp_path, monkeypatch, options, message):
    frames, mask = clip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    before = set(tmp_path.iterdir())
    done = run("attention", frames, "--mask", mask, "-o", "out", *options)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert set(tmp_path.iterdir()) == before
