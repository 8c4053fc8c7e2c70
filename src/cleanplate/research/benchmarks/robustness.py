"""Test long and difficult clips for arithmetic faults and growth of memory.

`numeric` removes boxes from real clips with warnings and NumPy errors raised. `endurance` runs one
long removal and watches its memory, threads and open files from outside (Linux's /proc).
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import inpaint
from cleanplate.research.benchmarks.pasting import read_start
from cleanplate.types import Size
from cleanplate.video import Picture, open_reader, open_writer, probe

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Removal:
    """One removal to try: `holes` as in `mark_holes`; `share` is the fraction of frames used."""

    holes: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    share: float = 1


REMOVALS = (
    Removal("resting", "auto"),
    Removal("moving", "flow"),
    Removal("moving", "auto", {"dilate": 4, "feather": 4}),
    Removal("98 %", "flow", share=0.25),
)


@click.command()
@click.option(
    "--clips",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("../shared/data/train/clips"),
    show_default=True,
)
@click.option("--count", default=20, show_default=True, help="Clips, spread over the folder.")
@click.option("--frames", default=24, show_default=True, help="Frames of each clip.")
@click.option("--side", default=320, show_default=True, help="Longest side in pixels.")
@click.option("--threads", default=2, show_default=True, help="As in `cleanplate remove`.")
def numeric(folder: Path, count: int, frames: int, side: int, threads: int) -> None:
    """Remove boxes with warnings and numpy's errors raised; exit code 1 if any was."""
    paths = sorted(folder.glob("*.mp4"))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    if not chosen:
        raise click.ClickException(f"no clips (*.mp4) in {folder}")
    logging.getLogger("cleanplate").setLevel(logging.ERROR)  # progress notes only
    raised = 0
    for path in chosen:
        clip = read_start(path, frames, side)
        for removal in REMOVALS:
            began = time.monotonic()
            found = try_removal(clip, removal, threads)
            raised += found is not None
            seconds = time.monotonic() - began
            name = f"{path.stem} {removal.holes} {removal.method}"
            click.echo(f"{name}: {found or 'nothing raised'} ({seconds:.1f} s)")
    total = len(chosen) * len(REMOVALS)
    click.echo(f"{len(chosen)} clips, {total} removals: {raised} raised")
    if raised:
        raise SystemExit(1)


def try_removal(clip: Frames, removal: Removal, threads: int) -> str | None:
    """Remove from the frames (t, h, w, 3); returns what was raised and where, or None."""
    clip = clip[: max(2, round(len(clip) * removal.share))]
    masks = mark_holes(clip.shape[:3], removal.holes)
    options = {"method": removal.method, "threads": threads, **removal.options}
    try:
        with raise_faults():
            inpaint(clip, masks, **options)
    except (Warning, ArithmeticError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    return None


@contextmanager
def raise_faults() -> Iterator[None]:
    """Turn warnings and numpy's floating-point errors into exceptions, in worker threads too."""
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


def mark_holes(shape: Sequence[int], kind: str) -> Masks:
    """Masks (t, h, w): a box that is "resting" or "moving", or all but a corner for "98 %"."""
    count, height, width = shape
    masks = np.zeros(tuple(shape), np.bool_)
    if kind == "98 %":
        masks[:] = True
        masks[:, : max(1, height // 7), : max(1, width // 7)] = False
        return masks
    down, across = max(1, height // 4), max(1, width // 5)
    for t, mask in enumerate(masks):
        way = t / count if kind == "moving" else 0.4
        top, left = round(way * (height - down)), round(way * (width - across))
        mask[top : top + down, left : left + across] = True
    return masks


_LONG_SIZE = Size(64, 36)
_LONG_BOX = "24,14,14,8"
_WARM_UP = 0.1
"""Fraction of the run after which nothing should grow any more."""


@dataclass(frozen=True)
class Sample:
    """One look at a running process."""

    seconds: float
    memory: int
    """Resident KiB."""
    threads: int
    files: int


@click.command()
@click.option("--frames", default=20_000, show_default=True, help="Length of the clip.")
@click.option("--method", default="flow", show_default=True, help="As in `cleanplate remove`.")
def endurance(frames: int, method: str) -> None:
    """Memory, threads and open files over one long removal; takes minutes."""
    with TemporaryDirectory() as name:
        source, result = Path(name) / "long.mp4", Path(name) / "result.mp4"
        film_wandering(source, frames)
        command = [sys.executable, "-m", "cleanplate", "remove", str(source), "-o", str(result)]
        samples = watch_process([*command, "--box", _LONG_BOX, "--method", method])
        done = probe(result).frame_count
    if done != frames:
        raise click.ClickException(f"{done} of {frames} frames came out")
    _print_growth(samples, frames)


def film_wandering(path: Path, frames: int) -> None:
    """Write a clip of a camera that wanders over a texture."""
    random = np.random.default_rng(1)
    noise = random.random((3 * _LONG_SIZE.height, 3 * _LONG_SIZE.width, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    texture = np.rint((texture - texture.min()) / np.ptp(texture) * 255).astype(np.uint8)
    with TemporaryDirectory() as name:
        cv2.imwrite(f"{name}/0.png", texture[: _LONG_SIZE.height, : _LONG_SIZE.width])
        info = probe(name)
        with open_reader(name, info) as reader:
            first = next(iter(reader))
    untouched = np.zeros(_LONG_SIZE.shape, np.bool_)
    with open_writer(path, info) as writer:
        for index in range(frames):
            x = round(_LONG_SIZE.width * (1 + np.sin(index / 90)))
            y = round(_LONG_SIZE.height * (1 + np.sin(index / 130)))
            view = np.ascontiguousarray(texture[y:, x:][: _LONG_SIZE.height, : _LONG_SIZE.width])
            moment = index * info.time_base
            writer.write(Picture(index, first.pts + index, moment, view), view, untouched)


def watch_process(command: list[str]) -> list[Sample]:
    """Run the command and sample its usage ten times a second."""
    samples = []
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.1)  # sleep first: a process that has just begun is not the command yet
            sample = _read_usage(process.pid, time.monotonic() - began)
            if sample is not None:
                samples.append(sample)
    if process.returncode:
        raise click.ClickException(f"cleanplate remove ended with {process.returncode}")
    return samples


def _read_usage(pid: int, seconds: float) -> Sample | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # the process has just ended
        return None
    facts = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
    if "VmRSS" not in facts:
        return None
    return Sample(seconds, int(facts["VmRSS"]), int(facts["Threads"]), files)


def _print_growth(samples: list[Sample], frames: int) -> None:
    """Print the peak of each tenth of the run, and the growth in the second half."""
    end = samples[-1].seconds
    click.echo(f"{frames} frames of {_LONG_SIZE} in {end:.0f} s\n")
    click.echo("| tenth | peak MiB | threads | open files |")
    click.echo("|---|---|---|---|")
    for tenth in range(10):
        part = [s for s in samples if tenth <= 10 * s.seconds / end < tenth + 1]
        if part:
            memory = max(s.memory for s in part) / 1024
            counts = max(s.threads for s in part), max(s.files for s in part)
            click.echo(f"| {tenth + 1} | {memory:.1f} | {counts[0]} | {counts[1]} |")
    warm = [s for s in samples if _WARM_UP * end <= s.seconds < end / 2]
    late = [s for s in samples if s.seconds >= end / 2]
    growth = max(s.memory for s in late) / max(s.memory for s in warm) - 1
    more = [max(getattr(s, n) for s in late) - max(getattr(s, n) for s in warm)
            for n in ("threads", "files")]  # fmt: skip
    click.echo(
        f"\nsecond half against the first after a tenth: memory {100 * growth:+.1f} %,"
        f" threads {more[0]:+d}, open files {more[1]:+d}"
    )
