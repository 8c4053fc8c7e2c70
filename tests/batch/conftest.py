"""Jobs that run in a second: small clips, a small hole, propagation only."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from cleanplate import removal
from cleanplate.batch import Job, Removal, Ticket
from cleanplate.removal import Span
from cleanplate.removal.preparation import estimate_memory
from cleanplate.types import Size
from cleanplate.video import open_reader

BOX = "10,10,20,16"
SMALL = {"max_memory": estimate_memory(Size(64, 48), Span(4, 1))}
"""Spans of 4 frames, so segments of 32."""


@pytest.fixture
def make_job(make_clip: Callable[..., Path], tmp_path: Path) -> Callable[..., Job]:
    """`make_job(name, frames=8, **fields)`: a job on a clip of its own; outputs in `out/`."""
    (tmp_path / "out").mkdir()

    def make(name: str = "a", frames: int = 8, clip: dict | None = None, **fields: object) -> Job:
        source = make_clip(f"{name}.mp4", frames=frames, **(clip or {}))
        given = {"input": str(source), "output": str(tmp_path / "out" / f"{name}.mp4")}
        # Without loss, as x264 may code the same frames in other bytes from one run to the next.
        options = {"method": "flow", "lossless": True}
        return Job.from_fields({**given, "box": BOX, **options, **fields})

    return make


def whole(job: Job) -> Removal:
    """A job without parts."""
    return Removal(job, f"{job.output}.absent")


def queue(jobs: Iterable[Job]) -> deque[Ticket]:
    """Jobs without parts as workers take them."""
    return deque(Ticket(number, whole(job)) for number, job in enumerate(jobs))


def shown(path: str | Path) -> list[tuple[int, bytes]]:
    """Timestamps and pixels of a video."""
    with open_reader(path) as reader:
        return [(picture.pts, picture.rgb.tobytes()) for picture in reader]


def shown_alone(job: Job, target: Path) -> list[tuple[int, bytes]]:
    """What one run of `removal.remove` makes of a job."""
    options = {**job.options, "overwrite": True}
    removal.remove(job.input, target, masks=job.mask, box=job.box, **options)
    return shown(target)


def child_processes(parent: int | None = None) -> set[int]:
    """Processes that `parent`, by default this process, started and that run."""
    number = parent or os.getpid()
    children: set[int] = set()
    for task in Path(f"/proc/{number}/task").iterdir():
        children |= {int(text) for text in (task / "children").read_text().split()}
    return children


def is_running(process: int) -> bool:
    """Whether a process is there and not yet a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_at_work(
    folder: Path, victims: Callable[[], set[int]], number: int = signal.SIGKILL
) -> threading.Thread:
    """Send one of `victims` a signal as soon as an unfinished video lies hidden below `folder`."""

    def kill() -> None:
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            for staging in folder.glob(".cleanplate-batch-*"):
                # The encoder has begun, and the worker that does it is one with open files there.
                for process in victims():
                    if _holds(process, staging):
                        os.kill(process, number)
                        return
            time.sleep(0.005)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def _holds(process: int, folder: Path) -> bool:
    """Whether a process has a file in `folder` open."""
    try:
        opened = [os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return False
    return any(path.startswith(str(folder)) for path in opened)
