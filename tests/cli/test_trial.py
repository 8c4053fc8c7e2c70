"""`remove --dry-run` and `remove --try` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = ("--box", "20,10,8,6", "--method", "flow", "--threads", 1)


def test_a_dry_run_prints_and_writes_nothing(run, make_clip, tmp_path):
    source = make_clip(frames=12)
    done = run("remove", source, *OPTIONS, "--start", "0.1", "--dry-run")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == f"{source}: 10 frames of 64x48, 0.4 s, H.264"
    assert lines[1] == "masks: box 20,10,8,6"
    assert lines[-1] == "dry run: nothing was written"
    assert [path.name for path in tmp_path.iterdir()] == ["source.mp4"]
    as_data = json.loads(run("remove", source, *OPTIONS, "--dry-run", "--json").out)
    assert as_data["estimate"].keys() == {"seconds", "memory", "disk"}
    assert (as_data["frames"], as_data["marks"]) == (12, ["box 20,10,8,6"])


def test_a_trial_names_what_it_wrote_and_estimates_the_whole(run, make_clip, tmp_path):
    source = make_clip(frames=20)
    done = run("remove", source, *OPTIONS, "--try", "0.2")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'source-try.mp4'}: 5 frames of 64x48")
    assert f"before and after: {tmp_path / 'source-try.png'}" in lines
    assert lines[-1].startswith("estimate for the whole: about ")
    assert Path(tmp_path / "source-try.png").exists()
    again = run("remove", source, *OPTIONS, "--try", "0.2")
    assert again.code == 2
    assert "source-try.mp4' exists; use --overwrite to replace it" in again.err
    assert again.err.count("\n") == 1


def test_seconds_may_be_left_out_and_options_follow(run, make_clip, tmp_path):
    done = run("remove", make_clip(frames=8), "--try", *OPTIONS, "--json")
    assert done.code == 0
    assert json.loads(done.out)["frames"] == 8


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--try", "0"), "'--try': 0.0 is not in the range"),
        (("--try", "soon"), "'--try': 'soon' is not a valid float"),
        (("--try", "--dry-run"), "give --try or --dry-run, not both"),
    ],
)
def test_wrong_usage_is_one_line(run, make_clip, arguments, says):
    outcome = run("remove", make_clip(), *OPTIONS, *arguments)
    assert outcome.code == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
