from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cleanplate.batch import Ledger, Outcome, jobs
from cleanplate.batch.jobs import fingerprint
from cleanplate.errors import InputError, OutputError


@pytest.fixture
def job(make_job):
    made = make_job()
    Path(made.output).write_bytes(b"result")
    return made


@pytest.fixture
def noted(tmp_path, job):
    """A ledger that knows `job` as done."""
    path = tmp_path / "journal"
    with Ledger(path) as book:
        assert not book.is_done(job)
        book.add(job, fingerprint(job), Outcome(0, "done", report={"frames": 8}))
        assert book.is_done(job)
    return path


def touch(path: str) -> None:
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_a_finished_job_is_known_again(noted, job):
    with Ledger(noted) as book:
        assert book.is_done(job)
        assert book.is_done(job.overwriting())


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"method": "flow", "dilate": 5}},
        {"box": ("1,1,9,9",)},
        {"mask_threshold": 3},
        {"output": "/elsewhere.mp4"},
    ],
)
def test_another_request_is_not_done(noted, job, change):
    with Ledger(noted) as book:
        assert not book.is_done(replace(job, **change))


def test_other_weights_are_another_job_only_where_they_are_asked(job, monkeypatch):
    asked, silent = replace(job, options={**job.options, "method": "network"}), job
    before = fingerprint(asked), fingerprint(silent)
    monkeypatch.setattr(jobs, "_identify_model", lambda name: "other")
    assert fingerprint(asked) != before[0]
    assert fingerprint(silent) == before[1]


def test_a_batch_that_asks_no_network_loads_no_torch(make_job, tmp_path):
    job = make_job()
    code = f"""if True:
        import sys
        from pathlib import Path
        from cleanplate.batch import Job, Ledger, plan_batch
        from cleanplate.batch.tasks import Removal
        job = Job.from_fields({{"input": {job.input!r}, "output": {job.output!r},
                               "box": "10,10,20,16", "method": "flow"}})
        with Ledger(Path({str(tmp_path / "notes")!r})) as book:
            assert plan_batch([job], book).problems == ()
        Removal(job, {str(tmp_path / "absent")!r}).perform(lambda done, total: None, 1)
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
    assert Path(job.output).is_file()


def test_a_changed_input_is_not_done(noted, job):
    touch(job.input)
    with Ledger(noted) as book:
        assert not book.is_done(job)
        assert book.made(job)


@pytest.mark.parametrize("change", [os.unlink, touch])
def test_a_changed_output_is_not_done_and_not_ours(noted, job, change):
    change(job.output)
    with Ledger(noted) as book:
        assert not book.is_done(job)
        assert not book.made(job)


def test_a_changed_image_in_a_folder_of_masks_counts(job, images):
    folder = images()
    masked = replace(job, mask=(str(folder),))
    before = fingerprint(masked)
    assert fingerprint(masked) == before
    touch(str(folder / "2.png"))
    assert fingerprint(masked) != before


def test_other_code_is_not_done(noted, job, monkeypatch):
    monkeypatch.setattr(jobs, "describe_code", lambda: "0.0.0+0")
    with Ledger(noted) as book:
        assert not book.is_done(job)


def test_a_torn_line_is_passed_over_and_not_glued_to(noted, job):
    text = noted.read_text()
    noted.write_text(text + text[: len(text) // 2])
    with Ledger(noted) as book:
        assert book.is_done(job)
        other = replace(job, box=("1,1,2,2",))
        book.add(other, fingerprint(other), Outcome(0, "done"))
    with Ledger(noted) as book:
        assert book.is_done(other)


def test_two_batches_do_not_share_a_ledger(noted):
    with Ledger(noted), pytest.raises(InputError, match="another batch is using"), Ledger(noted):
        pass
    with Ledger(noted):  # free again
        pass


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputError, match="`ledger`"), Ledger(tmp_path / "absent" / "journal"):
        pass


LINE = b'{"output": "/a.mp4", "fingerprint": "f", "result": null}\n'


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x00\x00\x20ftypisom" + bytes(range(256)) * 999,
        b"\xff\xfe" * 999,
        b'{"input": "a.mp4", "output": "b.mp4", "box": "1,2,3,4"}\n',
        b'{"output": "b.mp4", "input": "a.mp4", "box": "1,2,3,4"}\n',
        b"[" * 99_999,
        b'{"outline": ',
        b"[]\n" + LINE,
        b"\n\n{}\n",
    ],
)
def test_what_is_no_ledger_is_refused_and_unchanged(tmp_path, content):
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no ledger of a batch"), Ledger(path):
        pass
    assert path.read_bytes() == content


@pytest.mark.parametrize("end", [b"", b'{"output": "/b.mp4", "finge', b"\xff\xfe", b"[" * 99_999])
@pytest.mark.parametrize("begin", [b'{"outp', b'{"output": "/c.mp4', b"{"])
def test_lines_that_a_crash_left_are_passed_over(tmp_path, begin, end):
    path = tmp_path / "journal"
    for content in (LINE + end, begin, begin + b"\n" + LINE + end, b"\n" + LINE):
        path.write_bytes(content)
        with Ledger(path):
            pass
        assert path.read_bytes() == content + (b"" if content.endswith(b"\n") else b"\n")


def test_a_name_with_a_line_separator_is_known_again(tmp_path, make_job):
    job = make_job(name="a\u2028\x85b")
    Path(job.output).write_bytes(b"result")
    path = tmp_path / "journal"
    with Ledger(path) as book:
        book.add(job, fingerprint(job), Outcome(0, "done", report={"input": "a\u2028b"}))
    assert path.read_bytes().isascii()
    with Ledger(path) as book:
        assert book.is_done(job)
