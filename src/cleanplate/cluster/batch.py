"""A batch: what is left to do, whether all of it can be done, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

from cleanplate import pipeline
from cleanplate.cluster.fingerprints import fingerprint
from cleanplate.cluster.jobs import Job, Problem, name_job
from cleanplate.cluster.journal import Journal
from cleanplate.cluster.outputs import find_problems
from cleanplate.cluster.parts import place_parts, remove_parts, sweep_parts
from cleanplate.cluster.schedule import Schedule
from cleanplate.cluster.staging import sweep
from cleanplate.cluster.work import Outcome, Progressed, Workers
from cleanplate.errors import CleanplateError, WeightsError
from cleanplate.pipeline import check_removal
from cleanplate.pipeline.models import asks_network
from cleanplate.pipeline.provenance import describe_environment
from cleanplate.video.destination import Destination
from cleanplate.video.encoding import choose_encoding, describe_result
from cleanplate.video.images import PICTURES
from cleanplate.video.tracks import check_tracks
from cleanplate.video.writer import check_picture

_CHECKED_AT_ONCE = 8


@dataclass(frozen=True)
class Plan:
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
    jobs: Sequence[Job], journal: Journal, *, lists: Sequence[Path] = (), elsewhere: bool = False
) -> Plan:
    """Find what is done already, and check all else as far as that goes without decoding.

    `lists` are files that name the jobs. With `elsewhere` other machines do the work: whether a
    device is there is not asked of this one.
    """
    problems = find_problems(jobs, lists, journal.path)
    if problems:
        return Plan(tuple(jobs), frozenset(), (0,) * len(jobs), tuple(problems))
    for job in jobs:
        journal.recover(job)
    # What an earlier run of this batch made may be made anew.
    ready = tuple(job.overwriting() if journal.made(job) else job for job in jobs)
    check = partial(_check, ready, networks=_Networks(), elsewhere=elsewhere)
    with ThreadPoolExecutor(_CHECKED_AT_ONCE) as pool:
        done = list(pool.map(journal.is_done, jobs))
        kept = frozenset(number for number, is_done in enumerate(done) if is_done)
        found = list(pool.map(lambda n: 0 if n in kept else check(n), range(len(ready))))
    problems = [one for one in found if isinstance(one, Problem)]
    frames = tuple(0 if isinstance(one, Problem) else one for one in found)
    return Plan(ready, kept, frames, tuple(problems))


def run_batch(
    plan: Plan,
    workers: Workers,
    journal: Journal,
    *,
    split: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Do what is left of `plan`; one Outcome for each job, in their order.

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

    def check(self, settings: pipeline.Settings) -> None:
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
        from cleanplate import model as networks

        try:
            networks.load(model, device="cpu")
        except CleanplateError as error:
            return str(error)
        return None
