"""Inputs, masks and outputs under odd names and odd spellings, some of them the same thing.

What is read stays as it is, whoever names it how; an output holds a whole result, or what was
there before; a link stays a link; nothing else is left. A run whose names are odd, but whose
places are new and nothing else's, must work.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

from cleanplate import removal
from cleanplate.errors import CleanplateError, InputError
from cleanplate.masks import open_mask
from cleanplate.masks.writing import record_masks
from cleanplate.network import load
from cleanplate.video.images import SUFFIXES

from .originals import REMOVAL
from .surfaces import Place, Plan
from .world import (
    INNOCENT,
    check_whole,
    clear,
    compare,
    make_world,
    name_oddly,
    photograph,
    rename_oddly,
    spell,
)

_READ = (
    "in/clip.mp4", "in/second.mkv", "in/frames", "in/frames/1.png", "in/model.safetensors", "in",
    "marks/mask.png", "marks/mask.mkv", "marks/masks", "marks/masks/0.png", "marks", "fixed",
)  # fmt: skip
_THERE = ("res/old.mp4", "res/old.mkv", "res/old", "res/old.png", "res/old.safetensors",
          "res/mixed", "res/empty", "res", "other/keep.mp4", "other/pictures")  # fmt: skip
_VIDEOS = (".mp4", ".mkv", "", "", ".mov", ".webm")
_MODELS = (".safetensors", ".pth")


def make_paths(place: Place, random: Random) -> Plan:
    """A world, and what is asked of it."""
    world = make_world(place)
    operation = random.choice(tuple(_OPERATIONS))
    source = world / random.choice(("in/clip.mp4", "in/clip.mp4", "in/frames"))
    mask = world / random.choice(("marks/mask.png", "marks/masks", "marks/mask.mkv"))
    if random.random() < 0.2:
        source, mask = rename_oddly(source, random), rename_oddly(mask, random)
    if source.is_dir() and random.random() < 0.2:
        rename_oddly(source / "1.png", random, may_hide=False)  # hidden, it is no frame
    given = {"input": source, "mask": mask, "fixed": world / "fixed",
             "model": world / "in/model.safetensors"}  # fmt: skip
    suffixes = _MODELS if operation == "convert" else _VIDEOS
    read = [given[name] for name in _OPERATIONS[operation][1]]
    output, is_new = choose_output(world, random, suffixes, read)
    second = None
    if random.random() < 0.4:
        second, is_also_new = choose_output(world, random, (*_VIDEOS, ".png"), read)
        is_apart = os.path.realpath(second) != os.path.realpath(output)
        is_new = is_new and is_also_new and is_apart and not second.endswith(".png")
    spelled = {name: spell_some(path, world, random) for name, path in given.items()}
    is_new = is_new and not any("/nothing/" in text for text in spelled.values())
    return {
        "operation": operation,
        **spelled,
        "output": output,
        "second": second,
        "overwrite": random.random() < 0.6,
        "journal": random.random() < 0.5,
        "resume": random.random() < 0.15,
        "must": is_new and not output.endswith(".pth"),
    }


def spell_some(path: Path, world: Path, random: Random) -> str:
    return spell(path, world, random) if random.random() < 0.5 else str(path)


def choose_output(
    world: Path, random: Random, suffixes: Sequence[str], read: Sequence[Path] = ()
) -> tuple[str, bool]:
    """An output as it is spelled, and whether its place is new and nothing else's.

    It is often one of the paths in `read`.
    """
    what, suffix = random.random(), random.choice(suffixes)
    new = f"r{random.randrange(9)}{suffix}"
    if what < 0.4:
        path = world / "res" / (new if random.random() < 0.5 else name_oddly(suffix, random))
        return random.choice(INNOCENT)(path, path), True
    if what < 0.45:
        return random.choice((".", "", f"{world}/res/.", f"{world}/up/..", f"{world}/in/..")), False
    if what < 0.65:
        path = world / random.choice(_READ)
        path = random.choice((*read, path, path)) if read else path
    elif what < 0.85:
        path = world / random.choice(_THERE)
    else:  # within what is read, or in a folder that is not there
        path = world / random.choice((*_READ, "res/nothing", "links")) / new
    if not path.parent.is_dir():
        return str(path), False
    return spell_some(path, world, random), False


def run_paths(place: Place, plan: Plan) -> None:
    """Do it, and look at the world."""
    world = place.out / "world"
    operation, names, second = _OPERATIONS[plan["operation"]]
    outputs = [plan["output"], *([plan["second"]] if second and plan["second"] is not None else [])]
    places = [os.path.realpath(one) for one in outputs]
    free = find_free(places, [plan[name] for name in names])
    kept = [one for one in places if not plan["overwrite"] and _is_filled(one)]
    before = photograph(world)
    refusal = None
    try:
        try:
            operation(plan)
        except CleanplateError as error:
            refusal = error
        compare(world, before, free if refusal is None else [])
        if refusal is not None:
            assert not plan["must"], f"refused without need: {refusal!r}"
            raise refusal
        assert plan["resume"] or not kept, f"{kept} was there and is replaced"
        if second:
            for one in places:
                check_whole(one)
        else:
            load(places[0])
    finally:
        clear(world)


def find_free(places: Sequence[str], read: Sequence[str]) -> list[str]:
    """Those places that a run may change: new, a file, or pictures, and none of what it reads."""
    held = [os.path.realpath(one) for one in read]
    folders = [one for one in held if os.path.isdir(one)]
    held += [os.path.realpath(entry.path) for one in folders for entry in os.scandir(one)]
    return [
        place
        for place in places
        if not any(f"{one}/".startswith(f"{place}/") for one in held)
        and not (place.endswith(".png") and os.path.dirname(place) in folders)
        and all(Path(name).suffix in SUFFIXES for name in _list(place))
    ]


def _list(path: str) -> list[str]:
    return os.listdir(path) if os.path.isdir(path) else []


def _is_filled(path: str) -> bool:
    return os.path.isfile(path) or bool(_list(path))


def _remove(plan: Plan) -> None:
    removal.remove(
        plan["input"], plan["output"], masks=plan["mask"], mask_out=plan["second"],
        overwrite=plan["overwrite"], journal=plan["journal"], resume=plan["resume"],
        **{**REMOVAL, "box": ()},
    )  # fmt: skip


def _record(plan: Plan) -> None:
    with closing(open_mask(plan["mask"])) as source:
        record_masks(
            plan["input"], source, plan["output"],
            preview=plan["second"], overwrite=plan["overwrite"],
        )  # fmt: skip


def _command(plan: Plan) -> None:
    options = ["--journal" if plan["journal"] else "--no-journal", "--method", "flow"]
    options += ["--resume"] * plan["resume"]
    options += ["--mask-out", plan["second"]] if plan["second"] is not None else []
    words = [plan["input"], "-o", plan["output"], "--mask", plan["mask"], *options]
    say("remove", *words, *_overwrite(plan))


def _track(plan: Plan) -> None:
    options = ["--preview", plan["second"]] if plan["second"] is not None else []
    say("mask", "track", plan["input"], "-o", plan["output"], "--track", "4,4,8,8",
         "--correct", plan["fixed"], *options, *_overwrite(plan))  # fmt: skip


def convert_model(plan: Plan) -> None:
    say("models", "convert", plan["model"], plan["output"], *_overwrite(plan))


def _overwrite(plan: Plan) -> list[str]:
    return ["--overwrite"] * plan["overwrite"]


def say(*words: str) -> None:
    """Run a command line in this process; raises CleanplateError with its complaint."""
    from cleanplate.cli import app

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    err.reconfigure(errors="backslashreplace")
    with redirect_stdout(out), redirect_stderr(err):
        code = app._run(words)
        out.flush()
        err.flush()
    said = err.buffer.getvalue().decode().strip().splitlines()  # type: ignore[attr-defined]
    assert code in (0, 1, 2), f"ended with {code} and said {said[-1:]}"
    if code:
        assert said[-1].startswith("cleanplate: "), said[-9:]
        assert not said[-1].startswith("cleanplate: unexpected"), said[-9:]
        raise (CleanplateError if code == 1 else InputError)(said[-1])


_OPERATIONS: dict[str, tuple[Callable[[Plan], None], tuple[str, ...], bool]] = {
    "remove": (_remove, ("input", "mask"), True),
    "remove again": (_remove, ("input", "mask"), True),
    "command": (_command, ("input", "mask"), True),
    "record": (_record, ("input", "mask"), True),
    "track": (_track, ("input", "fixed"), True),
    "convert": (convert_model, ("model",), False),
}
"""Each with what it reads, and whether it writes pictures and may write them twice."""
