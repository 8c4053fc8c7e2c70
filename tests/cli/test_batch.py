"""`cleanplate batch` as a person meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.patience import PATIENCE, until

from cleanplate import removal
from cleanplate.batch.jobs import known_options
from cleanplate.cli.batch import batch as command
from cleanplate.video import open_reader

OPTIONS = ("--box", "10,10,20,16", "--method", "flow", "--lossless", "--threads", 1)


@pytest.fixture
def folder(make_clip, tmp_path: Path) -> Path:
    """Two clips in `in/`, and an empty `out/`."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        make_clip(f"in/{name}.mp4", frames=8)
    return tmp_path


def pixels(path: Path) -> list[bytes]:
    with open_reader(path) as reader:
        return [picture.rgb.tobytes() for picture in reader]


def test_the_help_names_all_options_that_a_line_can_set():
    with click.Context(command, info_name="batch") as context:
        text = " ".join(command.get_help(context).split())
    listed = text.partition('"dilate": 8: ')[2].partition(". Options")[0]
    assert set(re.split(", | and ", listed)) == {"invert", "mask_threshold", *known_options()}


def test_a_glob_is_done_and_then_kept(run, folder):
    batch = ("batch", folder / "in" / "*.mp4", "-o", folder / "out" / "{stem}.mp4", *OPTIONS)
    outcome = run(*batch, "--workers", 2)
    assert (outcome.code, outcome.out) == (0, "2 jobs: 2 done\n")
    jobs = [line.split()[0] for line in outcome.err.splitlines() if "note:" not in line]
    assert sorted(jobs) == ["[1/2]", "[2/2]"]
    alone = folder / "alone.mp4"
    removal.remove(folder / "in" / "a.mp4", alone, box="10,10,20,16", method="flow", lossless=True)
    assert pixels(folder / "out" / "a.mp4") == pixels(alone)
    outcome = run(*batch, "--json")
    assert outcome.code == 0
    assert outcome.err == ""
    assert [job["state"] for job in json.loads(outcome.out)] == ["kept", "kept"]
    (folder / "out" / "b.mp4").unlink()
    assert run(*batch).out == "2 jobs: 1 done, 1 done earlier\n"


def test_a_long_video_is_filled_in_parts(run, folder):
    batch = ("batch", folder / "in" / "a.mp4", "-o", folder / "out" / "{stem}.mp4", *OPTIONS)
    outcome = run(*batch, "--part-frames", 5, "--workers", 2, "--json")
    assert outcome.code == 0
    assert "filled in 2 parts before" in outcome.err
    assert json.loads(outcome.out)[0]["parts"] == 2
    alone = folder / "alone.mp4"
    removal.remove(folder / "in" / "a.mp4", alone, box="10,10,20,16", method="flow", lossless=True)
    assert pixels(folder / "out" / "a.mp4") == pixels(alone)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "a.mp4", "cleanplate-batch.journal"
    ]  # fmt: skip


def break_middle(path: Path) -> None:
    """Overwrite pictures in the middle of a video; its headers still tell all that is checked."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)


def test_a_failure_is_told_in_a_table(run, make_clip, folder):
    clip = {"options": {"g": "20", "crf": "1"}, "movflags": "faststart"}
    break_middle(make_clip("in/b.mp4", frames=60, **clip))
    jobs = folder / "jobs.jsonl"
    lines = [
        {"input": str(folder / "in" / f"{name}.mp4"), "output": str(folder / "out" / f"{name}.mp4")}
        for name in "ab"
    ]
    jobs.write_text("\n\n".join(map(json.dumps, lines)))
    outcome = run("batch", jobs, *OPTIONS, "--workers", 1)
    assert outcome.code == 1
    where = f"{jobs}, line 3 ({lines[1]['output']})"
    assert outcome.out.startswith(f"2 jobs: 1 done, 1 failed\n  {where}\n      ")
    assert "damaged" in outcome.out
    assert outcome.err.splitlines()[-1].startswith("cleanplate: 1 of 2 jobs failed, as listed;")
    assert [path.name for path in (folder / "out").iterdir()] == ["a.mp4"]
    assert (folder / "jobs.jsonl.journal").read_text().count("\n") == 1


def test_missing_folders_are_created(run, folder):
    outputs = folder / "new" / "deep" / "{stem}" / "r.mp4"
    outcome = run("batch", folder / "in" / "*.mp4", "-o", outputs, *OPTIONS, "--workers", 1)
    assert (outcome.code, outcome.out) == (0, "2 jobs: 2 done\n")
    made = folder / "new" / "deep"
    assert sorted(path.name for path in made.iterdir()) == ["a", "b", "cleanplate-batch.journal"]
    assert (made / "a" / "r.mp4").is_file()


@pytest.mark.parametrize("place", ["in", "in/clean"])
def test_the_same_glob_takes_no_results_as_inputs(run, folder, place):
    (folder / "in" / "b.mp4").unlink()
    outputs = folder / place / "{stem}-clean.mp4"
    batch = ("batch", folder / "in" / "**" / "*", "-o", outputs, *OPTIONS)
    assert run(*batch).out == "1 job: 1 done\n"
    outcome = run(*batch)
    assert (outcome.code, outcome.out) == (0, "1 job: 1 done earlier\n")
    assert "left out, as this batch wrote it: " in outcome.err
    outcome = run("batch", folder / place / "*-clean.mp4", "-o", outputs, *OPTIONS)
    assert outcome.code == 2
    assert "every input is a result of this batch" in outcome.err


def test_paths_over_a_link_lead_where_the_system_leads(run, folder, monkeypatch):
    """`link/..` is `far`, not the folder of the link."""
    (folder / "far/inside").mkdir(parents=True)
    (folder / "in/a.mp4").rename(folder / "far/a.mp4")
    (folder / "link").symlink_to("far/inside")
    monkeypatch.chdir(folder)
    job = {"input": "link/../a.mp4", "output": "link/../b.mp4", "box": "10,10,20,16"}
    (folder / "far/jobs.jsonl").write_text(json.dumps({**job, "method": "flow"}))
    outcome = run("batch", "link/../jobs.jsonl", "--ledger", "link/../j")
    assert (outcome.code, outcome.out) == (0, "1 job: 1 done\n")
    assert {path.name for path in (folder / "far").iterdir()} == {
        "a.mp4", "b.mp4", "inside", "j", "jobs.jsonl"
    }  # fmt: skip
    assert not (folder / "j").exists()


def test_footage_at_an_outputs_place_is_never_replaced(run, make_clip, folder):
    footage = make_clip("in/a-clean.mp4", frames=2)
    before = footage.read_bytes()
    outputs = folder / "in" / "{stem}-clean.mp4"
    batch = ("batch", folder / "in" / "*.mp4", "-o", outputs, *OPTIONS, "--overwrite")
    outcome = run(*batch)
    assert outcome.code == 2
    assert "this batch did not make it; move it away" in outcome.err
    assert footage.read_bytes() == before
    assert sorted(path.name for path in (folder / "in").iterdir()) == [
        "a-clean.mp4", "a.mp4", "b.mp4"
    ]  # fmt: skip


def test_nothing_is_left_when_nothing_was_started(run, folder):
    before = sorted(folder.rglob("*"))
    outcome = run(
        "batch", folder / "in" / "*.mp4", "-o", folder / "new" / "{stem}.webm", *OPTIONS,
        "--max-memory", "1MB",
    )  # fmt: skip
    assert outcome.code == 2
    assert outcome.err.count("too little for 64x48") == 2
    assert "2 problems, so nothing was started" in outcome.err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("dilate", -5, "--dilate must be a whole number of pixels from 0 to 1000, not -5"),
        ("crf", 99, "--crf must be"),
        ("max_memory", "1MB", "too little for 64x48"),
        ("max_memory", "lots", "lots"),
        ("model", "absent.pth", "absent.pth"),
        ("model", "in/b.mp4", "b.mp4"),
        ("mask_threshold", 255, "mask_threshold is 255; it must be 0 to 254"),
        ("box", "0,0,64,48", "covers every pixel"),
    ],
)
def test_options_are_checked_before_anything_starts(run, folder, monkeypatch, field, value, says):
    monkeypatch.chdir(folder)
    good = {"input": "in/a.mp4", "output": "out/a.mp4", "box": "1,1,9,9", "method": "flow"}
    bad = {**good, "output": "out/b.mp4", "method": "auto", field: value}
    Path("jobs.jsonl").write_text("\n".join(map(json.dumps, (good, bad))))
    outcome = run("batch", "jobs.jsonl")
    assert outcome.code == 2
    line = outcome.err.splitlines()[0]
    assert line.startswith("jobs.jsonl, line 2")
    assert says in line
    assert list((folder / "out").iterdir()) == []


def test_a_missing_device_is_found_at_the_start(run, folder, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    outputs = folder / "out" / "{stem}.mp4"
    outcome = run("batch", folder / "in" / "a.mp4", "-o", outputs, *OPTIONS, "--device", "cuda")
    assert outcome.code == 2
    assert "device 'cuda' is not available here" in outcome.err
    assert list((folder / "out").iterdir()) == []


def test_no_output_is_what_a_job_reads(run, images, folder):
    masks = images(folder="masks", size=(64, 48), names=("1.png",))
    before = {path: path.read_bytes() for path in masks.iterdir()}
    (folder / "link").symlink_to(masks)
    options = ("--mask", masks, "--method", "flow", "--overwrite")
    for output in (masks, folder / "link", folder / "in" / ".." / "masks"):
        outcome = run("batch", folder / "in" / "a.mp4", "-o", output, *options)
        assert outcome.code == 2
        assert "would replace" in outcome.err
    assert {path: path.read_bytes() for path in masks.iterdir()} == before


@pytest.mark.parametrize("journal", ["jobs.jsonl", "link", "in/../jobs.jsonl", "in/a.mp4"])
def test_the_journal_is_nothing_that_is_read(run, folder, monkeypatch, journal):
    monkeypatch.chdir(folder)
    job = {"output": "out/a.mp4", "input": "in/a.mp4", "box": "1,1,9,9"}
    Path("jobs.jsonl").write_text(json.dumps(job))
    Path("link").symlink_to("jobs.jsonl")
    before = [Path(name).read_bytes() for name in ("jobs.jsonl", "in/a.mp4")]
    outcome = run("batch", "jobs.jsonl", "--ledger", journal)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert [Path(name).read_bytes() for name in ("jobs.jsonl", "in/a.mp4")] == before


def test_everything_that_is_wrong_is_listed_before_anything_runs(run, folder):
    (folder / "in" / "a.mp4").write_text("no video")
    (folder / "out" / "b.mp4").write_text("precious")
    outcome = run("batch", folder / "in" / "*.mp4", "-o", folder / "out" / "{stem}.mp4", *OPTIONS)
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["1", "2"]
    assert lines[2] == "cleanplate: 2 problems, so nothing was started; see the list above"
    assert (folder / "out" / "b.mp4").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["absent.jsonl"], "jobs 'absent.jsonl' cannot be read"),
        (["absent/*.mp4", "-o", "{stem}.mkv"], "matches nothing"),
        (["a.jsonl", "-o", "x.mp4"], "--output is for a GLOB"),
        (["a.jsonl", "--workers", "2", "--ray", "auto"], "give --workers or --ray, not both"),
        (["a.jsonl", "--gpus", "1"], "--gpus needs --ray"),
        (["a.jsonl", "--lossless", "--crf", "3"], "give --crf or --lossless, not both"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line(run, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    outcome = run("batch", *arguments)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert says in outcome.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_all_workers_and_leaves_nothing(make_clip, tmp_path, number, code):
    (tmp_path / "out").mkdir()
    source = make_clip("a.mp4", frames=200)
    arguments = ["batch", source, "-o", tmp_path / "out" / "{stem}.mp4", *OPTIONS]
    # A group of its own, so that SIGINT reaches the workers as it does from a terminal.
    process = subprocess.Popen(
        [sys.executable, "-m", "cleanplate", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    begun = (tmp_path / "out").glob
    until(lambda: list(begun(".cleanplate-batch-*/.*.cleanplate")), lambda: process.poll() is None)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert error.startswith("cleanplate: ")
    assert error.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []
    until(lambda: not living(process.pid))


def living(group: int) -> list[int]:
    """Processes of a group that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = entry.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended meanwhile
        if int(its_group) == group and state != "Z":
            found.append(int(entry.parent.name))
    return found


def test_the_journal_stays_where_it_is_when_inputs_are_added(run, make_clip, folder):
    (folder / "in" / "one").mkdir()
    make_clip("in/one/c.mp4", frames=2)
    outputs = "{folder}/clean/{stem}.mp4"
    batch = ("batch", folder / "in" / "*" / "*.mp4", "-o", outputs, *OPTIONS)
    assert run(*batch).out == "1 job: 1 done\n"
    assert (folder / "in" / "cleanplate-batch.journal").is_file()
    (folder / "in" / "two").mkdir()
    make_clip("in/two/d.mp4", frames=2)
    assert run(*batch).out == "2 jobs: 1 done, 1 done earlier\n"


def test_names_that_are_no_utf8_are_taken(run, make_clip, folder):
    odd = os.fsencode(folder / "in" / "a.mp4").replace(b"a.mp4", b"\xff.mp4")
    os.rename(folder / "in" / "a.mp4", odd)
    (folder / "in" / "b.mp4").unlink()
    batch = ("batch", folder / "in" / "*.mp4", "-o", folder / "new" / "{stem}.mp4", *OPTIONS)
    assert run(*batch).out == "1 job: 1 done\n"
    assert run(*batch, "--part-frames", 3).out == "1 job: 1 done earlier\n"
    assert os.path.exists(os.fsencode(folder / "new") + b"/\xff.mp4")
