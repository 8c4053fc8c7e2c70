"""What a worker is given to do: a whole removal, or a part of one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cleanplate import pipeline
from cleanplate.cluster.fingerprints import fingerprint
from cleanplate.cluster.jobs import Job
from cleanplate.cluster.staging import Staging, find_result, sweep
from cleanplate.errors import StaleError
from cleanplate.video.lock import make_folder

Progress = Callable[[int, int | None], None]


class Task(Protocol):
    """Something to do for a job; it travels to other processes and machines."""

    @property
    def job(self) -> Job:
        """Whom it is for."""

    def perform(self, progress: Progress, threads: int) -> dict[str, Any] | None:
        """Do it in this process; the report as JSON values, when it is a whole removal.

        `progress` is called with the frames done and their number, if that is known. Raises what
        `pipeline.remove` does.
        """

    def sweep(self) -> None:
        """Remove what a killed attempt left that the next one has no use for."""


@dataclass(frozen=True)
class Removal:
    """A whole job. What `parts`, the folder of its parts, holds is not filled again: an assembly.

    Parts that are missing or of no use cost time, and change nothing.
    """

    job: Job
    parts: str

    def perform(self, progress: Progress, threads: int) -> dict[str, Any]:
        """See Task; an attempt that was killed after its last step is not repeated."""
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
        """Folders of parts, whole or not; none where somebody else put them there."""
        folder = Path(self.parts)
        try:
            if folder.exists():
                make_folder(folder)
            return sorted(path for path in folder.iterdir() if path.is_dir())
        except OSError:
            return []

    def _remove(self, parts: list[Path], progress: Progress, threads: int) -> dict[str, Any]:
        with closing(self.job.open_masks()) as masks, Staging(self.job) as staging:
            report = pipeline.remove(
                self.job.input,
                staging.path,
                mask=masks,
                journal=False,
                parts=parts,
                threads=threads,
                progress=progress,
                **self.job.options,
            )
            made = replace(report, output=self.job.output).to_json()
            staging.commit(made)
        return made


@dataclass(frozen=True)
class Ticket:
    """A task that waits for a worker: its number, and which attempt at it the next one is."""

    number: int
    task: Task
    attempts: int = 1

    def again(self) -> Ticket:
        """The same task for another attempt."""
        return replace(self, attempts=self.attempts + 1)
