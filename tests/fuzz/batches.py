"""Batches whose jobs, outputs, journal and list of jobs may be one another.

What a job reads stays as it is, no job's result replaces another's, and a journal is only ever
written into a new file or an earlier journal. The workers are this process, to save time.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from cleanplate import batch as cluster
from cleanplate.batch.tasks import Events, attempt
from cleanplate.errors import CleanplateError, InputError

from .paths import choose_output, find_free, say, spell_some
from .surfaces import Place, Plan
from .world import check_whole, clear, compare, make_world, photograph

_INPUTS = ("in/clip.mp4", "in/second.mkv", "in/frames")
_MASKS = ("marks/mask.png", "marks/masks", "marks/mask.mkv", None)


def make_batches(place: Place, random: Random) -> Plan:
    """A list of jobs, or a pattern, with a journal of any kind."""
    world = make_world(place)
    if random.random() < 0.3:
        return _make_pattern(world, random)
    jobs: list[dict[str, Any]] = []
    for _ in range(random.choice((1, 2, 2, 3))):
        mask = random.choice(_MASKS)
        jobs.append({
            "input": spell_some(world / random.choice(_INPUTS), world, random),
            "output": _choose_output(world, jobs, random),
            "mask": [] if mask is None else spell_some(world / mask, world, random),
            "box": ["4,4,8,8"] if mask is None else [],
            "overwrite": random.random() < 0.5,
        })  # fmt: skip
    listed = world / "jobs.jsonl"
    listed.write_bytes(b"\n".join(json.dumps(job).encode() for job in jobs) + b"\n")
    journal = None
    if random.random() < 0.6:
        read = [listed, world / "in/clip.mp4", world / "other/keep.mp4", world / "other/x.journal"]
        others = [Path(jobs[0]["output"])] if jobs[0]["output"] else []
        chosen = random.choice([*read, *read[:1], *others])
        journal = spell_some(chosen, world, random) if chosen.parent.is_dir() else str(chosen)
    split = ["--part-frames", "2"] if random.random() < 0.2 else []
    return {"jobs": jobs, "words": [spell_some(listed, world, random), *split], "journal": journal}


def _choose_output(world: Path, jobs: list[dict[str, Any]], random: Random) -> str:
    """A place as in `paths`, or what an earlier job of the list reads or writes."""
    if jobs and random.random() < 0.3:
        known = random.choice(jobs)[random.choice(("input", "output", "output"))]
        if known and Path(known).parent.is_dir():
            return spell_some(Path(known), world, random)
    suffixes = (".mp4", ".mkv", "", "")
    return choose_output(world, random, suffixes)[0]


def _make_pattern(world: Path, random: Random) -> Plan:
    """A pattern whose results may match it, run twice."""
    output = random.choice((
        "in/{stem}.mkv", "in/{stem}-clean.mp4", "in/{name}.mkv", "in/clean/{stem}.mp4",
        "new/{stem}.mp4", "new/deep/{stem}", "res/{stem}.mkv", "res/one.mp4", "{folder}",
    ))  # fmt: skip
    pattern = random.choice(("in/*.m*", "in/*", "in/**/*.m*", "in/clip.mp4", "in/*4"))
    words = [str(world / pattern), "-o", str(world / output), "--box", "4,4,8,8"]
    journal = str(world / "other/x.journal") if random.random() < 0.3 else None
    return {"jobs": None, "words": words, "journal": journal}


def run_batches(place: Place, plan: Plan) -> None:
    world = place.out / "world"
    words = [*plan["words"], "--method", "flow", "--dilate", "1", "--workers", "1"]
    words += ["--ledger", plan["journal"]] if plan["journal"] is not None else []
    try:
        with _this_process_works():
            if plan["jobs"] is None:
                _run_pattern(world, words)
            else:
                _run_list(world, words, plan)
    finally:
        clear(world)


def _run_list(world: Path, words: list[str], plan: Plan) -> None:
    jobs, listed = plan["jobs"], os.path.realpath(plan["words"][0])
    read = [listed, *(one[name] for one in jobs for name in ("input", "mask") if one[name])]
    places = [os.path.realpath(one["output"]) for one in jobs]
    book = os.path.realpath(plan["journal"] or f"{plan['words'][0]}.journal")
    free = [*find_free(places, read), *([] if os.path.exists(book) else [book])]
    before = photograph(world)
    refusal = _try(words)
    if refusal is not None and not isinstance(refusal, InputError):  # the next run goes on there
        free += [str(path) for path in world.rglob(".cleanplate-parts-*")]
    compare(world, before, free)
    after = photograph(world)
    for one in places:
        name = os.fsencode(os.path.relpath(one, world))
        if refusal is None or after.get(name) != before.get(name):
            check_whole(one)
    assert refusal is not None or len(set(places)) == len(places), "two results at one place"
    if refusal is not None:
        raise refusal


def _run_pattern(world: Path, words: list[str]) -> None:
    """The second run has nothing to do, and takes no result for an input."""
    before = photograph(world)
    refusal = _try(words)
    after = photograph(world)
    _compare_old(before, after)
    if refusal is not None:
        raise refusal
    again = _try(words)
    assert again is None, f"done once, and then refused: {again}"
    book = [str(path) for path in world.rglob("*.journal")]
    compare(world, after, book)


def _compare_old(before: dict[bytes, Any], after: dict[bytes, Any]) -> None:
    """All that was there is there: nothing was to be replaced."""
    for name, look in before.items():
        assert after.get(name) == look, f"{name!r} was {look} and is {after.get(name)}"


def _try(words: list[str]) -> CleanplateError | None:
    try:
        say("batch", *words)
    except CleanplateError as error:
        return error
    return None


class _Here:
    """Workers that are this process."""

    threads = 1

    def __init__(self, *values: Any, **options: Any) -> None:
        pass

    def run(self, waiting: deque[Any]) -> Events:
        """See Workers.run."""
        while waiting:
            ticket = waiting.popleft()
            yield attempt(ticket.number, ticket.task, lambda news: None, threads=1)


@contextmanager
def _this_process_works() -> Iterator[None]:
    usual = cluster.LocalWorkers
    cluster.LocalWorkers = _Here  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        cluster.LocalWorkers = usual  # type: ignore[misc]
