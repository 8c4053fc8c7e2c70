import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest

from cleanplate import removal, scene
from cleanplate.cli import showcase
from cleanplate.scene import make_demo_clip
from cleanplate.types import Size
from cleanplate.video import probe


@pytest.fixture
def truthful(monkeypatch):
    """A removal that knows the truth: what is left is the loss of the codec."""

    def remove(source: Path, output: Path, **options: Any) -> SimpleNamespace:
        assert options["overwrite"]
        showcase._film(source.parent / "truth", output)
        return SimpleNamespace(notes=["mind this"])

    monkeypatch.setattr(removal, "remove", remove, raising=False)
    small = partial(make_demo_clip, size=Size(108, 60))
    monkeypatch.setattr(showcase, "make_demo_clip", small)


def test_demo_shows_what_it_made(run, truthful, tmp_path):
    folder = tmp_path / "demo"
    outcome = run("demo", folder, "--frames", 6, "--json")
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    assert made["psnr_in_hole"] > 30 > made["telea_psnr_in_hole"]
    assert probe(made["clip"]).frame_count == probe(made["result"]).frame_count == 6
    assert probe(made["side_by_side"]).size.width == 2 * probe(made["clip"]).size.width
    assert cv2.imread(made["comparison"]).shape == (32 + 3 * 68, 3 * 116 + 8, 3)
    assert cv2.imread(made["before_after"]).shape == (32 + 68, 2 * 116 + 8, 3)
    assert made["psnr_outside"] > 30


def test_demo_replaces_only_when_told_to(run, truthful, tmp_path):
    folder = tmp_path / "demo"
    assert run("demo", folder, "--frames", 4).code == 0
    outcome = run("demo", folder, "--frames", 3)
    assert outcome.code == 2
    assert "is not empty" in outcome.err
    outcome = run("demo", folder, "--frames", 3, "--overwrite")
    assert outcome.code == 0
    assert "PSNR in hole" in outcome.out
    assert "note: mind this" in outcome.out
    assert len(list((folder / "masks").iterdir())) == 3


def test_demo_says_when_its_photographs_are_missing(run, truthful, tmp_path, monkeypatch):
    note = "note: the pictures on the wall are drawn; cleanplate[demo] provides photographs"
    assert note not in run("demo", tmp_path / "with", "--frames", 2).out
    monkeypatch.setattr(scene, "find_spec", lambda name: None)
    assert note in run("demo", tmp_path / "without", "--frames", 2).out


def test_demo_needs_a_folder(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file" in run("demo", tmp_path / "file").err


@pytest.mark.parametrize("linked", [False, True])
def test_frames_that_no_demo_made_are_kept(run, truthful, tmp_path, linked):
    own = tmp_path / ("shelf" if linked else "demo") / "frames"
    own.mkdir(parents=True)
    (own / "00000.png").write_text("mine")
    if linked:
        (tmp_path / "demo" / "truth").mkdir(parents=True)
        (tmp_path / "demo" / "frames").symlink_to(own)
    outcome = run("demo", tmp_path / "demo", "--frames", 3, "--overwrite")
    assert (outcome.code, "is not an earlier demo's" in outcome.err) == (2, True)
    assert (own / "00000.png").read_text() == "mine"
