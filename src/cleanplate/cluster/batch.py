"""A batch: what is left to do, whether all of it can be done, and doing it."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cleanplate.cluster.jobs import Job, Problem
from cleanplate.cluster.journal import Journal, fingerprint
from cleanplate.cluster.parts import place_parts, sweep_parts
from cleanplate.cluster.schedule import Schedule
from cleanplate.cluster.staging import sweep
from cleanplate.cluster.work import Outcome, Progressed, Workers
from cleanplate.errors import CleanplateError
from cleanplate.pipeline.provenance import describe_environment
from cleanplate.video import probe
from cleanplate.video.destination import Destination
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


def plan_batch(jobs: Sequence[Job], journal: Journal) -> Plan:
    """Find what is done already, and check all else as far as that goes without decoding."""
    problems = _find_clashes(jobs)
    if problems:
        return Plan(tuple(jobs), frozenset(), (0,) * len(jobs), tuple(problems))
    # What an earlier run of this batch made may be made anew.
    ready = tuple(job.overwriting() if journal.made(job) else job for job in jobs)
    with ThreadPoolExecutor(_CHECKED_AT_ONCE) as pool:
        done = list(pool.map(journal.is_done, jobs))
        kept = frozenset(number for number, is_done in enumerate(done) if is_done)
        found = list(pool.map(lambda n: 0 if n in kept else _check(ready, n), range(len(ready))))
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
    for job in left.values():
        sweep(job)
    sweep_parts(plan.jobs, keep=folders.values())
    schedule = Schedule.plan(left, dict(enumerate(plan.frames)), folders, split)
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
                        shutil.rmtree(folders[number], ignore_errors=True)
                    if tell is not None:
                        tell(outcome)
                if progress is not None:
                    progress(schedule.done, schedule.total)
    finally:
        sweep_parts(left.values(), keep=folders.values())
    return [outcomes[number] for number in range(len(plan.jobs))]


def _find_clashes(jobs: Sequence[Job]) -> list[Problem]:
    """Outputs that two jobs share, or that another job reads."""
    writers: dict[str, list[int]] = defaultdict(list)
    for number, job in enumerate(jobs):
        writers[os.path.realpath(job.output)].append(number)
    problems = []
    for first, *others in writers.values():
        for number in others:
            what = f"job {first + 1} has this output, too; give each job its own"
            problems.append(Problem(name_job(jobs, number), what))
    for number, job in enumerate(jobs):
        for path in (job.input, *job.mask):
            for other in writers.get(os.path.realpath(path), []):
                if other != number:
                    what = f"it reads '{path}', the output of job {other + 1}; choose another name"
                    problems.append(Problem(name_job(jobs, number), what))
    return problems


def name_job(jobs: Sequence[Job], number: int) -> str:
    """How people are told of a job: its place, counted from 1, and its output."""
    return f"job {number + 1} ({jobs[number].output})"


def _check(jobs: Sequence[Job], number: int) -> Problem | int:
    """The number of frames of a job's input, or what is wrong with the job."""
    job = jobs[number]
    try:
        info = probe(job.input)
        with closing(job.open_masks()) as masks:
            masks.prepare(info)
        check_picture(Path(job.output), info, lossless=bool(job.options.get("lossless")))
        Destination(Path(job.output), Path(job.input), overwrite=bool(job.options.get("overwrite")))
    except CleanplateError as error:
        return Problem(name_job(jobs, number), " ".join(str(error).split()))
    return info.frame_count
