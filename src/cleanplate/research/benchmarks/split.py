"""Split the processor time of a removal into its steps: where to look for what is slow.

Functions of the product are wrapped while it runs. Each step is charged what its thread worked,
without the steps that it calls. What no step covers is the rest: encoder, decoder and glue.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import cv2
import numpy as np

from cleanplate.removal import remove
from cleanplate.research.benchmarks.speed import (
    LARGE_SIZES,
    describe_machine,
    draw_large,
    film_large,
    write_clip,
)

STEPS = {
    "guess": ("motion.spatial:guess_at", "motion.spatial:Guess.put_into"),
    "flow": ("motion.flow:DisFlow.flow",),
    "complete": (
        "motion.flow:complete_flow",
        "motion.flow:take_samples",
        "motion.flow:fit_motion",
        "motion.flow:measure_inconsistency",
    ),
    "trace": ("motion.trace:trace", "motion.trace:Holes.__init__", "motion.trace:find_rim"),
    "sample": ("motion.propagation:_sample",),
    "weigh": ("motion.candidates:blend_candidates", "motion.propagation:_sharpen"),
    "propagate": ("motion.propagation:propagate",),
    "keyframes": ("plates.keyframes:KeyframeChooser.add",),
    "register": ("plates.registration:register",),
    "plates": ("plates.memory:ShotMemory.fill", "plates.backdrop:add_detail"),
    "exemplar": ("plates.exemplar:complete_by_example",),
    "shadows, gaps, ends": (
        "removal.halo:find_halos",
        "removal.gaps:bridge_gaps",
        "removal.ends:widen_runs",
    ),
    "blend": ("removal.engine:Engine._compose",),
}
"""A step → the functions that are charged to it."""


@dataclass
class Clock:
    """Processor seconds and calls of each step."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[str] = field(default_factory=Counter)
    _local: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def charge(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time charged to `step`."""

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            open_: list[float] = self._local.__dict__.setdefault("open", [])
            open_.append(0.0)
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                spent, inner = time.thread_time() - began, open_.pop()
                if open_:
                    open_[-1] += spent
                with self._lock:
                    self.seconds[step] += spent - inner
                    self.calls[step] += 1

        return timed

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Charge all `STEPS` meanwhile."""
        undo: list[tuple[Any, str, Any]] = []
        try:
            for step, places in STEPS.items():
                for place in places:
                    home, _, path = place.partition(":")
                    module = import_module(f"cleanplate.{home}")
                    *owners, name = path.split(".")
                    owner = functools.reduce(getattr, owners, module)
                    function = owner.__dict__[name]
                    timed = self.charge(step, function)
                    # Modules that import a function hold it under its name.
                    others = [] if owners else list(sys.modules.values())
                    for user in [owner, *others]:
                        if getattr(user, "__dict__", {}).get(name) is function:
                            undo.append((user, name, function))
                            setattr(user, name, timed)
            yield
        finally:
            for user, name, function in undo:
                setattr(user, name, function)


@click.command()
@click.argument("source", required=False)
@click.option("--mask", help="As in `cleanplate remove`, with SOURCE.")
@click.option("--size", type=click.Choice(list(LARGE_SIZES)), default="1080p", show_default=True)
@click.option("--frames", default=60, show_default=True, help="Length of the drawn clip.")
def split(source: str | None, mask: str | None, size: str, frames: int) -> None:
    """Processor time of a removal by steps; of SOURCE, or of a drawn clip with a hole of 5 %."""
    if (source is None) != (mask is None):
        raise click.UsageError("give SOURCE and --mask together")
    click.echo(describe_machine())
    cv2.setNumThreads(1)  # threads of OpenCV's own would be charged to no step
    with TemporaryDirectory() as name:
        folder = Path(name)
        if source is None or mask is None:
            clip = draw_large(folder / "demo", frames, LARGE_SIZES[size])
            drawn = write_clip(clip, folder, frames, film_large)
            source, mask = (str(path) for path in drawn)
        clock = Clock()
        with clock.watch():
            began = time.process_time()
            report = remove(source, folder / "result.mp4", masks=mask)
            total = time.process_time() - began
    height, width = (int(side) for side in reversed(report.size.split("x")))
    pixels = max(1.0, report.hole_share * height * width * report.frames)
    for line in format_table(clock, total, report.frames, pixels):
        click.echo(line)


def format_table(clock: Clock, total: float, frames: int, pixels: float) -> list[str]:
    """A row for each step: share, milliseconds a frame, nanoseconds a hole pixel, calls."""
    rest = total - sum(clock.seconds.values())
    steps = sorted(clock.seconds.items(), key=lambda step: -step[1])
    rows = [*steps, ("rest: encode, decode", rest), ("all", total)]
    lines = ["| step | share | ms a frame | ns a hole pixel | calls |", "|---|---|---|---|---|"]
    for step, seconds in rows:
        lines.append(
            f"| {step} | {100 * seconds / max(total, np.finfo(float).tiny):.1f} % |"
            f" {1e3 * seconds / max(1, frames):.1f} | {1e9 * seconds / pixels:.0f} |"
            f" {clock.calls[step] or ''} |"
        )
    return lines
