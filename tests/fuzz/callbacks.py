"""Callbacks that raise, interrupt, or change the place where the work is done.

What a callback raises arrives as it is; no thread stays behind, nothing half-written, no setting
of a library changed; and the next run, resumed or not, makes what an undisturbed one makes.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from tests.conftest import paint
from tests.patience import PATIENCE

import cleanplate
from cleanplate.errors import CleanplateError, InputError
from cleanplate.masks import open_mask
from cleanplate.masks.writing import record_masks
from cleanplate.removal import engine

from .originals import REMOVAL, SIZE
from .surfaces import Place, Plan
from .world import Photograph, check_whole, compare, photograph

LENGTH = 14


class Odd(BaseException):
    """What no `except Exception` catches."""


_RAISED: tuple[type[BaseException], ...] = (
    KeyboardInterrupt, SystemExit, MemoryError, ValueError, OSError, StopIteration, GeneratorExit,
    AssertionError, TimeoutError, InputError, CleanplateError, RecursionError, Odd,
)  # fmt: skip


def make_callbacks(place: Place, random: Random) -> Plan:
    return {
        "operation": random.choice(("remove", "remove", "remove", "record", "inpaint")),
        "source": random.choice(("clip", "frames")),
        "output": random.choice(("r.mp4", "r.mkv", "r", "r.mov")),
        "masks": random.choice((None, None, "m.mkv", "m")),
        "does": random.choice(("raise", "raise", "raise", "raise", *_DEEDS)),
        "raised": random.randrange(len(_RAISED)),
        "at": random.choice((1, 1, 2, 5, 6, 9, LENGTH - 1, LENGTH)),
        "journal": random.random() < 0.7,
        "threads": random.choice((None, 1, 2)),
        "was_there": random.random() < 0.4,
        "relative": random.random() < 0.3,
        "next": random.choice(("resume", "resume", "overwrite")),
    }


def run_callbacks(place: Place, plan: Plan) -> None:
    world = place.out / "world"
    world.mkdir()
    _write_source(place, world, plan["source"])
    (world / "mask.png").write_bytes(place.bytes_of("grey.png"))
    (world / "apart").mkdir()
    (world / "apart/mine.txt").write_text("mine")
    if plan["was_there"]:
        _put_old(place, world / plan["output"])
    elsewhere = os.getcwd()
    try:
        with _short_segments(), _nothing_left():
            _OPERATIONS[plan["operation"]](world, plan)
    finally:
        os.chdir(elsewhere)
        shutil.rmtree(world)


def _write_source(place: Place, world: Path, source: str) -> None:
    if source == "clip":
        (world / "clip.mp4").write_bytes(place.bytes_of("long.mp4"))
        return
    (world / "clip").mkdir()
    for number in range(LENGTH):
        assert cv2.imwrite(str(world / f"clip/{number}.png"), paint(number, SIZE))


def _put_old(place: Place, output: Path) -> None:
    if output.suffix:
        output.write_bytes(place.bytes_of("ffv1.mkv"))
        return
    output.mkdir()
    (output / "0.png").write_bytes(place.bytes_of("colour.png"))


@contextmanager
def _short_segments() -> Iterator[None]:
    """Some frames are enough for several."""
    usual = engine.Span.__dict__["for_size"], engine._SEGMENT
    engine.Span.for_size = classmethod(lambda cls, size: cls(3, 2))  # type: ignore[assignment]
    engine._SEGMENT = 1
    try:
        yield
    finally:
        engine.Span.for_size, engine._SEGMENT = usual  # type: ignore[method-assign]


@contextmanager
def _nothing_left() -> Iterator[None]:
    """Raise AssertionError when threads, open files or another number of threads stay behind."""
    threads, files, usual = set(threading.enumerate()), _open_files(), cv2.getNumThreads()
    yield
    until = time.monotonic() + PATIENCE
    while (left := set(threading.enumerate()) - threads) and time.monotonic() < until:
        time.sleep(0.01)
    assert not left, f"threads are left: {left}"
    assert cv2.getNumThreads() == usual, f"OpenCV has {cv2.getNumThreads()} threads, not {usual}"
    more = _open_files() - files
    assert not more, f"files are left open: {more}"


def _open_files() -> set[str]:
    """What this process has open of the worlds it makes."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return {name for name in found if "/world/" in name}


class _Callback:
    """Raises or does something at call number `at`, and remembers what it raised."""

    def __init__(self, world: Path, plan: Plan) -> None:
        self._world, self._plan = world, plan
        self.calls = 0
        self.raised: BaseException | None = None

    def __call__(self, done: int, total: int | None) -> None:
        self.calls += 1
        assert done == self.calls, f"call {self.calls} says {done}"
        if self.calls != self._plan["at"]:
            return
        if self._plan["does"] == "raise":
            self.raised = _RAISED[self._plan["raised"]]("on purpose")
            raise self.raised
        _DEEDS[self._plan["does"]](self._world, self._world / self._plan["output"])


def _appear(world: Path, output: Path) -> None:
    """Somebody else writes to the output's place meanwhile."""
    if output.suffix:
        output.write_bytes(b"somebody else's")
    else:
        output.mkdir(exist_ok=True)
        (output / "notes.txt").write_text("somebody else's")


def _move_hidden(world: Path, output: Path) -> None:
    """The hidden folder becomes a link to another one."""
    hidden = output.parent / f".{output.name}.cleanplate"
    if hidden.is_dir():
        hidden.rename(output.parent / "moved")
        hidden.symlink_to(world / "apart")


def _change_folder(world: Path, output: Path) -> None:
    os.chdir(world / "apart")


def _nest(world: Path, output: Path) -> None:
    """Another run within this one."""
    frames, masks = np.zeros((3, 9, 9, 3), np.uint8), np.zeros((9, 9), np.bool_)
    masks[3:5, 3:5] = True
    cleanplate.inpaint(frames, masks, method="flow")


def _rival(world: Path, output: Path) -> None:
    """Another run to the same place, which must be refused and harm nothing."""
    try:
        source = next(iter(world.glob("clip*")))
        cleanplate.remove(source, output, overwrite=True, resume=True, **REMOVAL)
    except CleanplateError:
        return
    raise AssertionError("two runs write to one place")


_DEEDS: dict[str, Callable[[Path, Path], None]] = {
    "appear": _appear,
    "move hidden": _move_hidden,
    "change folder": _change_folder,
    "nest": _nest,
    "rival": _rival,
}


def _remove(world: Path, plan: Plan) -> None:
    """Run, be disturbed, run again; the second result is that of a run without disturbance."""
    output, masks = world / plan["output"], plan["masks"]
    source = next(iter(world.glob("clip*")))
    options: dict[str, Any] = {**REMOVAL, "threads": plan["threads"], "journal": plan["journal"]}
    beside = world.parent / "whole"
    beside.mkdir()
    try:
        cleanplate.remove(source, beside / plan["output"], **options)
        expected = _read(beside / plan["output"])
    finally:
        shutil.rmtree(beside)
    before = photograph(world)
    if plan["relative"]:
        os.chdir(world)
        source, output = Path(source.name), Path(output.name)
    callback = _Callback(world, plan)
    raised = None
    try:
        cleanplate.remove(
            source, output, mask_out=None if masks is None else output.with_name(masks),
            overwrite=plan["was_there"], progress=callback, **options,
        )  # fmt: skip
    except BaseException as error:
        raised = error
    os.chdir(world)
    _judge(world, plan, before, callback, raised)
    if raised is not None:
        for name in ("moved", f".{plan['output']}.cleanplate"):
            if plan["does"] == "move hidden" and os.path.lexists(world / name):
                link = (world / name).is_symlink()
                (world / name).unlink() if link else shutil.rmtree(world / name)
        if plan["does"] == "appear":
            _take_away(world / plan["output"])
        again = {"resume": True} if plan["next"] == "resume" else {}
        again["overwrite"] = bool(not again or plan["was_there"])
        cleanplate.remove(source, output, **again, **options)
    if plan["does"] != "appear" or raised is not None:
        assert _read(world / plan["output"]) == expected, "not what an undisturbed run makes"


def _judge(
    world: Path, plan: Plan, before: Photograph, callback: _Callback, raised: BaseException | None
) -> None:
    """What was raised arrives, and what was there is there, when the run did not end well."""
    if callback.raised is not None:
        _check_arrived(callback, raised)
    elif raised is not None and not isinstance(raised, CleanplateError):
        raise raised
    elif raised is not None and plan["does"] in ("nest", "rival"):
        raise AssertionError(f"harmed by {plan['does']}: {raised!r}")
    hidden = world / f".{plan['output']}.cleanplate"
    free = [world / "moved", *_find_saved(world, plan["output"], raised)]
    if plan["does"] == "move hidden":  # what is written over the link is lost, not what is there
        free += [hidden, *({*(world / "apart").iterdir()} - {world / "apart/mine.txt"})]
    if plan["does"] == "appear":
        _judge_appeared(world / plan["output"], plan, raised)
        free.append(world / plan["output"])
    if plan["masks"] and callback.raised is None and (world / plan["masks"]).exists():
        check_whole(str(world / plan["masks"]), LENGTH)  # they come before the result
        free.append(world / plan["masks"])
    if raised is None:
        free.append(world / plan["output"])
    elif plan["journal"] and hidden.is_dir() and not hidden.is_symlink():
        left = {entry.name for entry in hidden.iterdir()}
        assert left <= {"journal"}, f"left in the hidden folder: {left}"
        free.append(hidden)
    compare(world, before, [str(one) for one in free])


def _find_saved(world: Path, name: str, raised: BaseException | None) -> list[Path]:
    """The finished result of a run whose place was taken: next to it, and named in the error."""
    output = world / name
    saved = list(world.glob(f"{output.stem}-*{output.suffix}"))
    for path in saved:
        check_whole(str(path), LENGTH)
        assert str(path) in str(raised), f"{path.name} is there, and nobody says so: {raised!r}"
    return saved


def _check_arrived(callback: _Callback, raised: BaseException | None) -> None:
    assert raised is callback.raised, f"{callback.raised!r} was raised, {raised!r} arrived"


def _judge_appeared(output: Path, plan: Plan, raised: BaseException | None) -> None:
    """What somebody else put there stays, unless replacing was asked for."""
    if not plan["was_there"]:
        mine = output if output.suffix else output / "notes.txt"
        assert mine.is_file(), "what appeared is gone"
        assert mine.read_bytes() == b"somebody else's", "what appeared is replaced"
        assert raised is not None, "the result is elsewhere, and nobody says so"


def _take_away(output: Path) -> None:
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink(missing_ok=True)


def _record(world: Path, plan: Plan) -> None:
    output = world / plan["output"]
    before = photograph(world)
    callback = _Callback(world, {**plan, "does": "raise"})
    raised = None
    source = next(iter(world.glob("clip*")))
    try:
        with closing(open_mask(world / "mask.png")) as mask:
            record_masks(
                source, mask, output, preview=world / (plan["masks"] or "p.png"),
                overwrite=plan["was_there"], progress=callback,
            )  # fmt: skip
    except BaseException as error:
        raised = error
    _check_arrived(callback, raised)
    compare(world, before, [])


def _inpaint(world: Path, plan: Plan) -> None:
    frames = np.stack([paint(number, SIZE) for number in range(LENGTH)])
    masks = np.zeros(frames.shape[1:3], np.bool_)
    masks[4:12, 4:12] = True
    options: dict[str, Any] = {"method": "flow", "threads": plan["threads"]}
    expected = cleanplate.inpaint(frames, masks, **options)
    callback = _Callback(world, {**plan, "does": "raise"})
    raised = None
    try:
        cleanplate.inpaint(frames, masks, progress=callback, **options)
    except BaseException as error:
        raised = error
    _check_arrived(callback, raised)
    assert np.array_equal(cleanplate.inpaint(frames, masks, **options), expected)


def _read(path: Path) -> dict[str, bytes]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name if path.is_dir() else "": file.read_bytes() for file in files}


_OPERATIONS: dict[str, Callable[[Path, Plan], None]] = {
    "remove": _remove,
    "record": _record,
    "inpaint": _inpaint,
}
