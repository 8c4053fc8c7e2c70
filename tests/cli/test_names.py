"""Names that are no UTF-8, as old archives and other systems leave them: bytes like any others."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.network.weights import EMBEDDED
from cleanplate.video.images import write_png

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names"),
]
BOX = ("--box", "4,4,6,6", "--method", "flow")
ODD = os.fsdecode(b"\xff\xe9")


@pytest.fixture
def frames(painted, tmp_path: Path) -> Path:
    """A folder of images; its own name and theirs are no UTF-8."""
    folder = tmp_path / f"frames{ODD}"
    folder.mkdir()
    for number in (1, 2):
        write_png(folder / f"{number}{ODD}.png", painted(number, (20, 16)))
    return folder


def test_a_folder_of_images_becomes_another(run, frames: Path, tmp_path: Path) -> None:
    masks = tmp_path / f"masks{ODD}"
    masks.mkdir()
    for name in ("1", "2"):
        hole = np.zeros((16, 20), np.uint8)
        hole[4:9, 4:9] = 255
        (masks / f"{name}{ODD}.png").write_bytes(cv2.imencode(".png", hole)[1].tobytes())
    output, kept = tmp_path / f"out{ODD}", tmp_path / f"kept{ODD}"
    arguments = ("remove", frames, "-o", output, "--mask", masks, "--mask-out", kept)
    outcome = run(*arguments, "--method", "flow")
    assert (outcome.code, outcome.err) == (0, "")
    assert "out\ufffd\ufffd: 2 frames" in outcome.out
    names = [f"1{ODD}.png", f"2{ODD}.png"]
    assert sorted(os.listdir(output)) == sorted(os.listdir(kept)) == names


def test_a_batch_and_its_parts(run, frames: Path, tmp_path: Path) -> None:
    output = tmp_path / f"out{ODD}"
    output.mkdir()
    batch = ("batch", tmp_path / f"fr*{ODD}", "-o", output / f"{{stem}}{ODD}.mkv", *BOX)
    outcome = run(*batch, "--part-frames", 1, "--workers", 1, "--threads", 1)
    assert (outcome.code, outcome.out) == (0, "1 job: 1 done\n"), outcome.err
    assert "filled in 2 parts before" in outcome.err
    assert run(*batch).out == "1 job: 1 done earlier\n"


def test_a_report_as_json_gives_the_bytes_back(run, frames: Path, tmp_path: Path) -> None:
    outcome = run("remove", frames, "-o", tmp_path / f"out{ODD}", *BOX, "--json")
    assert outcome.code == 0
    assert os.fsencode(json.loads(outcome.out)["input"]) == os.fsencode(frames)


def test_models(run, tmp_path: Path) -> None:
    """safetensors and torch take UTF-8 names only."""
    model, released = tmp_path / f"model{ODD}.safetensors", tmp_path / f"model{ODD}.pth"
    shutil.copy(EMBEDDED, model)
    assert run("models", "verify", model).out.endswith("model\ufffd\ufffd.safetensors: good\n")
    assert "architecture  light" in run("models", "show", model).out
    copy = tmp_path / f"copy{ODD}.safetensors"
    assert run("models", "convert", model, copy).out.endswith(" MB\n")
    released.write_bytes(b"PK\x03\x04")
    assert "model\ufffd\ufffd.pth is damaged" in run("models", "verify", released).err


def test_what_is_not_there_is_named(run, tmp_path: Path) -> None:
    outcome = run("remove", tmp_path / f"none{ODD}", "-o", tmp_path / "out.mp4", *BOX)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "none\ufffd\ufffd' does not exist" in outcome.err
