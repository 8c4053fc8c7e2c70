"""Logos that `remove` and `batch` find by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.batch import Job
from cleanplate.errors import MaskError
from cleanplate.masks.finding import Search

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (256, 144)
DISC = (226, 27)
OPTIONS = ("--logo", "--method", "flow", "--threads", 1)


@pytest.fixture
def marked(pan, tmp_path: Path) -> Path:
    """A folder of images: a white disc stays in a corner while the camera pans."""
    folder = tmp_path / "in" / "marked"
    folder.mkdir(parents=True)
    for number, frame in enumerate(pan(frames=24, size=SIZE, step=(3, 1))):
        drawn = np.ascontiguousarray(frame[..., ::-1])
        cv2.circle(drawn, DISC, 14, (255, 255, 255), -1)
        cv2.circle(drawn, DISC, 7, (0, 0, 0), 3)
        cv2.imwrite(str(folder / f"{number:03d}.png"), drawn)
    return folder


def count_white(folder: Path) -> int:
    """Frames in which the disc is white."""
    pictures = [cv2.imread(str(path)) for path in sorted(folder.glob("*.png"))]
    return sum(bool((one[DISC[1] - 11, DISC[0]] > 250).all()) for one in pictures)


def test_remove_finds_the_logo(run, marked):
    assert count_white(marked) == 24
    done = run("remove", marked, *OPTIONS, "--start", "0.1", "--end", "0.4")
    assert done.code == 0
    assert "note: 1 logo at " in done.out
    output = marked.with_name("marked-clean")
    assert len(list(output.iterdir())) == 8
    assert count_white(output) == 0


def test_batch_finds_the_logo_of_each_input(run, marked, tmp_path):
    jobs = tmp_path / "jobs.jsonl"
    line = {"input": str(marked), "output": str(tmp_path / "new" / "out"), "end": 0.3}
    jobs.write_text(json.dumps(line))
    done = run("batch", jobs, *OPTIONS)
    assert done.code == 0, done.err
    assert "note: 1 logo at " in done.err
    assert count_white(tmp_path / "new" / "out") == 0
    assert "1 done earlier" in run("batch", jobs, *OPTIONS).out


def test_what_is_not_found_is_said(make_clip, run):
    source = make_clip(frames=4)
    with pytest.raises(MaskError, match="has only 4 frames; the detection of a logo needs"):
        Job.from_fields({"input": str(source), "logo": True}).find_masks()
    refused = run("remove", source, *OPTIONS)
    assert refused.code == 2
    assert "has only 4 frames" in refused.err


def test_a_search_says_what_it_looks_for():
    search = Search(("1,2,3,4@5",), True, "0,0,9,9", True)
    assert search.describe() == ["track 1,2,3,4@5", "text in 0,0,9,9", "logo"]
    assert not Search()
