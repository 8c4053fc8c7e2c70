"""Long videos in parts: how a job is divided, and where its parts are kept until it is complete.

The folder of a job's parts lies hidden beside its output and is named by all that the result
depends on, so parts of an earlier batch are found again, and never taken for those of another job.
A finished part is a folder in it, one that is being worked on a folder NAME.begun.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cleanplate import pipeline
from cleanplate.cluster.jobs import Job
from cleanplate.cluster.tasks import Progress
from cleanplate.errors import OutputError, StaleError
from cleanplate.video.lock import make_folder, remove_own

_PREFIX = ".cleanplate-parts-"


@dataclass(frozen=True)
class Part:
    """The segments of a job's video whose first frame is in `frames`; filled, but not written.

    Attributes:
        job: of which it is a part.
        folder: of all its parts.
        frames: numbers of the frames; the last part has those that nobody knew of, too.
        is_last: whether it is that.
    """

    job: Job
    folder: str
    frames: range
    is_last: bool

    @property
    def path(self) -> Path:
        """Where it lies when it is finished."""
        return Path(self.folder) / f"{self.frames.start:09d}-{self.frames.stop:09d}"

    def perform(self, progress: Progress, threads: int) -> None:
        """See Task; goes on where an earlier attempt was cut off."""
        if self.path.exists():
            return
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
            shutil.rmtree(begun, ignore_errors=True)
            self._fill(begun, progress, threads)
        begun.mkdir(exist_ok=True)  # it has no segment of its own
        os.replace(begun, self.path)

    def sweep(self) -> None:
        """See Task; the next attempt goes on from what there is."""

    def _fill(self, folder: Path, progress: Progress, threads: int) -> None:
        options: dict[str, Any] = {**self.job.options}
        options.pop("overwrite", None)
        share = range(self.frames.start, sys.maxsize if self.is_last else self.frames.stop)
        settings = pipeline.Settings(**options, threads=threads)
        with closing(self.job.open_masks()) as masks:
            pipeline.fill_part(
                self.job.input, folder, share, settings, mask=masks, progress=progress
            )


def divide(job: Job, folder: Path, frames: int, split: int | None) -> list[Part]:
    """The parts of a job of so many frames, as long as each other; none when it stays whole.

    `split` is the most frames of a part.
    """
    if split is None or frames <= split:
        return []
    count = -(-frames // split)
    at = [number * frames // count for number in range(count + 1)]
    return [
        Part(job, str(folder), range(start, stop), stop == frames) for start, stop in pairwise(at)
    ]


def place_parts(job: Job, key: str) -> Path:
    """The folder of a job's parts; `key` tells what they are made with."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return Path(job.output).parent / f"{_prefix(job)}{digest}"


def sweep_parts(jobs: Iterable[Job], keep: Iterable[Path]) -> None:
    """Remove all folders of parts of these jobs but those to `keep`, if there is something in them.

    Call it when nobody works on them.
    """
    kept = set(keep)
    prefixes = {_prefix(job): Path(job.output).parent for job in jobs}
    for parent in set(prefixes.values()):
        for path in _list(parent):
            if prefixes.get(path.name[: len(_PREFIX) + 13]) != parent:
                continue
            if path not in kept:
                remove_parts(path)
            with suppress(OSError):
                path.rmdir()


def remove_parts(folder: Path) -> None:
    """Remove a folder of parts, unless something else is in it."""
    remove_own(folder, re.compile(r"\d{9,}-\d{9,}(\.begun)?").fullmatch)


def _list(folder: Path) -> list[Path]:
    """Folders of parts in `folder`."""
    try:
        return [path for path in folder.iterdir() if path.name.startswith(_PREFIX)]
    except OSError:
        return []


def _prefix(job: Job) -> str:
    """Begins the name of every folder of this output's parts, and of no other's."""
    return f"{_PREFIX}{hashlib.sha256(os.fsencode(job.output)).hexdigest()[:12]}-"
