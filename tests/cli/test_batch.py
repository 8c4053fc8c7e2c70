"""`cleanplate batch` as a person meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cleanplate import pipeline
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


def test_a_glob_is_done_and_then_kept(run, folder):
    batch = ("batch", folder / "in" / "*.mp4", "-o", folder / "out" / "{stem}.mp4", *OPTIONS)
    outcome = run(*batch, "--workers", 2)
    assert (outcome.code, outcome.out) == (0, "2 jobs: 2 done\n")
    assert sorted(line.split()[0] for line in outcome.err.splitlines()) == ["[1/2]", "[2/2]"]
    alone = folder / "alone.mp4"
    pipeline.remove(folder / "in" / "a.mp4", alone, box="10,10,20,16", method="flow", lossless=True)
    assert pixels(folder / "out" / "a.mp4") == pixels(alone)
    outcome = run(*batch, "--json")
    assert outcome.code == 0
    assert outcome.err == ""
    assert [job["state"] for job in json.loads(outcome.out)] == ["kept", "kept"]
    (folder / "out" / "b.mp4").unlink()
    assert run(*batch).out == "2 jobs: 1 done, 1 done earlier\n"


def test_a_long_video_is_filled_in_parts(run, folder):
    batch = ("batch", folder / "in" / "a.mp4", "-o", folder / "out" / "{stem}.mp4", *OPTIONS)
    outcome = run(*batch, "--split", 5, "--workers", 2, "--json")
    assert outcome.code == 0
    assert "filled in 2 parts before" in outcome.err
    assert json.loads(outcome.out)[0]["parts"] == 2
    alone = folder / "alone.mp4"
    pipeline.remove(folder / "in" / "a.mp4", alone, box="10,10,20,16", method="flow", lossless=True)
    assert pixels(folder / "out" / "a.mp4") == pixels(alone)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "a.mp4", "cleanplate-batch.journal"
    ]  # fmt: skip


def test_a_failure_is_told_in_a_table(run, folder):
    jobs = folder / "jobs.jsonl"
    wide = {"input": str(folder / "in" / "b.mp4"), "output": str(folder / "out" / "b.mp4")}
    good = {"input": str(folder / "in" / "a.mp4"), "output": str(folder / "out" / "a.mp4")}
    jobs.write_text(
        "\n".join(json.dumps(job) for job in (good, {**wide, "box": "0,0,64,48", "dilate": 0}))
    )
    outcome = run("batch", jobs, *OPTIONS, "--workers", 1)
    assert outcome.code == 1
    assert outcome.out.startswith("2 jobs: 1 done, 1 failed\n  job 2  ")
    assert "covers every pixel" in outcome.out
    assert outcome.err.splitlines()[-1].startswith("cleanplate: 1 of 2 jobs failed; mend them")
    assert [path.name for path in (folder / "out").iterdir()] == ["a.mp4"]
    assert (folder / "jobs.jsonl.journal").read_text().count("\n") == 1


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
        (["*.mp4"], "--output is missing, such as -o 'clean/{stem}.mp4'"),
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
    source = make_clip("a.mp4", frames=400)
    arguments = ["batch", source, "-o", tmp_path / "out" / "{stem}.mp4", *OPTIONS]
    # A group of its own, so that SIGINT reaches the workers as it does from a terminal.
    process = subprocess.Popen(
        [sys.executable, "-m", "cleanplate", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".cleanplate-batch-*/.*.cleanplate")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.startswith("cleanplate: ")
    assert error.count("\n") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cleanplate-batch.journal"]
    while living(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
