"""Pipes, sockets, devices, huge and growing files in the place of everything that is opened.

Nothing may hang, take memory by the gigabyte, or put a file where something of another kind is.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from cleanplate import network as model
from cleanplate import removal as pipeline
from cleanplate.batch.jobs import read_jobs
from cleanplate.batch.ledger import Ledger
from cleanplate.batch.schedule import plan_batch
from cleanplate.errors import CleanplateError, InputError, MemoryLimitError
from cleanplate.masks import open_mask
from cleanplate.masks.writing import record_masks

from .originals import REMOVAL
from .surfaces import Place, Plan
from .world import check_whole, clear, compare, make_world, photograph

_ROLES = {
    "input": ("in/k.mp4", "in/k.mkv", "in/k.png", "in/k"),
    "frame": ("in/frames/1.png",),
    "mask": ("marks/k.png", "marks/k.jpg", "marks/k.mkv", "marks/k"),
    "mask frame": ("marks/masks/1.png",),
    "model": ("in/k.safetensors", "in/k.pth", "in/k"),
    "jobs": ("in/k.jsonl",),
    "book": ("in/k.journal",),
    "output": ("res/k.mp4", "res/k", "res/k.mkv"),
    "mask out": ("res/k.mkv", "res/k"),
    "preview": ("res/k.png", "res/k.mp4", "res/k"),
    "converted": ("res/k.safetensors", "res/k.pth"),
    "hidden": (".", "lock", "partial.mp4", "old", "journal", "journal/job.json",
               "journal/000000000.span", "journal/x"),
    "part": (".", "job.json", "000000000.span"),
}  # fmt: skip
_WRITTEN = ("output", "mask out", "preview", "converted")
_HUGE, _LARGE = 100 << 30, 2 << 30
"""A file of nothing, and one that begins as it should; both hold next to nothing on disk."""
_DEVICES = {"zero": 5, "null": 3, "full": 7, "random": 9}


def make_kinds(place: Place, random: Random) -> Plan:
    world = make_world(place)
    shutil.copytree(place.originals / "cut", world / "cut")
    role = random.choice(tuple(_ROLES))
    writes = role in (*_WRITTEN, "book", "hidden")
    kind = random.choice([kind for kind in _KINDS if not (writes and kind in _OUTSIDE)])
    return {
        "role": role,
        "kind": kind,
        "path": random.choice(_ROLES[role]),
        "linked": random.random() < 0.3,
        "overwrite": random.random() < 0.6,
        "resume": random.random() < 0.5,
    }


def run_kinds(place: Place, plan: Plan) -> None:
    world = place.out / "world"
    hidden = world / "res/.r.mp4.cleanplate"
    if plan["role"] == "hidden":
        shutil.move(world / "cut", hidden)
        target = hidden / plan["path"]
    else:
        target = world / ("cut/journal" if plan["role"] == "part" else "") / plan["path"]
    refusal = None
    try:
        with ExitStack() as stack:
            real = world / "links" / f"real{target.suffix}" if plan["linked"] else target
            _clear_place(target)
            original = place.originals / _like(target.suffix)
            stack.enter_context(_KINDS[plan["kind"]](real, original))
            if plan["linked"]:
                target.symlink_to(real)
            free = _find_free(plan, world, target)
            before = photograph(world)
            try:
                _USES[plan["role"]](world, target, plan)
            except CleanplateError as error:
                refusal = error
            if not isinstance(refusal, InputError | None):  # it may leave a journal
                outputs = [str(target), *free]
                free += [f"{Path(one).parent}/.{Path(one).name}.cleanplate" for one in outputs]
            compare(world, before, free)
        assert not isinstance(refusal, MemoryLimitError), f"read without a limit: {refusal}"
        late = plan["role"] in _WRITTEN and not isinstance(refusal, InputError | None)
        assert not late, f"found out after the work: {refusal}"
        if refusal is not None:
            raise refusal
    finally:
        clear(world)


def _find_world(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.name == "world")


def _like(suffix: str) -> str:
    """An original of the kind that is named so."""
    return {".png": "grey.png", ".jpg": "colour.jpg", ".mkv": "mask.mkv", ".pth": "zipped.pth",
            ".safetensors": "ours.safetensors"}.get(suffix, "h264.mp4")  # fmt: skip


def _clear_place(target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)


def _find_free(plan: Plan, world: Path, target: Path) -> list[str]:
    """Where a result may be: at a new place or a file's or folder's own, never at another kind's.

    What grows changes by itself.
    """
    free = [str(world / "res/r.mp4"), str(world / "res/r")]
    hidden = world / "res/.r.mp4.cleanplate"
    if hidden.is_dir() and not hidden.is_symlink():
        free.append(str(hidden))  # what a run left belongs to the next one
    if plan["kind"] == "growing":
        free.append(os.path.realpath(target))
    if plan["role"] == "book" and plan["kind"] in ("empty", "dangling link"):
        free.append(os.path.realpath(target))
    if plan["role"] in _WRITTEN:
        may = plan["kind"] in _MADE_ANEW and (plan["overwrite"] or not target.exists())
        may = may or plan["kind"] == "empty folder"
        free += [os.path.realpath(target)] if may else []
    return free


@contextmanager
def _pipe(path: Path, original: Path) -> Iterator[None]:
    os.mkfifo(path)
    yield


@contextmanager
def _open_pipe(path: Path, original: Path) -> Iterator[None]:
    """A pipe that somebody holds open and does not write to."""
    os.mkfifo(path)
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def _socket(path: Path, original: Path) -> Iterator[None]:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # names of sockets are short
            yield
    finally:
        os.close(folder)


def _device(number: int) -> Callable[[Path, Path], Any]:
    @contextmanager
    def make(path: Path, original: Path) -> Iterator[None]:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, number))
        except PermissionError:  # only root makes devices
            os.mkfifo(path)
        yield

    return make


@contextmanager
def _folder(path: Path, original: Path) -> Iterator[None]:
    path.mkdir()
    shutil.copyfile(original, path / original.name)
    (path / "notes.txt").write_text("mine")
    yield


@contextmanager
def _empty_folder(path: Path, original: Path) -> Iterator[None]:
    path.mkdir()
    yield


@contextmanager
def _closed_folder(path: Path, original: Path) -> Iterator[None]:
    path.mkdir(mode=0)
    yield
    path.chmod(0o700)


@contextmanager
def _empty(path: Path, original: Path) -> Iterator[None]:
    path.touch()
    yield


@contextmanager
def _closed(path: Path, original: Path) -> Iterator[None]:
    shutil.copyfile(original, path)
    path.chmod(0)
    yield
    with suppress(FileNotFoundError):
        path.chmod(0o600)


@contextmanager
def _sparse(path: Path, original: Path) -> Iterator[None]:
    path.touch()
    os.truncate(path, _HUGE)
    yield


@contextmanager
def _long(path: Path, original: Path) -> Iterator[None]:
    shutil.copyfile(original, path)
    os.truncate(path, _LARGE)
    yield


@contextmanager
def _growing(path: Path, original: Path) -> Iterator[None]:
    shutil.copyfile(original, path)
    stop = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.wait(0.0005):
                file.write(bytes(1 << 16))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _dangling(path: Path, original: Path) -> Iterator[None]:
    path.symlink_to(path.parent / "nothing")
    yield


@contextmanager
def _loop(path: Path, original: Path) -> Iterator[None]:
    path.symlink_to(path.name)
    yield


@contextmanager
def _link_to_file(path: Path, original: Path) -> Iterator[None]:
    path.symlink_to(_find_world(path) / "other/keep.mp4")
    yield


@contextmanager
def _link_to_folder(path: Path, original: Path) -> Iterator[None]:
    path.symlink_to(_find_world(path) / "other/pictures")
    yield


@contextmanager
def _endless(path: Path, original: Path) -> Iterator[None]:
    path.symlink_to("/dev/zero")
    yield


@contextmanager
def _system_file(path: Path, original: Path) -> Iterator[None]:
    """A file that says it is empty, and is not."""
    path.symlink_to("/proc/self/status")
    yield


_KINDS: dict[str, Callable[[Path, Path], Any]] = {
    "pipe": _pipe,
    "open pipe": _open_pipe,
    "socket": _socket,
    **{f"device {name}": _device(number) for name, number in _DEVICES.items()},
    "folder": _folder,
    "empty folder": _empty_folder,
    "closed folder": _closed_folder,
    "empty": _empty,
    "closed": _closed,
    "sparse": _sparse,
    "long": _long,
    "growing": _growing,
    "dangling link": _dangling,
    "loop of links": _loop,
    "link to a file": _link_to_file,
    "link to a folder": _link_to_folder,
    "link to a device": _endless,
    "system's file": _system_file,
}
_OUTSIDE = ("link to a device", "system's file")
"""Lead to the machine's own files, which nothing should even try to write to."""
_MADE_ANEW = ("empty", "closed", "sparse", "long", "growing", "dangling link", "link to a file")
"""Files, which a result may replace where that is asked for, and what leads to one."""


def _remove(world: Path, output: Path, plan: Plan, **options: Any) -> None:
    given = {**REMOVAL, "overwrite": plan["overwrite"], "resume": plan["resume"], **options}
    report = pipeline.remove(given.pop("input", world / "in/clip.mp4"), output, **given)
    check_whole(os.path.realpath(output), report.frames)


def _use_input(world: Path, target: Path, plan: Plan) -> None:
    _remove(world, world / "res/r.mp4", plan, input=target)


def _use_frame(world: Path, target: Path, plan: Plan) -> None:
    _remove(world, world / "res/r", plan, input=target.parent)


def _use_mask(world: Path, target: Path, plan: Plan) -> None:
    _remove(world, world / "res/r.mp4", plan, masks=target)


def _use_mask_frame(world: Path, target: Path, plan: Plan) -> None:
    _remove(world, world / "res/r.mp4", plan, masks=target.parent)


def _use_model(world: Path, target: Path, plan: Plan) -> None:
    model.load(target)
    if target.suffix == ".safetensors":
        model.info(target)


def _use_jobs(world: Path, target: Path, plan: Plan) -> None:
    _, problems = read_jobs(target)
    for problem in problems:
        assert str(problem).isprintable(), problem
        assert len(str(problem)) < 5000, f"a message of {len(str(problem))} characters"


def _use_book(world: Path, target: Path, plan: Plan) -> None:
    with Ledger(target) as book:
        plan_batch([], book)


def _use_output(world: Path, target: Path, plan: Plan) -> None:
    _remove(world, target, plan)


def _use_mask_out(world: Path, target: Path, plan: Plan) -> None:
    _remove(world, world / "res/r.mp4", plan, mask_out=target)
    check_whole(os.path.realpath(target))


def _use_preview(world: Path, target: Path, plan: Plan) -> None:
    with closing(open_mask(world / "marks/mask.png")) as source:
        clip, masks = world / "in/clip.mp4", world / "res/r.mp4"
        record_masks(clip, source, masks, preview=target, overwrite=plan["overwrite"])
    check_whole(os.path.realpath(target))


def _use_converted(world: Path, target: Path, plan: Plan) -> None:
    from .paths import convert_model

    options = {"model": str(world / "in/model.safetensors"), "output": str(target)}
    convert_model({**options, "overwrite": plan["overwrite"]})


def _use_hidden(world: Path, target: Path, plan: Plan) -> None:
    _remove(world, world / "res/r.mp4", plan)


def _use_part(world: Path, target: Path, plan: Plan) -> None:
    _remove(world, world / "res/r.mp4", plan, parts=[world / "cut/journal"])


_USES: dict[str, Callable[[Path, Path, Plan], None]] = {
    "input": _use_input,
    "frame": _use_frame,
    "mask": _use_mask,
    "mask frame": _use_mask_frame,
    "model": _use_model,
    "jobs": _use_jobs,
    "book": _use_book,
    "output": _use_output,
    "mask out": _use_mask_out,
    "preview": _use_preview,
    "converted": _use_converted,
    "hidden": _use_hidden,
    "part": _use_part,
}
