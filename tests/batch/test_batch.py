from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.patience import until

from cleanplate import removal
from cleanplate.batch import Job, Ledger, LocalWorkers, Outcome, plan_batch, run_batch
from cleanplate.batch.tasks import Staging, attempt, sweep
from cleanplate.errors import InputError

from .conftest import SMALL, child_processes, kill_at_work, queue, shown, shown_alone, whole

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[Outcome]]:
    """Plan and run jobs on worker processes with one journal."""

    def go(jobs: list[Job], count: int = 2, retries: int = 2, **hooks: object) -> list[Outcome]:
        with Ledger(tmp_path / "journal") as journal:
            plan = plan_batch(jobs, journal)
            assert plan.problems == ()
            return run_batch(
                plan, LocalWorkers(count, threads=1, retries=retries), journal, **hooks
            )

    return go


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob(".cleanplate*"))


def test_results_equal_single_runs_and_only_changed_jobs_are_done_again(run, make_job, tmp_path):
    jobs = [make_job(name, dilate=number) for number, name in enumerate("abc")]
    seen: list[tuple[int, int]] = []
    outcomes = run(jobs, progress=lambda done, total: seen.append((done, total)))
    assert [outcome.state for outcome in outcomes] == ["done"] * 3
    assert [outcome.report["output"] for outcome in outcomes] == [job.output for job in jobs]
    for job in jobs:
        assert shown(job.output) == shown_alone(job, tmp_path / "alone.mp4")
    assert seen[-1] == (24, 24)
    assert seen == sorted(seen)
    stamps = [os.stat(job.output).st_mtime_ns for job in jobs]
    before = shown(jobs[0].output)
    jobs[0] = replace(jobs[0], box=("30,20,20,20",))
    assert [outcome.state for outcome in run(jobs, count=1)] == ["done", "kept", "kept"]
    assert [os.stat(job.output).st_mtime_ns for job in jobs[1:]] == stamps[1:]
    assert shown(jobs[0].output) != before
    assert left_over(tmp_path / "out") == []


def test_a_killed_worker_loses_nothing(run, make_job, tmp_path):
    jobs = [make_job(name, frames=20) for name in "abcd"]  # of equal clips
    before = child_processes()
    killer = kill_at_work(tmp_path / "out", lambda: child_processes() - before)
    outcomes = run(jobs)
    killer.join()
    assert [outcome.state for outcome in outcomes] == ["done"] * 4
    assert sorted(outcome.attempts for outcome in outcomes) == [1, 1, 1, 2]
    alone = shown_alone(jobs[0], tmp_path / "alone.mp4")
    for job in jobs:
        assert shown(job.output) == alone
    assert left_over(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGKILL, "(signal 9, SIGKILL), most likely because memory ran out"),
        (signal.SIGSEGV, "crashed (signal 11, SIGSEGV). This is a bug; please report it"),
    ],
)
def test_a_job_that_kills_its_workers_is_given_up(run, make_job, tmp_path, number, says):
    jobs = [make_job("a", frames=60)]
    before = child_processes()
    killer = kill_at_work(tmp_path / "out", lambda: child_processes() - before, number)
    outcomes = run(jobs, count=1, retries=0)
    killer.join()
    assert outcomes[0].state == "failed"
    assert says in outcomes[0].error
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failing_job_stops_no_other(run, make_job, tmp_path):
    clip = {"options": {"g": "20", "crf": "1"}, "movflags": "faststart"}
    jobs = [make_job("a", frames=60, clip=clip), make_job("b")]
    path = Path(jobs[0].input)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    outcomes = run(jobs, count=1)
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    assert outcomes[0].attempts == 1
    assert "damaged" in outcomes[0].error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.mp4"]


def test_an_unexpected_error_is_tried_again(make_job, monkeypatch):
    def remove(*arguments: object, **options: object) -> None:
        raise MemoryError("no\nroom")

    monkeypatch.setattr(removal, "remove", remove)
    outcome = attempt(3, whole(make_job()), lambda news: None)
    assert outcome == Outcome(3, "failed", error="MemoryError: no room", again=True)


def test_a_worker_keeps_to_its_threads(make_job, monkeypatch):
    asked = {}

    def note(*paths, threads, **options):
        asked["threads"] = threads
        raise InputError("that is all")

    monkeypatch.setattr(removal, "remove", note)
    attempt(0, whole(make_job()), lambda news: None, threads=1)
    assert asked == {"threads": 1}


def test_another_version_does_no_work(make_job, tmp_path):
    outcome = attempt(0, whole(make_job()), lambda news: None, version="0.0.0")
    assert outcome.state == "failed"
    assert not outcome.again
    assert "install the same" in outcome.error
    assert list((tmp_path / "out").iterdir()) == []


def test_leaving_early_ends_the_workers_and_cleans_up(make_job, tmp_path):
    jobs = [make_job(name, frames=200, **SMALL) for name in "ab"]
    before = child_processes()
    with closing(LocalWorkers(2, threads=1).run(queue(jobs))) as events:
        while not left_over(tmp_path / "out"):
            next(events)
    assert child_processes() - before <= _trackers()
    assert list((tmp_path / "out").iterdir()) == []


def _trackers() -> set[int]:
    """multiprocessing's own helper, which lives as long as we do."""
    from multiprocessing import resource_tracker

    return {resource_tracker._resource_tracker._pid}  # type: ignore[attr-defined]


def test_everything_that_is_wrong_is_listed(make_job, images, tmp_path):
    good, absent, text = make_job("a"), make_job("b"), make_job("c")
    Path(absent.input).unlink()
    Path(text.input).write_text("no video")
    wide = make_job("d", mask=str(images(size=(20, 16)) / "1.png"))
    there = make_job("e")
    Path(there.output).write_text("precious")
    with Ledger(tmp_path / "journal") as journal:
        plan = plan_batch([good, absent, text, wide, there], journal)
    assert [problem.where[:5] for problem in plan.problems] == ["job 2", "job 3", "job 4", "job 5"]
    for problem, says in zip(
        plan.problems, ("does not exist", "video", "mask", "`overwrite=True`"), strict=True
    ):
        assert says in problem.what
    assert Path(there.output).read_text() == "precious"


def test_outputs_that_clash_are_refused(make_job, tmp_path):
    first = make_job("a")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    same = replace(make_job("b"), output=str(tmp_path / "link" / "a.mp4"))
    other = make_job("c")
    reads = replace(make_job("d"), input=other.output)
    with Ledger(tmp_path / "journal") as journal:
        plan = plan_batch([first, same, other, reads], journal)
    assert [problem.where[:5] for problem in plan.problems] == ["job 2", "job 4"]
    assert "job 1 (" in plan.problems[0].what
    assert "has this output, too" in plan.problems[0].what
    assert "the output of job 3" in plan.problems[1].what


def test_sound_that_no_output_holds_is_found_before_the_start(make_clip, make_job, tmp_path):
    source = make_clip("old.avi", codec="mpeg4", audio=["deu"], audio_codec="adpcm_ms")
    silent = make_job("silent", audio=False)
    jobs = [replace(job, input=str(source)) for job in (make_job("heard"), silent)]
    with Ledger(tmp_path / "journal") as journal:
        (problem,) = plan_batch(jobs, journal).problems
    assert problem.where.startswith("job 1 ")
    assert "adpcm_ms" in problem.what
    assert left_over(tmp_path / "out") == list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_attempt_left_is_swept_and_nothing_else(make_job, tmp_path):
    one, other = make_job("a"), make_job("b")
    stagings = [Staging(job) for job in (one, one, other)]
    for staging in stagings:
        staging.__enter__()
    sweep([one])
    assert len(left_over(tmp_path / "out")) == 1
    stagings[2].__exit__(None, None, None)
    assert left_over(tmp_path / "out") == []


def test_a_result_that_a_killed_batch_did_not_write_down_is_kept(run, make_job, tmp_path) -> None:
    job = make_job("a")
    report = whole(job).perform(lambda done, total: None, 1)
    stamp = os.stat(job.output)
    assert whole(job).perform(lambda done, total: None, 1) == report  # a second attempt
    whole(job).sweep()
    assert [outcome.state for outcome in run([job])] == ["kept"]
    assert os.stat(job.output).st_mtime_ns == stamp.st_mtime_ns
    assert left_over(tmp_path / "out") == []
    assert [outcome.state for outcome in run([job])] == ["kept"]


def test_a_result_of_other_options_is_replaced(run, make_job, tmp_path) -> None:
    job = make_job("a")
    whole(job).perform(lambda done, total: None, 1)
    changed = replace(job, box=("30,20,20,20",))
    assert [outcome.state for outcome in run([changed])] == ["done"]
    assert left_over(tmp_path / "out") == []


def test_an_output_that_was_changed_after_a_kill_is_refused(make_job, tmp_path) -> None:
    job = make_job("a")
    whole(job).perform(lambda done, total: None, 1)
    Path(job.output).write_bytes(b"mine")
    with Ledger(tmp_path / "journal") as journal:
        (problem,) = plan_batch([job], journal).problems
    assert "exists" in problem.what


def test_what_others_put_into_a_hidden_folder_is_not_swept(make_job, tmp_path) -> None:
    job = make_job("a")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").write_text("mine")
    first, second, third = (Staging(job) for _ in range(3))
    for staging in (first, second):
        staging.__enter__()
    (first.path.parent / "precious").write_text("mine")
    (second.path.parent / second.path.name).symlink_to(mine)
    third.path.parent.symlink_to(mine)
    sweep([job])
    assert len(left_over(tmp_path / "out")) == 3
    assert (mine / "precious").read_text() == "mine"


def test_workers_follow_a_killed_parent(make_job, tmp_path):
    """Even a parent that had no time to say goodbye leaves no worker behind."""
    jobs = tmp_path / "jobs.jsonl"
    job = make_job("a", frames=300)
    jobs.write_text(
        json.dumps({"input": job.input, "output": job.output, "box": job.box[0], "method": "flow"})
    )
    parent = subprocess.Popen(
        [sys.executable, "-m", "cleanplate", "batch", str(jobs), "--workers", "1"],
        stderr=subprocess.DEVNULL,
    )
    until(lambda: left_over(tmp_path / "out"), lambda: parent.poll() is None)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not left_over(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []
