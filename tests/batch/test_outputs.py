"""Outputs of a batch: folders, and what keeps them apart from what is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cleanplate.batch import Job, Ledger, leave_out_results, make_folders
from cleanplate.batch.ledger import find_problems


@pytest.fixture
def job(tmp_path):
    """`job("a.mp4", "b.mp4", **fields)`: paths in one folder; nothing of it is there."""

    def make(source: str, output: str, **fields: object) -> Job:
        paths = {"input": str(tmp_path / source), "output": str(tmp_path / output)}
        return Job.from_fields({**paths, "box": "1,1,9,9", **fields})

    return make


def test_folders_that_stay_empty_are_removed(tmp_path):
    paths = {str(tmp_path / name / "r.mp4"): "job" for name in ("a/b", "a/c", "")}
    with make_folders(paths) as problems:
        assert problems == []
        (tmp_path / "a" / "c" / "r.mp4").touch()
    assert sorted(tmp_path.rglob("*")) == [
        tmp_path / "a", tmp_path / "a" / "c", tmp_path / "a" / "c" / "r.mp4"
    ]  # fmt: skip


def test_folders_that_cannot_be_made_are_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("absent")
    names = ("file/r.mp4", "file/deep/r.mp4", "dangling/r.mp4", "é" * 300 + "/r.mp4")
    with make_folders({str(tmp_path / name): name for name in names}) as problems:
        assert [problem.where for problem in problems] == list(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def test_no_job_writes_what_another_reads(tmp_path, job):
    (tmp_path / "m.png").touch()
    (tmp_path / "link.mp4").symlink_to("m.png")
    jobs = [
        job("a.mp4", "link.mp4"),
        job("b.mp4", "out.mp4", mask=str(tmp_path / "m.png")),
        job("out.mp4", "c.mp4"),
        job("d.mp4", "sub/../c.mp4"),
    ]
    found = find_problems(jobs, [], tmp_path / "journal")
    assert [problem.where.split(" (")[0] for problem in found] == ["job 4", "job 2", "job 3"]
    assert "the place of the output of job 1" in found[1].what
    assert "the place of the output of job 2" in found[2].what


def test_the_journal_is_no_output_and_no_list(tmp_path, job):
    (tmp_path / "jobs.jsonl").touch()
    same = find_problems([job("a.mp4", "j.mp4")], [], tmp_path / "j.mp4")
    assert "would replace each other" in same[0].what
    lists = [tmp_path / "jobs.jsonl"]
    assert "would replace" in find_problems([job("a.mp4", "b.mp4")], lists, lists[0])[0].what


def test_a_folder_of_outputs_is_no_clip_but_one_of_images_is(tmp_path, job):
    for name in ("clean/a.mp4", "frames/1.png", "a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    jobs = [
        job("a.mp4", "clean/a.mp4"),
        job("clean", "clean/clean.mp4"),
        job("frames", "frames/r.mp4"),
        job("journal", "clean/journal.mp4"),
    ]
    with Ledger(tmp_path / "journal") as journal:
        kept = leave_out_results(jobs, range(4), journal)
        listed = leave_out_results(jobs, [], journal)
    assert [os.path.basename(one.input) for one in kept.jobs] == ["a.mp4", "frames"]
    assert [Path(path).name for path in kept.left_out] == ["clean", "journal"]
    assert listed.jobs == jobs
