"""`cleanplate batch`: process many videos on this machine or on a Ray cluster."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cleanplate.cli.options import (
    FilePath,
    former_option,
    invert_option,
    json_option,
    logo_option,
    mask_threshold_option,
    name_options,
    overwrite_option,
    region_option,
    removal_options,
    show_progress,
    text_option,
    track_option,
)
from cleanplate.cli.quiet import is_quiet, quiet_option
from cleanplate.errors import CleanplateError, InputError, name_count, tame
from cleanplate.machine import count_processors
from cleanplate.storage.paths import check_places, make_absolute

if TYPE_CHECKING:
    from cleanplate.batch import BatchPlan, Job, Ledger, Outcome, Problem, Workers

_FILE = FilePath(path_type=Path, dir_okay=False)


@click.command(short_help="Remove from many videos; run it again to continue after a crash.")
@click.argument("sources", metavar="JOBS.jsonl|GLOB...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="PATTERN",
    help="For a GLOB: output paths, such as 'clean/{stem}.mp4'. {name} and {folder} work, too."
    " Default: next to each input, such as clip-clean.mp4 for clip.mp4.",
)
@click.option(
    "--mask",
    multiple=True,
    metavar="PATTERN",
    help="As in `cleanplate remove`. May contain {stem}, {name} and {folder} of the input.",
)
@click.option(
    "--box", multiple=True, metavar="X,Y,W,H[@START-END]", help="As in `cleanplate remove`."
)
@track_option
@text_option
@region_option
@logo_option
@invert_option
@mask_threshold_option
@removal_options("overlay", "start", "end")
@removal_options("method", "model", "blend", "dilate", "feather", "exact_mask", "fields")
@removal_options("device", "precision", "codec", "preset", "crf", "lossless", "audio", "max_memory")
@overwrite_option("existing outputs")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Number of worker processes. Default: one per processor, at most one per job.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads of each worker. Default: its share of the processors; 1 with --ray.",
)
@click.option(
    "--part-frames",
    "split",
    type=click.IntRange(1),
    metavar="FRAMES",
    help="Fill longer videos in parts of at most FRAMES frames on several workers. The result is"
    " the same. Default: do not split videos.",
)
@click.option(
    "--ray",
    "address",
    metavar="ADDRESS",
    help="Run on the Ray cluster at this address, such as head:6379.",
)
@click.option(
    "--gpus",
    type=click.FloatRange(0),
    metavar="SHARE",
    help="With --ray: GPUs per job. 0.5 runs two jobs on one GPU.",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    metavar="N",
    help="Retries of a job whose worker died.",
)
@click.option(
    "--ledger",
    type=_FILE,
    metavar="FILE",
    help="File of finished jobs. Default: next to JOBS.jsonl or in the folder of the outputs.",
)
@former_option("--split", "--part-frames", "split", type=click.IntRange(1))
@former_option("--journal", "--ledger", "ledger", type=_FILE)
@quiet_option
@json_option
def batch(
    sources: tuple[str, ...],
    workers: int | None,
    threads: int | None,
    split: int | None,
    address: str | None,
    gpus: float | None,
    retries: int,
    ledger: Path | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Run `cleanplate remove` on many videos; repeat the command to continue after a crash.

    Each line of JOBS.jsonl is a JSON object with input, and mask, box, track, text (true) or logo
    (true). It can also set output, region and these options of `remove`, such as
    "dilate": 8: invert, mask_threshold, start, end, method, model, blend, dilate, feather,
    exact_mask, fields, plates, clean, overlay, device, precision, codec, preset, crf, lossless,
    audio, keep_going, max_memory and overwrite. Options of the command line are defaults for lines
    that lack them.

    With a GLOB, they apply to all matching files, except outputs of this batch. Output folders are
    created. Finished jobs and parts are skipped while input, masks, options and version are
    unchanged.
    """
    context = click.get_current_context()
    if address and workers:
        raise click.UsageError("give --workers or --ray, not both", context)
    if gpus is not None and not address:
        raise click.UsageError("--gpus needs --ray", context)
    if fields["lossless"] and fields["crf"] is not None:
        raise click.UsageError("give --crf or --lossless, not both", context)
    given = {name: value for name, value in fields.items() if _is_given(context, name)}
    if "tracks" in given:
        given["track"] = given.pop("tracks")
    from cleanplate.batch import Ledger, make_folders, name_job, plan_batch

    jobs, matched = _gather(sources, given)
    lists = [Path(source) for source in sources if _is_list(source)]
    place = Path(make_absolute(ledger or _place_ledger(sources, given, jobs)))
    check_places([place], [*lists, *(path for job in jobs for path in job.mask)])
    needed = {job.output: name_job(jobs, number) for number, job in enumerate(jobs)}
    with make_folders({**needed, str(place): "the ledger"}) as problems:
        _refuse(problems)
        with Ledger(place) as book:
            jobs = _leave_out_results(jobs, matched, book)
            # A split video has work for any number of workers.

            most = len(jobs) if split is None else None
            crew = _choose_workers(most, workers, threads, address, gpus or 0.0, retries)
            plan = plan_batch(jobs, book, lists=lists, elsewhere=address is not None)
            _refuse(plan.problems)
            outcomes = _run(plan, crew, book, split)
    _print(plan, outcomes, as_json)


def _is_given(context: click.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source not in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


def _is_list(source: str) -> bool:
    """Whether a source is a job list instead of a pattern."""
    return source.endswith(".jsonl")


def _gather(sources: Sequence[str], fields: dict[str, Any]) -> tuple[list[Job], set[int]]:
    """Collect all jobs, and the numbers of those that come from patterns.

    Lists what is wrong on stderr and raises InputError.
    """
    from cleanplate.batch import match_jobs, read_jobs

    fields = {
        name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()
    }
    if "overlay" in fields:
        fields["overlay"] = str(fields["overlay"])
    jobs: list[Job] = []
    matched: set[int] = set()
    problems: list[Problem] = []
    for source in sources:
        if _is_list(source):
            if "output" in fields:
                raise InputError(f"--output is for a GLOB; each line of '{source}' names its own")
            read, wrong = read_jobs(Path(source), fields)
            jobs, problems = jobs + read, problems + wrong
        else:
            found = match_jobs(source, fields)
            matched |= set(range(len(jobs), len(jobs) + len(found)))
            jobs += found
    _refuse(problems)
    if not jobs:
        raise InputError(f"{', '.join(sources)} holds no jobs; give at least one")
    return jobs, matched


def _leave_out_results(jobs: list[Job], matched: set[int], ledger: Ledger) -> list[Job]:
    """Drop jobs whose input this batch wrote, and list them on stderr."""
    from cleanplate.batch import leave_out_results

    sorted_out = leave_out_results(jobs, matched, ledger)
    _refuse(sorted_out.problems)
    left = sorted_out.left_out
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        if not is_quiet():
            click.echo(tame(f"left out, as this batch wrote it: {left[0]}{more}"), err=True)
    if not sorted_out.jobs:
        raise InputError(
            "every input is a result of this batch; name other inputs, or another --ledger to"
            " take its results as inputs"
        )
    return sorted_out.jobs


def _choose_workers(
    most: int | None,
    workers: int | None,
    threads: int | None,
    address: str | None,
    gpus: float,
    retries: int,
) -> Workers:
    """Create workers: tasks of a cluster, or processes on this machine."""
    if address:
        from cleanplate.batch.workers import RayWorkers

        return RayWorkers(address, threads=threads or 1, gpus=gpus, retries=retries)
    from cleanplate.batch import LocalWorkers

    processors = count_processors()
    count = workers or max(1, processors // (threads or 1))
    count = count if most is None else min(count, most)
    return LocalWorkers(count, threads=threads or max(1, processors // count), retries=retries)


def _place_ledger(sources: Sequence[str], fields: dict[str, Any], jobs: Sequence[Job]) -> Path:
    """Path of the ledger: next to the first list, or in the output folder."""
    if _is_list(sources[0]):
        return Path(f"{sources[0]}.journal")
    folders = [os.path.dirname(job.output) for job in jobs]
    if "output" in fields:
        patterns = [source for source in sources if not _is_list(source)]
        folders += [_find_root(source, fields["output"]) for source in patterns]
    return Path(os.path.commonpath(folders)) / "cleanplate-batch.journal"


def _find_root(pattern: str, output: str) -> str:
    """Common folder of all outputs of a pattern, for any number of inputs."""
    folder = os.path.dirname(pattern)
    while glob.has_magic(folder) and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    root = os.path.dirname(output.replace("{folder}", folder or os.curdir))
    while "{" in root and root != os.path.dirname(root):
        root = os.path.dirname(root)
    return make_absolute(root)


def _refuse(problems: Sequence[Problem]) -> None:
    """List all problems on stderr and raise InputError if there are any."""
    for problem in problems:
        click.echo(name_options(str(problem)), err=True)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise InputError(f"{count}, so nothing was started; see the list above")


def _run(plan: BatchPlan, workers: Workers, ledger: Any, split: int | None) -> list[Outcome]:
    """Run the batch with a progress bar over all frames and a line on stderr per finished job."""
    from cleanplate.batch import run_batch

    left = len(plan.jobs) - len(plan.kept)
    ended = 0

    def tell(outcome: Outcome) -> None:
        nonlocal ended
        ended += 1
        if is_quiet():
            return
        click.echo(tame(f"[{ended}/{left}] {_describe(plan, outcome)}"), err=True)
        for note in (outcome.report or {}).get("notes", []):
            click.echo(tame(f"      note: {name_options(note)}"), err=True)

    with show_progress("batch") as progress:
        return run_batch(plan, workers, ledger, split=split, progress=progress, tell=tell)


def _describe(plan: BatchPlan, outcome: Outcome) -> str:
    """Format one line about a finished job."""
    name = plan.jobs[outcome.number].output
    if outcome.report is None:
        return f"{name}: {outcome.state}: {name_options(str(outcome.error))}"
    again = f", attempt {outcome.attempts}" if outcome.attempts > 1 else ""
    parts = f", filled in {outcome.parts} parts before" if outcome.parts > 1 else ""
    done = f"{name_count(outcome.report['frames'], 'frame')} in {outcome.report['seconds']:.1f} s"
    return f"{name}: {done}{parts}{again}"


def _print(plan: BatchPlan, outcomes: Sequence[Outcome], as_json: bool) -> None:
    """Print the results of the jobs; raises CleanplateError if one failed."""
    from cleanplate.batch import name_job

    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    states = [outcome.state for outcome in outcomes]
    if as_json:
        click.echo(json.dumps([_to_json(plan, outcome) for outcome in outcomes], indent=2))
    else:
        counts = {"done": "done", "kept": "done earlier", "failed": "failed"}
        parts = [f"{states.count(s)} {words}" for s, words in counts.items() if s in states]
        if failed or not is_quiet():
            click.echo(f"{name_count(len(outcomes), 'job')}: {', '.join(parts)}")
        for outcome in failed:
            tries = f" ({outcome.attempts} attempts)" if outcome.attempts > 1 else ""
            name = tame(name_job(plan.jobs, outcome.number))
            click.echo(f"  {name}{tries}\n      {tame(name_options(str(outcome.error)))}")
    if failed:
        raise CleanplateError(
            f"{len(failed)} of {name_count(len(outcomes), 'job')} failed, as listed; fix them"
            " and run the same"
            " command again, the others are kept"
        )


def _to_json(plan: BatchPlan, outcome: Outcome) -> dict[str, Any]:
    job = plan.jobs[outcome.number]
    return {
        "input": job.input,
        "output": job.output,
        "line": job.line or None,
        "state": outcome.state,
        "attempts": outcome.attempts,
        "parts": outcome.parts,
        "error": outcome.error,
        "report": outcome.report,
    }
