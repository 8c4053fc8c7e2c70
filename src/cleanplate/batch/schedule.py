"""Plan and run a batch: skip finished jobs, order tasks, split long videos."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

from cleanplate import removal
from cleanplate.batch.jobs import Job, Problem, fingerprint, name_job
from cleanplate.batch.ledger import Ledger, find_problems
from cleanplate.batch.tasks import (
    Outcome,
    Progress,
    Progressed,
    Removal,
    Task,
    Ticket,
    Workers,
    sweep,
)
from cleanplate.errors import CleanplateError, OutputError, StaleError, WeightsError
from cleanplate.options import RemoveOptions
from cleanplate.removal import check_removal
from cleanplate.removal.networks import asks_network
from cleanplate.removal.report import describe_environment
from cleanplate.storage.atomic import make_folder, remove_own
from cleanplate.video.destination import Destination
from cleanplate.video.encoding import choose_encoding, describe_result
from cleanplate.video.images import PICTURES
from cleanplate.video.tracks import check_tracks
from cleanplate.video.writer import check_picture

_PREFIX = ".cleanplate-parts-"


@dataclass(frozen=True)
class VideoPart:
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
        settings = RemoveOptions(**options, threads=threads)
        with closing(self.job.open_masks()) as masks:
            removal.fill_part(
                self.job.input, folder, share, settings, masks=masks, progress=progress
            )


def divide(job: Job, folder: Path, frames: int, split: int | None) -> list[VideoPart]:
    """Divide a job of `frames` frames into parts of equal length; none if it stays whole.

    `split` is the maximum length of a part.
    """
    if split is None or frames <= split:
        return []
    count = -(-frames // split)
    at = [number * frames // count for number in range(count + 1)]
    return [
        VideoPart(job, str(folder), range(start, stop), stop == frames)
        for start, stop in pairwise(at)
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


_log = logging.getLogger(__name__)


@dataclass
class _Work:
    """Tasks of job `number`.

    Attributes:
        number: of the job.
        removal: of the whole.
        frames: of the whole, as far as known.
        parts: all of its parts.
        open: how many of them have not ended.
        repeats: attempts at parts, beyond the first.
    """

    number: int
    removal: Removal
    frames: int
    parts: list[VideoPart]
    open: int = 0
    repeats: int = 0


@dataclass
class Schedule:
    """Parts of long videos begin first; what puts a video together follows its last part.

    Videos that are split count twice in `done` and `total`: as they are filled, and as they are
    put together.

    Attributes:
        waiting: what workers may begin, in this order; `end` adds to it.
        done: frames done so far.
        total: frames to do.
    """

    waiting: deque[Ticket] = field(default_factory=deque)
    total: int = 0
    _works: list[_Work] = field(default_factory=list)  # by number of ticket
    _sizes: list[int] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    @classmethod
    def plan(
        cls,
        jobs: Mapping[int, Job],
        frames: Mapping[int, int],
        folders: Mapping[int, Path],
        split: int | None,
    ) -> Schedule:
        """Schedule `jobs`, whose lengths are `frames` and whose parts are kept in `folders`.

        `split` is the maximum length of a part; None: no video is split. Parts that are finished
        already are not in it.
        """
        schedule = cls()
        whole = []
        for number, job in jobs.items():
            removal = Removal(job, str(folders[number]))
            parts = divide(job, folders[number], frames[number], split)
            work = _Work(number, removal, frames[number], parts)
            # The last part reads the most, so it begins first.
            left = [part for part in reversed(parts) if not part.path.exists()]
            work.open = len(left)
            for part in left:
                schedule._add(part, work, len(part.frames))
            schedule.total += work.frames + sum(len(part.frames) for part in left)
            if not left:
                whole.append(work)
        for work in whole:
            schedule._add(work.removal, work, work.frames)
        return schedule

    @property
    def done(self) -> int:
        """Frames done so far."""
        return sum(self._counts)

    def note(self, news: Progressed) -> None:
        """Record the progress of a task."""
        self._counts[news.number] = min(news.frames, self._sizes[news.number])

    def end(self, outcome: Outcome) -> Outcome | None:
        """Record the end of a task; return the Outcome of its job if that has ended.

        A part that failed is filled by the removal, or shows it what is wrong. Frames that were
        not done are no longer to do.
        """
        work = self._works[outcome.number]
        if outcome.state == "failed":
            self.total -= self._sizes[outcome.number] - self._counts[outcome.number]
            self._sizes[outcome.number] = self._counts[outcome.number]
        self._counts[outcome.number] = self._sizes[outcome.number]
        if not work.open:
            attempts = outcome.attempts + work.repeats
            count = max(1, len(work.parts))
            return replace(outcome, number=work.number, attempts=attempts, parts=count)
        if outcome.state == "failed":
            name = work.removal.job.output
            _log.warning("a part of '%s' is filled later: %s", name, outcome.error)
        work.repeats += outcome.attempts - 1
        work.open -= 1
        if not work.open:
            self._add(work.removal, work, work.frames)
            self.waiting.rotate(1)  # its parts take room until it is done
        return None

    def _add(self, task: Task, work: _Work, size: int) -> None:
        self.waiting.append(Ticket(len(self._works), task))
        self._works.append(work)
        self._sizes.append(size)
        self._counts.append(0)


_CHECKED_AT_ONCE = 8


@dataclass(frozen=True)
class BatchPlan:
    """The jobs of a batch, sorted out.

    Attributes:
        jobs: all of them.
        kept: numbers of those that are done already.
        frames: for each job its number of frames as its container has it, 0 for those kept.
        problems: why jobs cannot be run; with any, nothing should be started.
    """

    jobs: tuple[Job, ...]
    kept: frozenset[int]
    frames: tuple[int, ...]
    problems: tuple[Problem, ...]


def plan_batch(
    jobs: Sequence[Job], journal: Ledger, *, lists: Sequence[Path] = (), elsewhere: bool = False
) -> BatchPlan:
    """Find finished jobs and check all others without decoding.

    `lists` are files that name the jobs. With `elsewhere` other machines do the work: whether a
    device is there is not asked of this one.
    """
    problems = find_problems(jobs, lists, journal.path)
    if problems:
        return BatchPlan(tuple(jobs), frozenset(), (0,) * len(jobs), tuple(problems))
    for job in jobs:
        journal.recover(job)
    # Outputs of an earlier run of this batch may be overwritten.
    ready = tuple(job.overwriting() if journal.made(job) else job for job in jobs)
    check = partial(_check, ready, networks=_Networks(), elsewhere=elsewhere)
    with ThreadPoolExecutor(_CHECKED_AT_ONCE) as pool:
        done = list(pool.map(journal.is_done, jobs))
        kept = frozenset(number for number, is_done in enumerate(done) if is_done)
        found = list(pool.map(lambda n: 0 if n in kept else check(n), range(len(ready))))
    problems = [one for one in found if isinstance(one, Problem)]
    frames = tuple(0 if isinstance(one, Problem) else one for one in found)
    return BatchPlan(ready, kept, frames, tuple(problems))


def run_batch(
    plan: BatchPlan,
    workers: Workers,
    journal: Ledger,
    *,
    split: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run the remaining jobs of `plan`; return one Outcome per job, in order.

    A job that fails stops no other. Videos of more than `split` frames are filled in parts of at
    most as many, by several workers. `progress` is called with the frames done and to do, see
    `Schedule`, `tell` with each job's Outcome as it comes.
    """
    outcomes = {number: Outcome(number, "kept", attempts=0) for number in plan.kept}
    left = {number: job for number, job in enumerate(plan.jobs) if number not in plan.kept}
    prints = {number: fingerprint(job) for number, job in left.items()}
    made_with = f"{workers.threads} {describe_environment()}"
    folders = {
        number: place_parts(job, f"{prints[number]} {made_with}") for number, job in left.items()
    }
    sweep(plan.jobs)
    sweep_parts(plan.jobs, keep=folders.values())
    schedule = Schedule.plan(left, dict(enumerate(plan.frames)), folders, split)
    if progress is not None:
        progress(0, schedule.total)
    try:
        with closing(workers.run(schedule.waiting)) as events:
            for event in events:
                if isinstance(event, Progressed):
                    schedule.note(event)
                elif (outcome := schedule.end(event)) is not None:
                    number = outcome.number
                    outcomes[number] = outcome
                    if outcome.state == "done":
                        journal.add(plan.jobs[number], prints[number], outcome)
                        sweep([plan.jobs[number]])
                        remove_parts(folders[number])
                    if tell is not None:
                        tell(outcome)
                if progress is not None:
                    progress(schedule.done, schedule.total)
    finally:
        sweep_parts(left.values(), keep=folders.values())
    return [outcomes[number] for number in range(len(plan.jobs))]


def _check(
    jobs: Sequence[Job], number: int, networks: _Networks, *, elsewhere: bool
) -> Problem | int:
    """The number of frames of a job's input, or what is wrong with the job."""
    job = jobs[number]
    try:
        settings = job.settings()
        if elsewhere:
            settings = replace(settings, device="auto")
        with closing(job.open_masks()) as masks:
            info = check_removal(job.input, masks, settings)
        networks.check(settings)
        check_picture(Path(job.output), info, lossless=settings.lossless)
        Destination(Path(job.output), Path(job.input), overwrite=bool(job.options.get("overwrite")))
        suffix = Path(job.output).suffix.lower()
        if suffix and suffix not in PICTURES:
            result = describe_result(info, lossless=settings.lossless)
            choose_encoding(result, suffix, crf=settings.crf, lossless=settings.lossless)
            check_tracks(info, suffix, audio=settings.audio)
    except CleanplateError as error:
        return Problem(name_job(jobs, number), " ".join(str(error).split()))
    return info.frame_count


class _Networks:
    """Loads each network that jobs ask for once, to find a file that is none."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: dict[str, str | None] = {}

    def check(self, settings: RemoveOptions) -> None:
        """Raise WeightsError when the network of a removal cannot be loaded."""
        model = str(settings.model)
        if not asks_network(model, settings.method):
            return
        with self._lock:
            if model not in self._seen:
                self._seen[model] = self._load(model)
        reason = self._seen[model]
        if reason is not None:
            raise WeightsError(reason)

    def _load(self, model: str) -> str | None:
        from cleanplate import network as networks

        try:
            networks.load(model, device="cpu")
        except CleanplateError as error:
            return str(error)
        return None
