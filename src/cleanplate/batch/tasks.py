"""Tasks of a worker, an attempt at one, and the staging folder that it writes to."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from cleanplate import __version__, removal
from cleanplate.batch.jobs import Job, fingerprint, take_stamp
from cleanplate.errors import (
    CleanplateError,
    EncodeError,
    InputError,
    OutputError,
    StaleError,
    tame,
)
from cleanplate.options import RemoveOptions
from cleanplate.storage.atomic import make_folder, remove_own
from cleanplate.storage.paths import hide, parse_json, read_text
from cleanplate.video.destination import Destination

_RECEIPT = "result.json"
"""In a staging folder: describes the result that was moved into place. The batch's journal may lack
it, when the batch was killed in between."""


def name_hidden(job: Job, kind: Literal["batch", "parts"]) -> str:
    """Return the beginning of the names of an output's hidden folders of one kind."""
    return f".cleanplate-{kind}-{hashlib.sha256(os.fsencode(job.output)).hexdigest()[:12]}-"


def list_hidden(parent: Path, kind: Literal["batch", "parts"]) -> list[Path]:
    """List the hidden folders of one kind in `parent`, of all outputs; empty if unreadable."""
    try:
        return [path for path in parent.iterdir() if path.name.startswith(f".cleanplate-{kind}-")]
    except OSError:
        return []


@dataclass(frozen=True)
class StagedResult:
    """A result in place: the `fingerprint` of its job, and the report as JSON values."""

    fingerprint: str
    report: dict[str, Any]


class Staging:
    """A hidden folder next to the output for one attempt; `commit` moves the result into place.

    The folder is removed at the end of the block, except after `commit`: then it keeps a receipt,
    by which `find_result` recognises the result. `sweep` removes it.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._output = Path(job.output)
        name = name_hidden(job, "batch") + secrets.token_hex(4)
        self._folder = self._output.parent / name
        self.path = self._folder / self._output.name
        self._fingerprint = fingerprint(job)  # before the work, in case an input changes
        self._is_committed = False

    def __enter__(self) -> Staging:
        try:
            self._folder.mkdir()
        except OSError as error:
            raise OutputError(
                f"'{self._output.parent}' cannot be written to: {error.strerror}"
            ) from None
        return self

    def commit(self, report: dict[str, Any]) -> None:
        """Move the finished result into place; raises OutputError or EncodeError."""
        receipt = {
            "fingerprint": self._fingerprint,
            "result": take_stamp(str(self.path)),
            "report": report,
        }
        try:
            (self._folder / _RECEIPT).write_text(json.dumps(receipt), encoding="utf-8")
        except OSError as error:
            raise EncodeError(f"'{self._folder}' cannot be written to: {error.strerror}") from None
        overwrite = bool(self._job.options.get("overwrite"))
        target = Destination(self._output, Path(self._job.input), overwrite=overwrite)
        target.claim()
        os.replace(self.path, target.partial)
        target.commit()
        self._is_committed = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_committed:
            shutil.rmtree(self._folder, ignore_errors=True)


def find_result(job: Job) -> StagedResult | None:
    """Find the result that an attempt moved to the output of `job`, if unchanged since."""
    for folder in list_hidden(Path(job.output).parent, "batch"):
        if not folder.name.startswith(name_hidden(job, "batch")):
            continue
        with suppress(OSError, ValueError, KeyError, TypeError):
            receipt = parse_json(read_text(folder / _RECEIPT))
            is_there = receipt["result"] is not None
            if is_there and receipt["result"] == take_stamp(job.output):
                return StagedResult(str(receipt["fingerprint"]), dict(receipt["report"]))
    return None


def sweep(jobs: Iterable[Job]) -> None:
    """Remove the staging folders of `jobs`; call it while no attempt runs."""
    outputs = {name_hidden(job, "batch"): Path(job.output) for job in jobs}
    for parent in {output.parent for output in outputs.values()}:
        for folder in list_hidden(parent, "batch"):
            output = outputs.get(folder.name.rpartition("-")[0] + "-")
            if output is not None:
                ours = {output.name, hide(output).name, _RECEIPT}
                remove_own(folder, ours.__contains__)


Progress = Callable[[int, int | None], None]


class Task(Protocol):
    """Work for a job; it is pickled for other processes and machines."""

    @property
    def job(self) -> Job:
        """The job that the task belongs to."""

    def perform(self, progress: Progress, threads: int) -> dict[str, Any] | None:
        """Run in this process; return the report as JSON values for a whole removal, else None.

        `progress` is called with the frames done and their total, or None. Raises as
        `removal.remove`.
        """

    def sweep(self) -> None:
        """Remove what a killed attempt left behind and the next one cannot use."""


@dataclass(frozen=True)
class Removal:
    """A whole job. Spans in `parts`, the folder of its parts, are loaded instead of filled.

    Missing or unusable parts cost time and do not change the result.
    """

    job: Job
    parts: str

    def perform(self, progress: Progress, threads: int) -> dict[str, Any]:
        """See Task; an attempt that was killed after `commit` is not repeated."""
        found = find_result(self.job)
        if found is not None and found.fingerprint == fingerprint(self.job):
            return found.report
        try:
            return self._remove(self._find_parts(), progress, threads)
        except StaleError:
            return self._remove([], progress, threads)

    def sweep(self) -> None:
        """See Task."""
        if find_result(self.job) is None:
            sweep([self.job])

    def _find_parts(self) -> list[Path]:
        """List the folders of parts, complete or not; empty if another user owns them."""
        folder = Path(self.parts)
        try:
            if folder.exists():
                make_folder(folder)
            return sorted(path for path in folder.iterdir() if path.is_dir())
        except OSError:
            return []

    def _remove(self, parts: list[Path], progress: Progress, threads: int) -> dict[str, Any]:
        found, notes = self.job.find_masks()
        with closing(found) as masks, Staging(self.job) as staging:
            report = removal.remove(
                self.job.input,
                staging.path,
                masks=masks,
                journal=False,
                parts=parts,
                threads=threads,
                progress=progress,
                **self.job.options,
            )
            notes = [*report.notes, *notes]
            made = replace(report, output=self.job.output, notes=notes).to_json()
            staging.commit(made)
        return made


@dataclass(frozen=True)
class VideoPart:
    """A task that fills the segments whose first frame is in `frames`, and writes no video.

    Attributes:
        job: the job that the part belongs to.
        folder: holds all parts of the job.
        frames: frame numbers; the last part also has frames beyond the container's count.
        is_last: whether this is the last part.
    """

    job: Job
    folder: str
    frames: range
    is_last: bool

    @property
    def path(self) -> Path:
        """Folder of the finished part."""
        return Path(self.folder) / f"{self.frames.start:09d}-{self.frames.stop:09d}"

    def perform(self, progress: Progress, threads: int) -> None:
        """See Task; continues an interrupted attempt."""
        if self.path.exists():
            return
        # Work under another name, so that `path` exists only for a finished part.
        begun = self.path.with_suffix(".begun")
        try:
            make_folder(begun.parent)
        except OSError as error:
            raise OutputError(
                f"'{begun.parent.parent}' cannot be written to: {error.strerror}"
            ) from None
        try:
            self._fill(begun, progress, threads)
        except StaleError:
            # The spans of an earlier attempt belong to another job, such as changed masks.
            shutil.rmtree(begun, ignore_errors=True)
            self._fill(begun, progress, threads)
        begun.mkdir(exist_ok=True)  # no segment begins in this part
        os.replace(begun, self.path)

    def sweep(self) -> None:
        """See Task; nothing to remove, because the next attempt continues from the spans."""

    def _fill(self, folder: Path, progress: Progress, threads: int) -> None:
        options: dict[str, Any] = {**self.job.options}
        options.pop("overwrite", None)  # a part replaces no output
        # A container's frame count may be too low: the last part takes whatever follows.
        share = range(self.frames.start, sys.maxsize if self.is_last else self.frames.stop)
        settings = RemoveOptions(**options, threads=threads)
        with closing(self.job.open_masks()) as masks:
            removal.fill_part(
                self.job.input, folder, share, settings, masks=masks, progress=progress
            )


@dataclass(frozen=True)
class Ticket:
    """A task that waits for a worker: its number, and the number of its next attempt."""

    number: int
    task: Task
    attempts: int = 1

    def again(self) -> Ticket:
        """Return the ticket for the next attempt."""
        return replace(self, attempts=self.attempts + 1)


_BETWEEN_REPORTS = 0.5
"""Least seconds between two progress reports."""


@dataclass(frozen=True)
class Progressed:
    """Progress: task `number` has finished `frames` frames."""

    number: int
    frames: int


@dataclass(frozen=True)
class Outcome:
    """The end of a task, or of a job.

    Attributes:
        number: of the ticket; from `run_batch`, index in the list of jobs.
        state: "done", "kept" (done earlier) or "failed".
        attempts: number of attempts; repeated parts count for their job.
        report: the removal's report as JSON values, if it ran now.
        error: why it failed.
        again: a retry may succeed, because the failure was not caused by the job itself.
        parts: number of parts that the job was split into.
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
    """A pool of workers: processes on this machine, or tasks of a cluster."""

    @property
    def threads(self) -> int:
        """Threads per worker."""

    def run(self, waiting: deque[Ticket]) -> Events:
        """Run all waiting tasks; yield progress, and one Outcome per task as it ends.

        The caller may add to `waiting` after each Outcome. Closing the generator stops all work
        and removes unfinished results; spans of unfinished parts are kept.
        """


def attempt(
    number: int,
    task: Task,
    tell: Callable[[Progressed], None],
    version: str = __version__,
    *,
    threads: int = 1,
) -> Outcome:
    """Run a task in this process with `threads` threads; return every failure as an Outcome.

    `tell` receives progress reports. `version` is the caller's version of cleanplate.
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
    except Exception as error:  # such as out of memory, a missing network drive, a bug
        return Outcome(
            number, "failed", error=_line(f"{type(error).__name__}: {error}"), again=True
        )


def _line(message: str) -> str:
    return tame(" ".join(message.split()))
