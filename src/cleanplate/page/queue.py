"""The job queue of the page, and the worker process that runs a job."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cleanplate.errors import CleanplateError, explain_exit

Listener = Callable[[str, int, int | None], None]

_LESS_MEMORY = "try again with a smaller or shorter video"
_GRACE = 10.0
"""Seconds within which a process whose pipes are closed ends by itself."""


class WorkerLost(CleanplateError):
    """The process ended before it answered."""


class WorkerProcess:
    """One worker process, started when needed and again after it was ended.

    `imports` are loaded ahead. Batches have another kind (`batch.workers`), whose processes end
    gently and clean up behind themselves. Here a visitor's cancel must take effect at once: the
    process is killed and the queue removes the job's folder. Requests and answers are lines of
    JSON, so that nothing is unpickled from a process that reads a stranger's video.
    """

    def __init__(self, imports: tuple[str, ...] = ()) -> None:
        self._imports = imports
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._failure = "it was not started"

    def start(self) -> None:
        """Start the process, unless it runs; the first request then waits for nothing.

        What the system refuses is raised by `ask`.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._release()
            # -P: nothing is imported from the folder in which the server was started.
            command = [sys.executable, "-P", "-m", "cleanplate.page.worker", *self._imports]
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                )
            except OSError as error:
                self._failure = error.strerror or str(error)

    def ask(self, request: dict[str, Any], listen: Listener) -> dict[str, Any]:
        """Have `request` done by the started worker; `listen` hears each report of progress.

        Raises CleanplateError in the worker's words, WorkerLost when it ended or was ended.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerLost(f"no worker could be started: {self._failure}; try again")
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                message = json.loads(line)
                if "result" in message:
                    return dict(message["result"])
                if "error" in message:
                    raise CleanplateError(message["error"])
                listen(message["stage"], message["done"], message["total"])
        except (OSError, ValueError):  # its pipes were closed in the middle
            pass
        raise WorkerLost(explain_exit(_await_end(process), memory=_LESS_MEMORY))

    def end(self) -> None:
        """End the process at once, whatever it does."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def close(self) -> None:
        """End the process and give back its pipes."""
        self.end()
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):  # what was not yet written has no reader any more
                    if pipe is not None:
                        pipe.close()
        self._process = None


def _await_end(process: subprocess.Popen[str]) -> int | None:
    """How the process ended; None when it goes on without its pipes, which ends it now."""
    try:
        return process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


Kind = Literal["prepare", "track", "remove"]
Status = Literal["waiting", "running", "done", "failed", "cancelled"]


class QueueFull(CleanplateError):
    """Too much waits already."""


@dataclass(eq=False)
class QueuedJob:
    """One piece of work for one clip.

    Attributes:
        kind: what is to be done.
        request: what the worker is told; its paths lie in `folder`.
        folder: where the job puts what it makes; removed unless it succeeds.
        finish: takes the worker's result when the job succeeded.
        rename: turns the worker's words of failure into those for the page.
    """

    kind: Kind
    request: dict[str, Any]
    folder: Path
    finish: Callable[[dict[str, Any]], None]
    rename: Callable[[str], str] = str
    status: Status = "waiting"
    stage: str = ""
    done: int = 0
    total: int | None = None
    message: str = ""
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("done", "failed", "cancelled")

    def listen(self, stage: str, done: int, total: int | None) -> None:
        """Note how far the worker is."""
        self.heard = time.monotonic()
        if stage != self.stage:
            self.began = self.heard
        self.stage, self.done, self.total = stage, done, total

    def to_json(self, ahead: int) -> dict[str, Any]:
        """For the page; `ahead` is the number of jobs before this one."""
        return {
            "kind": self.kind,
            "status": self.status,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "seconds": round(time.monotonic() - self.began, 1),
            "ahead": ahead,
            "message": self.message,
        }


class Queue:
    """Jobs in the order of their coming, done by `workers` processes beside each other."""

    def __init__(self, workers: int, limit: int, imports: tuple[str, ...] = ()) -> None:
        self._limit = limit
        self._waiting: deque[QueuedJob] = deque()
        self._running: dict[QueuedJob, WorkerProcess] = {}
        self._changed = threading.Condition()
        self._closed = self._is_warm = False
        self._processes = [WorkerProcess(imports) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(process,), name="cleanplate-job", daemon=True)
            for process in self._processes
        ]
        for thread in self._threads:
            thread.start()

    def warm(self) -> None:
        """Start the processes now, so that the first job does not wait for them."""
        if not self._is_warm and not self._closed:
            self._is_warm = True
            for process in self._processes:
                process.start()

    def submit(self, job: QueuedJob) -> None:
        """Put `job` at the end; raises QueueFull."""
        with self._changed:
            if len(self._waiting) >= self._limit:
                raise QueueFull(
                    f"{self._limit} jobs wait already, which is the limit; try again later"
                )
            self._waiting.append(job)
            self._changed.notify()

    def cancel(self, job: QueuedJob) -> None:
        """Stop `job`, wherever it is; returns when nothing of it runs or is left."""
        with self._changed:
            if job.is_over:
                return
            job.status = "cancelled"
            if job in self._waiting:
                self._waiting.remove(job)
                shutil.rmtree(job.folder, ignore_errors=True)
                return
            process = self._running.get(job)
            if process is not None:
                process.end()
            self._changed.wait_for(lambda: job not in self._running, timeout=30)

    def ahead(self, job: QueuedJob) -> int:
        """How many jobs come before a waiting `job`, those that run included; else 0."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + len(self._running)

    def stop_stalled(self, patience: float) -> None:
        """Stop jobs whose worker has said nothing for `patience` seconds."""
        with self._changed:
            for job, process in self._running.items():
                if time.monotonic() - job.heard > patience:
                    job.message = f"nothing went on for {patience:g} seconds, so it was stopped"
                    process.end()

    def close(self) -> None:
        """Stop everything; no process is left."""
        with self._changed:
            self._closed = True
            for job in (*self._waiting, *self._running):
                job.status = "cancelled"
            self._waiting.clear()
            for process in self._processes:
                process.end()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, process: WorkerProcess) -> None:
        """Do one job after the other."""
        while not self._closed:
            if self._is_warm:
                process.start()
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    break
                job = self._waiting.popleft()
                self._running[job] = process
                job.status, job.heard = "running", time.monotonic()
                process.start()  # it may have died while it had nothing to do
            self._run(job, process)
            with self._changed:
                del self._running[job]
                self._changed.notify_all()
        process.close()

    def _run(self, job: QueuedJob, process: WorkerProcess) -> None:
        """Let `process` do `job`; what fails or is cancelled leaves nothing behind."""
        over: Status = "failed"
        try:
            result = process.ask(job.request, job.listen)
            if job.status == "running":
                job.finish(result)  # from here on it is too late to cancel
                over = "done"
        except CleanplateError as error:
            if job.status == "running":  # else it was ended on purpose
                job.message = job.message or job.rename(str(error))
        if over == "failed":
            shutil.rmtree(job.folder, ignore_errors=True)
        with self._changed:
            if job.status == "running" or over == "done":
                job.status = over
