"""One attempt at one job, wherever it runs, and what comes of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from cleanplate import __version__, pipeline
from cleanplate.cluster.jobs import Job
from cleanplate.cluster.staging import Staging
from cleanplate.errors import CleanplateError, InputError

_BETWEEN_REPORTS = 0.5
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Progressed:
    """Job number `number` has finished `frames` frames so far."""

    number: int
    frames: int


@dataclass(frozen=True)
class Outcome:
    """What became of job number `number`.

    Attributes:
        number: place in the list of jobs.
        state: "done", "kept" (done earlier) or "failed".
        attempts: how often it was started.
        report: the removal's report as JSON values, when it was done now.
        error: why it failed.
        again: a new attempt may succeed: what went wrong was not the job's own doing.
    """

    number: int
    state: Literal["done", "kept", "failed"]
    attempts: int = 1
    report: dict[str, Any] | None = None
    error: str | None = None
    again: bool = False


Events = Generator[Progressed | Outcome, None, None]


class Workers(Protocol):
    """Those who do jobs: processes of this machine, or tasks of a cluster."""

    def run(self, jobs: Sequence[Job]) -> Events:
        """Do all jobs; one Outcome for each, in the order in which they end.

        Closing the generator ends all work and removes what is unfinished.
        """


def attempt(
    number: int,
    job: Job,
    tell: Callable[[Progressed], None],
    version: str = __version__,
    *,
    threads: int = 1,
) -> Outcome:
    """Do a job in this process with `threads` threads; whatever goes wrong becomes the Outcome.

    `tell` hears of progress now and then. `version` is that of the program which gives the jobs.
    """
    last = time.monotonic()

    def progress(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _BETWEEN_REPORTS or done == total:
            last = time.monotonic()
            tell(Progressed(number, done))

    try:
        if version != __version__:
            raise InputError(
                f"the worker has cleanplate {__version__}, the batch {version}; install the same"
            )
        return Outcome(number, "done", report=_remove(job, progress, threads))
    except CleanplateError as error:
        return Outcome(number, "failed", error=_line(str(error)))
    except Exception as error:  # out of memory, a network drive that is away, a bug
        return Outcome(
            number, "failed", error=_line(f"{type(error).__name__}: {error}"), again=True
        )


def limit_threads(threads: int) -> None:
    """Let this process compute with so many threads: those of a worker must not fight."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # for libraries that are loaded later, torch among them
    import cv2

    cv2.setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _remove(job: Job, progress: Callable[[int, int | None], None], threads: int) -> dict[str, Any]:
    """Do the job; its report."""
    with closing(job.open_masks()) as masks, Staging(job) as staging:
        report = pipeline.remove(
            job.input,
            staging.path,
            mask=masks,
            journal=False,
            threads=threads,
            progress=progress,
            **job.options,
        )
        staging.commit()
    return replace(report, output=job.output).to_json()


def _line(message: str) -> str:
    return " ".join(message.split())
