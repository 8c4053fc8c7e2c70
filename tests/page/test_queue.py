"""The queue: order, cancelling, and what is left when work fails."""

import signal
import sys
import threading

import pytest
from tests.patience import PATIENCE, until

from cleanplate.errors import CleanplateError
from cleanplate.page import queue as module
from cleanplate.page.queue import Queue, QueuedJob, QueueFull, WorkerLost, WorkerProcess


class FakeProcess:
    """Answers when its gate is opened; ends when it is told to."""

    def __init__(self, imports=()):
        self.gate, self.ended = threading.Event(), threading.Event()
        self.asked = threading.Event()

    def start(self):
        self.ended.clear()

    def ask(self, request, listen):
        self.asked.set()
        listen("working", 1, 2)
        while not self.gate.wait(0.005):
            if self.ended.is_set():
                raise WorkerLost("ended")
        if "error" in request:
            raise CleanplateError(request["error"])
        return {"made": request["number"]}

    def end(self):
        self.ended.set()

    close = end


@pytest.fixture
def queue(monkeypatch):
    monkeypatch.setattr(module, "WorkerProcess", FakeProcess)
    queue = Queue(1, 3)
    yield queue
    queue.close()
    assert not any(thread.is_alive() for thread in queue._threads)


@pytest.fixture
def make_job(tmp_path):
    def make(number, **request):
        folder = tmp_path / f"job-{number}"
        folder.mkdir()
        (folder / "half-done").touch()
        done = []
        job = QueuedJob("track", {"number": number, **request}, folder, done.append, str.upper)
        job.results = done
        return job

    return make


def test_jobs_are_done_in_order(queue, make_job):
    (process,) = queue._processes
    many = [make_job(number) for number in range(3)]
    for job in many:
        queue.submit(job)
    until(lambda: many[0].status == "running")
    assert [queue.ahead(job) for job in many] == [0, 1, 2]
    assert many[2].to_json(2)["ahead"] == 2
    assert (many[0].stage, many[0].done, many[0].total) == ("working", 1, 2)
    process.gate.set()
    until(lambda: all(job.is_over for job in many))
    assert [job.results for job in many] == [[{"made": 0}], [{"made": 1}], [{"made": 2}]]
    assert all(job.folder.exists() for job in many)


def test_the_queue_has_an_end(queue, make_job):
    (process,) = queue._processes
    queue.submit(make_job(0))
    assert process.asked.wait(PATIENCE)
    for number in range(1, 4):
        queue.submit(make_job(number))
    with pytest.raises(QueueFull, match=r"full \(3 jobs\)"):
        queue.submit(make_job(4))


def test_cancelled_jobs_leave_nothing(queue, make_job):
    (process,) = queue._processes
    running, waiting, last = (make_job(number) for number in range(3))
    for job in (running, waiting, last):
        queue.submit(job)
    assert process.asked.wait(PATIENCE)
    queue.cancel(waiting)
    assert waiting.status == "cancelled"
    assert not waiting.folder.exists()
    assert queue.ahead(last) == 1
    queue.cancel(running)
    assert (running.status, running.message) == ("cancelled", "")
    assert running.results == []
    assert not running.folder.exists()
    process.gate.set()
    until(lambda: last.is_over)
    assert last.status == "done"
    queue.cancel(last)
    assert last.status == "done"


def test_failures_are_told_and_the_next_job_goes_on(queue, make_job):
    (process,) = queue._processes
    process.gate.set()
    bad, good = make_job(0, error="no such thing"), make_job(1)
    queue.submit(bad)
    queue.submit(good)
    until(lambda: good.is_over)
    assert (bad.status, bad.message) == ("failed", "NO SUCH THING")
    assert not bad.folder.exists()
    assert good.status == "done"


def test_a_job_that_stands_still_is_stopped(queue, make_job):
    job = make_job(0)
    queue.submit(job)
    assert queue._processes[0].asked.wait(PATIENCE)
    queue.stop_stalled(PATIENCE)
    assert job.status == "running"

    def is_stopped():
        queue.stop_stalled(0.01)
        return job.is_over

    until(is_stopped)
    assert (job.status, job.message) == (
        "failed",
        "stopped: no progress for 0.01 seconds",
    )


def test_closing_stops_what_runs(monkeypatch, make_job):
    monkeypatch.setattr(module, "WorkerProcess", FakeProcess)
    queue = Queue(1, 3)
    running, waiting = make_job(0), make_job(1)
    queue.submit(running)
    queue.submit(waiting)
    assert queue._processes[0].asked.wait(PATIENCE)
    queue.close()
    assert [running.status, waiting.status] == ["cancelled", "cancelled"]
    assert running.results == []


@pytest.fixture(scope="module")
def worker():
    worker = WorkerProcess()
    worker.start()
    yield worker
    worker.close()


def test_a_worker_reports_and_says_what_is_wrong(worker, tmp_path):
    heard = []
    request = {
        "task": "prepare", "source": str(tmp_path / "absent.mp4"), "previews": "x", "limits": {},
    }  # fmt: skip
    with pytest.raises(CleanplateError, match="does not exist"):
        worker.ask(request, lambda *what: heard.append(what))
    assert heard == [("Reading the video", 0, None)]
    with pytest.raises(CleanplateError, match="unexpected KeyError"):
        worker.ask({"task": "nonsense"}, print)


def test_a_worker_that_cannot_be_started_is_said(monkeypatch):
    worker = WorkerProcess()
    with pytest.raises(WorkerLost, match="no worker could be started: it was not started"):
        worker.ask({"task": "prepare"}, print)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    worker.start()
    with pytest.raises(WorkerLost, match="no worker could be started: No such file"):
        worker.ask({"task": "prepare"}, print)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGKILL, "most likely because memory ran out; try again with a smaller"),
        (signal.SIGSEGV, r"the program crashed \(signal 11, SIGSEGV\)\. This is a bug"),
        (signal.SIGABRT, r"the program crashed \(signal 6, SIGABRT\)\. This is a bug"),
        (signal.SIGTERM, "stopped from outside"),
    ],
)
def test_how_a_worker_died_is_said(number, says):
    worker = WorkerProcess()
    worker.start()
    worker._process.send_signal(number)
    try:
        with pytest.raises(WorkerLost, match=says):
            worker.ask({"task": "prepare"}, print)
    finally:
        worker.close()


def test_a_worker_that_is_ended_says_so_and_starts_again(worker, tmp_path):
    process = worker._process
    worker.end()
    assert process.poll() is not None
    with pytest.raises(WorkerLost, match="most likely because memory ran out"):
        worker.ask({"task": "prepare"}, print)
    worker.start()
    assert worker._process is not process
    with pytest.raises(CleanplateError, match="unexpected KeyError"):
        worker.ask({"task": "prepare"}, print)
