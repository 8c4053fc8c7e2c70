"""Job queue of the page, and the worker process that runs a job."""

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
"""Timeout in seconds for a process to end by itself after its pipes were closed."""


class WorkerLost(CleanplateError):
    """The worker process ended without a result."""


class WorkerProcess:
    """One worker process, started when needed and again after it was ended.

    `imports` are loaded in advance. Workers of a batch (`batch.workers`) are terminated gently and
    clean up themselves. Here a visitor's cancel must take effect at once: the process is killed,
    and the queue removes the job's folder. Requests and answers are lines of JSON, so that nothing
    is unpickled from a process that reads a stranger's video.
    """

    def __init__(self, imports: tuple[str, ...] = ()) -> None:
        self._imports = imports
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._failure = "it was not started"

    def start(self) -> None:
        """Start the process unless it runs, so that the first request does not wait.

        A failure to start is raised by `ask`.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._release()
            # -P: never import from the server's working directory.
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
        """Run `request` in the worker and return its result; `listen` is called with the progress.

        Raises CleanplateError with the worker's message, WorkerLost if the process ended.
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
        except (OSError, ValueError):  # the pipes closed during the request
            pass
        raise WorkerLost(explain_exit(_await_end(process), memory=_LESS_MEMORY))

    def end(self) -> None:
        """Kill the process."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def close(self) -> None:
        """Kill the process and close its pipes."""
        self.end()
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):  # nobody reads the remaining data
                    if pipe is not None:
                        pipe.close()
        self._process = None


def _await_end(process: subprocess.Popen[str]) -> int | None:
    """Wait for the exit status; kill the process and return None on timeout."""
    try:
        return process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


Kind = Literal["prepare", "track", "remove"]
Status = Literal["waiting", "running", "done", "failed", "cancelled"]


class QueueFull(CleanplateError):
    """The queue is full."""


@dataclass(eq=False)
class QueuedJob:
    """A job for one clip.

    Attributes:
        kind: type of the job.
        request: request to the worker; its output paths are below `folder`.
        folder: output folder of the job; removed unless it succeeds.
        finish: called with the worker's result on success.
        rename: converts the worker's error message into one for the page.
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
    started: float | None = None
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.status in ("done", "failed", "cancelled")

    def listen(self, stage: str, done: int, total: int | None) -> None:
        """Record the progress of the worker."""
        self.heard = time.monotonic()
        if stage != self.stage:
            self.began = self.heard
        self.stage, self.done, self.total = stage, done, total

    def to_json(self, ahead: int) -> dict[str, Any]:
        """Return the state for the page; `ahead` is the number of jobs before this one."""
        return {
            "kind": self.kind,
            "status": self.status,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "seconds": round(time.monotonic() - self.began, 1),
            "elapsed": round(time.monotonic() - self.started, 1) if self.started else 0.0,
            "ahead": ahead,
            "message": self.message,
        }


class Queue:
    """First-in, first-out job queue served by `workers` parallel processes."""

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
        """Start the processes before the first job."""
        if not self._is_warm and not self._closed:
            self._is_warm = True
            for process in self._processes:
                process.start()

    def submit(self, job: QueuedJob) -> None:
        """Append `job`; raises QueueFull."""
        with self._changed:
            if len(self._waiting) >= self._limit:
                raise QueueFull(f"the queue is full ({self._limit} jobs); try again later")
            self._waiting.append(job)
            self._changed.notify()

    def cancel(self, job: QueuedJob) -> None:
        """Cancel a waiting or running `job`; return after its files are removed."""
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
        """Count the jobs before a waiting `job`, including running ones; otherwise 0."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + len(self._running)

    def stop_stalled(self, patience: float) -> None:
        """Stop jobs whose worker reported no progress for `patience` seconds."""
        with self._changed:
            for job, process in self._running.items():
                if time.monotonic() - job.heard > patience:
                    job.message = f"stopped: no progress for {patience:g} seconds"
                    process.end()

    def close(self) -> None:
        """Cancel all jobs and end all processes."""
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
        """Run jobs one after the other until the queue is closed."""
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
                job.started = job.heard
                process.start()  # restart a process that died while idle
            self._run(job, process)
            with self._changed:
                del self._running[job]
                self._changed.notify_all()
        process.close()

    def _run(self, job: QueuedJob, process: WorkerProcess) -> None:
        """Run `job` in `process`; remove its files if it fails or is cancelled."""
        over: Status = "failed"
        try:
            result = process.ask(job.request, job.listen)
            if job.status == "running":
                job.finish(result)  # too late to cancel from here on
                over = "done"
        except CleanplateError as error:
            if job.status == "running":  # otherwise it was cancelled
                job.message = job.message or job.rename(str(error))
        if over == "failed":
            shutil.rmtree(job.folder, ignore_errors=True)
        with self._changed:
            if job.status == "running" or over == "done":
                job.status = over
