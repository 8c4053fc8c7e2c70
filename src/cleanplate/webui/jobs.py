"""Work that waits its turn: a queue that workers empty, from which jobs can be taken out."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cleanplate.errors import CleanplateError
from cleanplate.webui.process import WorkerProcess

Kind = Literal["prepare", "track", "remove"]
Status = Literal["waiting", "running", "done", "failed", "cancelled"]


class QueueFull(CleanplateError):
    """Too much waits already."""


@dataclass(eq=False)
class Job:
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
        self._waiting: deque[Job] = deque()
        self._running: dict[Job, WorkerProcess] = {}
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

    def submit(self, job: Job) -> None:
        """Put `job` at the end; raises QueueFull."""
        with self._changed:
            if len(self._waiting) >= self._limit:
                raise QueueFull(
                    f"{self._limit} jobs wait already, which is the limit; try again later"
                )
            self._waiting.append(job)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
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

    def ahead(self, job: Job) -> int:
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

    def _run(self, job: Job, process: WorkerProcess) -> None:
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
