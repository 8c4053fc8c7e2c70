"""Plan a batch: find what is left, split long videos, order the tasks and run them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Lock

from cleanplate.batch.jobs import Job, Problem, fingerprint, name_job
from cleanplate.batch.ledger import Ledger, find_problems
from cleanplate.batch.tasks import (
    Outcome,
    Progressed,
    Removal,
    Task,
    Ticket,
    VideoPart,
    Workers,
    list_hidden,
    name_hidden,
    sweep,
)
from cleanplate.errors import CleanplateError, WeightsError
from cleanplate.options import RemoveOptions
from cleanplate.removal import check_removal
from cleanplate.removal.identity import describe_environment
from cleanplate.removal.networks import asks_network, name_model
from cleanplate.storage.atomic import remove_own
from cleanplate.video.writer import check_writer


def divide(job: Job, folder: Path, frames: int, split: int | None) -> list[VideoPart]:
    """Split a job of `frames` frames into equal parts of at most `split` frames.

    Empty when the job is short enough, or `split` is None, or each part would have to look for its
    masks in the whole video.
    """
    if split is None or frames <= split or job.search:
        return []
    # Equal parts: a short last part would leave its worker idle while the others finish.
    count = -(-frames // split)
    at = [number * frames // count for number in range(count + 1)]
    return [
        VideoPart(job, str(folder), range(start, stop), stop == frames)
        for start, stop in pairwise(at)
    ]


def place_parts(job: Job, key: str) -> Path:
    """Name the folder of a job's parts; `key` identifies what they depend on."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return Path(job.output).parent / (name_hidden(job, "parts") + digest)


def sweep_parts(jobs: Iterable[Job], keep: Iterable[Path]) -> None:
    """Remove the folders of parts of these jobs, except those to `keep` that are not empty.

    Call it while no worker uses them.
    """
    kept = set(keep)
    prefixes = {name_hidden(job, "parts"): Path(job.output).parent for job in jobs}
    for parent in set(prefixes.values()):
        for path in list_hidden(parent, "parts"):
            if prefixes.get(path.name.rpartition("-")[0] + "-") != parent:
                continue
            if path not in kept:
                remove_parts(path)
            with suppress(OSError):
                path.rmdir()


def remove_parts(folder: Path) -> None:
    """Remove a folder of parts, unless it holds foreign files."""
    remove_own(folder, re.compile(r"\d{9,}-\d{9,}(\.begun)?").fullmatch)


_log = logging.getLogger(__name__)


@dataclass
class _Work:
    """The tasks of job `number`, and how far they are.

    Attributes:
        number: index of the job.
        removal: task for the whole job.
        frames: frame count by the container, 0 if unknown.
        parts: tasks for all parts; empty if the job is not split.
        open: number of parts that have not ended.
        repeats: retries of parts.
    """

    number: int
    removal: Removal
    frames: int
    parts: list[VideoPart]
    open: int = 0
    repeats: int = 0


@dataclass
class Schedule:
    """The order of tasks: parts of long videos first, each video's assembly after its last part.

    Frames of split videos count twice in `done` and `total`: when filled, and when assembled.

    Attributes:
        waiting: tickets that workers may start, in order; `end` adds to it.
        done: frames done so far.
        total: frames to do.
    """

    waiting: deque[Ticket] = field(default_factory=deque)
    total: int = 0
    _works: list[_Work] = field(default_factory=list)  # by ticket number
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
        """Schedule `jobs` with their `frames` counts, and `folders` for their parts.

        `split` is the largest number of frames per part; None splits no video. Finished parts are
        left out.
        """
        schedule = cls()
        whole = []
        # Videos with open parts first, then those that need no more parts: the assembly of a split
        # video follows its last part, see `end`.
        for number, job in jobs.items():
            removal = Removal(job, str(folders[number]))
            parts = divide(job, folders[number], frames[number], split)
            work = _Work(number, removal, frames[number], parts)
            # A part decodes from frame 0, so the last one takes longest and starts first.
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
        """Update the progress of a task."""
        self._counts[news.number] = min(news.frames, self._sizes[news.number])

    def end(self, outcome: Outcome) -> Outcome | None:
        """Record the end of a task; return the job's Outcome if that ended the job.

        A failed part does not fail its job: the assembly fills those frames itself, or fails with
        the same error. Its remaining frames are subtracted from `total`.
        """
        work = self._works[outcome.number]
        # Count the task as finished, whatever its last report was.
        if outcome.state == "failed":
            self.total -= self._sizes[outcome.number] - self._counts[outcome.number]
            self._sizes[outcome.number] = self._counts[outcome.number]
        self._counts[outcome.number] = self._sizes[outcome.number]
        # Without open parts, the task that ended is the removal of the whole job.
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
            self.waiting.rotate(1)  # next in line, because its parts occupy disk space until then
        return None

    def _add(self, task: Task, work: _Work, size: int) -> None:
        self.waiting.append(Ticket(len(self._works), task))
        self._works.append(work)
        self._sizes.append(size)
        self._counts.append(0)


_CHECKED_AT_ONCE = 8


@dataclass(frozen=True)
class BatchPlan:
    """The checked jobs of a batch.

    Attributes:
        jobs: all jobs.
        kept: indices of the jobs that are already done.
        frames: frame count of each job by its container, 0 for kept jobs.
        problems: why jobs cannot run; if there are any, do not start the batch.
    """

    jobs: tuple[Job, ...]
    kept: frozenset[int]
    frames: tuple[int, ...]
    problems: tuple[Problem, ...]


def plan_batch(
    jobs: Sequence[Job], ledger: Ledger, *, lists: Sequence[Path] = (), elsewhere: bool = False
) -> BatchPlan:
    """Find the jobs that are already done, and check the others without decoding.

    `lists` are the job lists. With `elsewhere` other machines do the work, so devices are not
    checked on this one.
    """
    problems = find_problems(jobs, lists, ledger.path)
    if problems:
        return BatchPlan(tuple(jobs), frozenset(), (0,) * len(jobs), tuple(problems))
    # A batch killed between writing an output and its journal line: note that output now.
    for job in jobs:
        ledger.recover(job)
    # Outputs of an earlier run of this batch may be replaced.
    ready = tuple(job.overwriting() if ledger.made(job) else job for job in jobs)
    check = partial(_check, ready, networks=_Networks(), elsewhere=elsewhere)
    # Opening videos and masks waits for the disk, so threads help.
    with ThreadPoolExecutor(_CHECKED_AT_ONCE) as pool:
        done = list(pool.map(ledger.is_done, jobs))
        kept = frozenset(number for number, is_done in enumerate(done) if is_done)
        found = list(pool.map(lambda n: 0 if n in kept else check(n), range(len(ready))))
    problems = [one for one in found if isinstance(one, Problem)]
    frames = tuple(0 if isinstance(one, Problem) else one for one in found)
    return BatchPlan(ready, kept, frames, tuple(problems))


def run_batch(
    plan: BatchPlan,
    workers: Workers,
    ledger: Ledger,
    *,
    split: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run the jobs of `plan` that are left; return one Outcome per job, in order.

    A failed job does not stop the others. Videos of more than `split` frames are filled in parts
    by several workers. `progress` is called with the frames done and their total (see
    `Schedule`), `tell` with each job's Outcome as it ends.
    """
    outcomes = {number: Outcome(number, "kept", attempts=0) for number in plan.kept}
    left = {number: job for number, job in enumerate(plan.jobs) if number not in plan.kept}
    # Fingerprints before the run: an input that changes during it must not count as done.
    prints = {number: fingerprint(job) for number, job in left.items()}
    # Parts depend on more than the job: the number of threads and the libraries.
    made_with = f"{workers.threads} {describe_environment()}"
    folders = {
        number: place_parts(job, f"{prints[number]} {made_with}") for number, job in left.items()
    }
    # Remove what killed runs left behind, except the parts that this run continues.
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
                    # The journal line first: parts may be removed only when the job is recorded.
                    if outcome.state == "done":
                        ledger.add(plan.jobs[number], prints[number], outcome)
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
    """Check a job; return the frame count of its input, or the Problem."""
    job = jobs[number]
    try:
        settings = job.settings()
        if elsewhere:  # another machine has the device
            settings = replace(settings, device="auto")
        with closing(job.open_masks()) as masks:
            info = check_removal(job.input, masks, settings)
        networks.check(settings)
        check_writer(
            Path(job.output),
            info,
            codec=settings.codec,
            crf=settings.crf,
            lossless=settings.lossless,
            preset=settings.preset,
            audio=settings.audio,
            overwrite=bool(job.options.get("overwrite")),
        )
    except CleanplateError as error:
        return Problem(name_job(jobs, number), " ".join(str(error).split()))
    return info.frame_count


class _Networks:
    """Load each network that jobs use once, to detect invalid files."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: dict[str, str | None] = {}

    def check(self, settings: RemoveOptions) -> None:
        """Raise WeightsError when the network of a removal cannot be loaded."""
        if not asks_network(settings.model, settings.method):
            return
        model = name_model(settings.model)
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
