"""One attempt at one task, wherever it runs, and what comes of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cleanplate import __version__
from cleanplate.cluster.tasks import Task, Ticket
from cleanplate.errors import CleanplateError, InputError, tame

_BETWEEN_REPORTS = 0.5
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Progressed:
    """Task number `number` has finished `frames` frames so far."""

    number: int
    frames: int


@dataclass(frozen=True)
class Outcome:
    """What became of task number `number`, or of the job of that number.

    Attributes:
        number: of the ticket; from `run_batch`, place in the list of jobs.
        state: "done", "kept" (done earlier) or "failed".
        attempts: how often it was started; a part that was started again counts for its job.
        report: the removal's report as JSON values, when it was done now.
        error: why it failed.
        again: a new attempt may succeed: what went wrong was not the job's own doing.
        parts: how many the job was split into.
    """

    number: int
    state: Literal["done", "kept", "failed"]
    attempts: int = 1
    report: dict[str, Any] | None = None
    error: str | None = None
    again: bool = False
    parts: int = 1


Events = Generator[Progressed | Outcome, None, None]


class Workers(Protocol):
    """Those who do the work: processes of this machine, or tasks of a cluster."""

    @property
    def threads(self) -> int:
        """Of each."""

    def run(self, waiting: deque[Ticket]) -> Events:
        """Do all that is waiting; one Outcome for each, in the order in which they end.

        Whoever takes an Outcome may add to `waiting`. Closing the generator ends all work and
        removes what is unfinished, but for what finished parts can be made of.
        """


def attempt(
    number: int,
    task: Task,
    tell: Callable[[Progressed], None],
    version: str = __version__,
    *,
    threads: int = 1,
) -> Outcome:
    """Do a task in this process with `threads` threads; whatever goes wrong becomes the Outcome.

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
        return Outcome(number, "done", report=task.perform(progress, threads))
    except CleanplateError as error:
        return Outcome(number, "failed", error=_line(str(error)))
    except Exception as error:  # out of memory, a network drive that is away, a bug
        return Outcome(
            number, "failed", error=_line(f"{type(error).__name__}: {error}"), again=True
        )


def _line(message: str) -> str:
    return tame(" ".join(message.split()))
