"""Wrong and right values of every kind for every argument of the Python interface.

Either it works, or a CleanplateError says in one short line which argument is wrong.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from inspect import signature
from random import Random
from typing import Any

import cv2
import numpy as np
import torch

import cleanplate
from cleanplate.errors import CleanplateError
from cleanplate.masks import TimedBox
from cleanplate.options import OPTION_TEXTS
from cleanplate.removal import Report
from cleanplate.types import Box, Size

from .originals import FRAMES, REMOVAL, SIZE
from .surfaces import Place, Plan
from .values import VALUES, make_arrays

_LONGEST = 2000
"""Characters of a message."""


def make_arguments(place: Place, random: Random) -> Plan:
    """A function and some arguments, of which one or two are drawn from all kinds of values."""
    shutil.copyfile(place.originals / "h264.mp4", place.given / "clip.mp4")
    name = random.choice(tuple(_CALLS))
    names = _CALLS[name][1]
    wrong = random.sample(names, min(len(names), random.choice((1, 1, 1, 2))))
    return {"call": name, "values": {one: random.choice(tuple(VALUES)) for one in wrong}}


def run_arguments(place: Place, plan: Plan) -> None:
    elsewhere, threads = os.getcwd(), cv2.getNumThreads()
    os.chdir(place.out)
    values: dict[str, Any] = {}
    try:
        values = {name: VALUES[label](place) for name, label in plan["values"].items()}
        _CALLS[plan["call"]][0](place, values)
    except CleanplateError as error:
        _check_message(str(error), values)
        raise
    finally:
        assert cv2.getNumThreads() == threads, "OpenCV has another number of threads"
        os.chdir(elsewhere)
        for path in place.out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _check_message(text: str, values: dict[str, Any]) -> None:
    assert len(text) < _LONGEST, f"a message of {len(text)} characters: {text[:300]}"
    assert "--" not in text, f"the library speaks of the command line: {text}"
    if not values:  # the value could not even be made
        return
    words = [*values, *(_ALIASES[name] for name in values if name in _ALIASES)]
    for value in values.values():
        words += [type(value).__name__, str(value)[:30].strip(), repr(value)[:30]]
        with suppress(TypeError):  # what is no path, and paths that are none
            words.append(os.fsdecode(value))
    known = text.lower()
    assert any(word and word.lower() in known for word in words), f"of what is this said? {text}"


_ALIASES = {"frames": "frame", "masks": "mask", "name_or_file": "checkpoint", "text": "box"}
"""Words that name an argument as well."""


def _inpaint(place: Place, values: dict[str, Any]) -> None:
    found = cleanplate.inpaint(**{**make_arrays(), "method": "flow", **values})
    assert isinstance(found, np.ndarray), f"the result is a {type(found)}"
    assert found.dtype == np.uint8, f"the result is {found.dtype}"
    assert found.ndim == 4, f"the result has {found.ndim} axes"


def _remove(place: Place, values: dict[str, Any]) -> None:
    output = place.out / "r.mp4"
    report = cleanplate.remove(
        **{"input": place.given / "clip.mp4", "output": output, **REMOVAL, **values}
    )
    assert isinstance(report, Report), f"the result is a {type(report)}"
    assert all(line.isprintable() for line in report.summary()), report.summary()
    assert os.path.exists(os.fsencode(values.get("output", output))), "there is no output"


def _engine(place: Place, values: dict[str, Any]) -> None:
    arrays = make_arrays()
    given = {name: value for name, value in values.items() if name not in ("frame", "mask")}
    engine = cleanplate.Engine(**{"size": Size(*SIZE), "method": "flow", **given})
    done = []
    for frame, mask in zip(arrays["frames"], arrays["masks"], strict=True):
        done += engine.push(values.get("frame", frame), values.get("mask", mask))
    done += engine.finish()
    assert len(done) == FRAMES, f"{len(done)} frames came out"
    assert all(one.frame.dtype == np.uint8 for one in done)


def _load(place: Place, values: dict[str, Any]) -> None:
    given = {"name_or_file": place.originals / "ours.safetensors", **values}
    assert isinstance(cleanplate.load_model(**given), torch.nn.Module)


def _size(place: Place, values: dict[str, Any]) -> None:
    size = Size(**{"width": 32, "height": 24, **values})
    assert str(size)
    assert size.shape


def _box(place: Place, values: dict[str, Any]) -> None:
    box = Box(**{"x": 1, "y": 2, "width": 3, "height": 4, **values})
    assert str(box)
    assert box.slices
    assert box.size
    box.clipped(Size(*SIZE))


def _parse(place: Place, values: dict[str, Any]) -> None:
    assert str(Box.parse(values["text"]))


def _parse_timed(place: Place, values: dict[str, Any]) -> None:
    assert str(TimedBox.parse(values["text"]))


def _names(function: Any, *more: str) -> tuple[str, ...]:
    parameters = signature(function).parameters
    # `mask` of `remove` is deprecated.
    names = [name for name in parameters if name not in ("overrides", "mask")]
    if "overrides" in parameters:
        names += OPTION_TEXTS
    return (*names, *more)


Call = Callable[[Place, dict[str, Any]], None]
_CALLS: dict[str, tuple[Call, tuple[str, ...]]] = {
    "inpaint": (_inpaint, _names(cleanplate.inpaint, "frames", "masks", "masks")),
    "remove": (
        _remove,
        _names(cleanplate.remove, "masks", "masks", "box", "box", "input", "output"),
    ),
    "Engine": (_engine, _names(cleanplate.Engine, "frame", "mask", "frame", "mask")),
    "load_model": (_load, _names(cleanplate.load_model)),
    "Size": (_size, _names(Size)),
    "Box": (_box, _names(Box)),
    "Box.parse": (_parse, ("text",)),
    "TimedBox.parse": (_parse_timed, ("text",)),
}
