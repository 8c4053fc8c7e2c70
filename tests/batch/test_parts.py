"""Long videos that several workers fill in parts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.patience import until

from cleanplate.batch import Job, Ledger, LocalWorkers, Outcome, plan_batch, run_batch
from cleanplate.batch.jobs import fingerprint
from cleanplate.batch.schedule import Schedule, divide, place_parts, sweep_parts
from cleanplate.batch.tasks import Progressed, Removal, VideoPart
from cleanplate.errors import OutputError
from cleanplate.removal import Engine
from cleanplate.removal.identity import describe_environment
from cleanplate.removal.journal import find_whole_segments

from .conftest import SMALL, child_processes, is_running, shown, shown_alone

FRAMES = 72


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[list[Outcome], list[tuple[int, int]]]]:
    """Plan and run jobs on worker processes; the outcomes, and what was told of progress."""

    def go(jobs: list[Job], count: int = 2, **options: Any) -> Any:
        told: list[tuple[int, int]] = []
        with Ledger(tmp_path / "journal") as journal:
            plan = plan_batch(jobs, journal)
            assert plan.problems == ()
            outcomes = run_batch(
                plan,
                LocalWorkers(count, threads=1),
                journal,
                progress=lambda done, total: told.append((done, total)),
                **options,
            )
        return outcomes, told

    return go


@pytest.fixture
def cuts(pan, tmp_path: Path) -> Path:
    """Images of two shots: the camera pans, and after 40 frames the colours are turned round."""
    folder = tmp_path / "cuts"
    folder.mkdir()
    for index, frame in enumerate(pan(frames=FRAMES, size=(64, 48))):
        assert cv2.imwrite(str(folder / f"{index:02d}.png"), 255 - frame if index > 40 else frame)
    return folder


def content(path: str) -> dict[str, bytes]:
    files = Path(path).iterdir() if Path(path).is_dir() else [Path(path)]
    return {file.name if Path(path).is_dir() else "": file.read_bytes() for file in files}


def folder_of(job: Job) -> Path:
    """Where a worker of one thread keeps the parts of a job."""
    return place_parts(job, f"{fingerprint(job)} 1 {describe_environment()}")


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def finish_first(job: Job, split: int, frames: int = FRAMES) -> None:
    """Fill the first part of a job in this process."""
    part = divide(job, folder_of(job), frames, split)[0]
    part.perform(lambda done, total: None, 1)
    assert part.path.is_dir()


def test_a_split_video_is_that_of_a_single_run(run, make_job, cuts, tmp_path):
    split = [
        make_job("a", frames=40, lossless=False, **SMALL),
        make_job("b", input=str(cuts), output=str(tmp_path / "out" / "b"), **SMALL),
    ]
    (tmp_path / "single").mkdir()
    single = [
        replace(job, output=str(tmp_path / "single" / Path(job.output).name)) for job in split
    ]
    alone, _ = run(single)
    done, told = run(split, split=30)
    assert [(outcome.state, outcome.parts) for outcome in done] == [("done", 2), ("done", 3)]
    assert told[-1] == (2 * (40 + FRAMES), 2 * (40 + FRAMES))
    assert told == sorted(told)
    for outcome, other, job, twin in zip(done, alone, split, single, strict=True):
        assert content(job.output) == content(twin.output)
        assert _lasting(outcome) == _lasting(other)
        assert "flow" in other.report["stages"]
        assert "flow" not in outcome.report["stages"], "the parts were filled again"
    assert hidden(tmp_path / "out") == []
    assert [outcome.state for outcome in run(split, split=30)[0]] == ["kept"] * 2


def _lasting(outcome: Outcome) -> dict[str, Any]:
    """A report without its times and output."""
    assert outcome.report is not None
    return {
        name: value
        for name, value in outcome.report.items()
        if name not in ("seconds", "stages", "output")
    }


def test_a_worker_killed_in_a_part_loses_nothing(run, make_job, tmp_path):
    from multiprocessing import resource_tracker

    job = make_job(frames=FRAMES, **SMALL)
    twin = replace(job, output=str(tmp_path / "twin.mp4"))  # not a clip coded anew
    run([twin])
    before = child_processes()

    def kill() -> None:
        until(lambda: list((tmp_path / "out").glob(".cleanplate-parts-*/*.begun/*.span")))
        tracker = resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
        for process in child_processes() - before - {tracker}:
            os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes, _ = run([job], count=1, split=40)
    killer.join()
    assert [(outcome.state, outcome.attempts) for outcome in outcomes] == [("done", 2)]
    assert content(job.output) == content(twin.output)
    assert hidden(tmp_path / "out") == []


def test_a_batch_that_was_killed_goes_on_with_its_finished_parts(run, make_job, tmp_path):
    job = make_job(frames=FRAMES, **SMALL)
    jobs = tmp_path / "jobs.jsonl"
    fields = {"input": job.input, "output": job.output, "box": list(job.box), **job.options}
    jobs.write_text(json.dumps(fields))
    command = [sys.executable, "-m", "cleanplate", "batch", str(jobs), "--workers", "1"]
    parent = subprocess.Popen([*command, "--threads", "1", "--part-frames", "24"])
    parts = divide(job, folder_of(job), FRAMES, 24)
    until(lambda: any(part.path.exists() for part in parts), lambda: parent.poll() is None)
    workers = child_processes(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not any(is_running(worker) for worker in workers))  # they end by themselves
    left = sum(len(part.frames) for part in parts if not part.path.exists())
    assert left < FRAMES
    outcomes, told = run([job], split=24)
    assert outcomes[0].state == "done"
    assert told[-1] == (FRAMES + left, FRAMES + left)
    assert hidden(tmp_path / "out") == []


def test_parts_of_another_request_are_not_found_and_swept(make_job, tmp_path):
    mask = tmp_path / "mask.png"
    assert cv2.imwrite(str(mask), np.full((48, 64), 255, np.uint8))
    job, other = make_job("a", mask=str(mask)), make_job("b")
    made = folder_of(job)
    for folder in (made, folder_of(other)):
        (folder / "000000000-000000040").mkdir(parents=True)
    assert folder_of(replace(job, options={**job.options, "dilate": 9})) != made
    assert folder_of(job.overwriting()) == made
    os.utime(mask, ns=(1, 1))
    assert folder_of(job) != made
    sweep_parts([job], keep=[folder_of(job)])
    assert hidden(tmp_path / "out") == [folder_of(other).name]


def test_what_others_put_among_the_parts_is_not_swept(make_job, tmp_path):
    job = make_job()
    folder = folder_of(job)
    (folder / "000000000-000000040").mkdir(parents=True)
    (folder / "precious").write_text("mine")
    sweep_parts([job], keep=[])
    assert (folder / "precious").read_text() == "mine"


def test_a_part_of_other_marks_is_not_believed(make_job, tmp_path):
    """Of the same job as far as its description goes: the digests can tell."""
    job = make_job(frames=36, **SMALL)
    other = replace(job, box=("12,10,20,16",))
    finish_first(other, 20, 36)
    shutil.copytree(folder_of(other), folder_of(job))
    assert list(folder_of(job).glob("*/*.span"))
    Removal(job, str(folder_of(job))).perform(lambda done, total: None, 1)
    assert shown(job.output) == shown_alone(job, tmp_path / "alone.mp4")


def test_a_part_that_was_cut_off_is_of_use(make_job, monkeypatch):
    job = make_job(frames=FRAMES, **SMALL)
    finish_first(job, 40)
    folder = folder_of(job)
    (part,) = folder.iterdir()
    part.rename(part.with_suffix(".begun"))
    heads = find_whole_segments(part.with_suffix(".begun")).values()
    kept = {number for head in heads for number in head.frames}
    filled: set[int] = set()
    before = Engine._fill

    def fill(self: Engine, wanted: range, until: int | None) -> Any:
        filled.update(self._first + at for at in wanted)
        return before(self, wanted, until)

    monkeypatch.setattr(Engine, "_fill", fill)
    Removal(job, str(folder)).perform(lambda done, total: None, 1)
    assert len(kept) >= 32
    assert filled == set(range(FRAMES)) - kept


def test_parts_that_somebody_else_put_there_are_left_alone(make_job, monkeypatch, tmp_path):
    job = make_job(**SMALL)
    folder_of(job).mkdir()
    (folder_of(job) / "part").mkdir()
    task = Removal(job, str(folder_of(job)))
    assert [path.name for path in task._find_parts()] == ["part"]
    user = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: user + 1)
    assert task._find_parts() == []
    with pytest.raises(OutputError, match="another user's"):
        VideoPart(job, task.parts, range(4), is_last=True).perform(lambda done, total: None, 1)


def test_a_damaged_video_fails_as_a_whole(run, make_job, tmp_path):
    clip = {"options": {"g": "20", "crf": "1"}, "movflags": "faststart"}
    job, good = make_job("a", frames=FRAMES, clip=clip, **SMALL), make_job("b")
    data = bytearray(Path(job.input).read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 4000] = bytes(4000)
    Path(job.input).write_bytes(data)
    outcomes, _ = run([job, good], split=40)
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    assert "damaged" in outcomes[0].error
    assert not Path(job.output).exists()


def test_leaving_early_keeps_whole_segments_only(make_job, tmp_path):
    job = make_job(frames=400, **SMALL)
    with Ledger(tmp_path / "journal") as journal:
        plan = plan_batch([job], journal)

        def stop(done: int, total: int) -> None:
            if done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_batch(plan, LocalWorkers(2, threads=1), journal, split=200, progress=stop)
    assert not Path(job.output).exists()
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or path.suffix in (".span", ".json")


def test_videos_are_divided_evenly(make_job):
    job = make_job()
    parts = divide(job, Path("/p"), 100, 40)
    assert [part.frames for part in parts] == [range(33), range(33, 66), range(66, 100)]
    assert [part.is_last for part in parts] == [False, False, True]
    assert divide(job, Path("/p"), 40, 40) == []
    assert divide(job, Path("/p"), 100, None) == []
    assert place_parts(job, "a") != place_parts(job, "b")
    assert place_parts(job, "a").parent == Path(job.output).parent


def test_an_assembly_follows_the_last_of_its_parts(make_job):
    jobs = {3: make_job("a"), 5: make_job("b")}
    folders = {number: place_parts(job, "") for number, job in jobs.items()}
    schedule = Schedule.plan(jobs, {3: 10, 5: 30}, folders, 10)
    parts = [ticket.task for ticket in schedule.waiting if isinstance(ticket.task, VideoPart)]
    assert [part.frames.start for part in parts] == [20, 10, 0]
    assert [type(ticket.task) for ticket in schedule.waiting] == [
        VideoPart,
        VideoPart,
        VideoPart,
        Removal,
    ]
    assert (schedule.done, schedule.total) == (0, 70)
    taken = [schedule.waiting.popleft() for _ in range(3)]
    schedule.note(Progressed(taken[0].number, 4))
    assert schedule.done == 4
    for ticket in taken[:2]:
        assert schedule.end(Outcome(ticket.number, "done", attempts=2)) is None
    assert len(schedule.waiting) == 1
    schedule.note(Progressed(taken[2].number, 3))
    assert schedule.end(Outcome(taken[2].number, "failed", error="its worker died")) is None
    assert (schedule.done, schedule.total) == (23, 63)  # what was not filled is not counted as done
    first = schedule.waiting.popleft()
    assert first.task == Removal(jobs[5], str(folders[5]))
    ended = schedule.end(Outcome(first.number, "done"))
    assert ended == Outcome(5, "done", attempts=3, parts=3)
    assert schedule.end(Outcome(schedule.waiting.popleft().number, "done")) == Outcome(3, "done")
    assert schedule.done == schedule.total
