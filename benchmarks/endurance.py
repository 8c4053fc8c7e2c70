"""A long run: whether memory, threads or open files grow, looked at from outside all the time.

The clip is small and made here: a camera that wanders over a texture. The box is a hole in every
frame. Needs Linux's /proc.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np

from cleanplate.types import Size
from cleanplate.video import Picture, open_reader, open_writer, probe

_SIZE = Size(64, 36)
_BOX = "24,14,14,8"
_WARM = 0.1
"""Share of the time after which nothing should grow any more."""


@dataclass(frozen=True)
class Sample:
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
        _film(source, frames)
        command = [sys.executable, "-m", "cleanplate", "remove", str(source), "-o", str(result)]
        samples = _watch([*command, "--box", _BOX, "--method", method])
        done = probe(result).frame_count
    if done != frames:
        raise click.ClickException(f"{done} of {frames} frames came out")
    _show(samples, frames)


def _film(path: Path, frames: int) -> None:
    """A camera wandering over a texture, written from a folder of one picture."""
    random = np.random.default_rng(1)
    noise = random.random((3 * _SIZE.height, 3 * _SIZE.width, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    texture = np.rint((texture - texture.min()) / np.ptp(texture) * 255).astype(np.uint8)
    with TemporaryDirectory() as name:
        cv2.imwrite(f"{name}/0.png", texture[: _SIZE.height, : _SIZE.width])
        info = probe(name)
        with open_reader(name, info) as reader:
            first = next(iter(reader))
    untouched = np.zeros(_SIZE.shape, np.bool_)
    with open_writer(path, info) as writer:
        for index in range(frames):
            x = round(_SIZE.width * (1 + np.sin(index / 90)))
            y = round(_SIZE.height * (1 + np.sin(index / 130)))
            view = np.ascontiguousarray(texture[y:, x:][: _SIZE.height, : _SIZE.width])
            moment = index * info.time_base
            writer.write(Picture(index, first.pts + index, moment, view), view, untouched)


def _watch(command: list[str]) -> list[Sample]:
    """Run the command and look at it ten times a second."""
    samples = []
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.1)  # first: a process that has just begun is not the command yet
            sample = _look(process.pid, time.monotonic() - began)
            if sample is not None:
                samples.append(sample)
    if process.returncode:
        raise click.ClickException(f"cleanplate remove ended with {process.returncode}")
    return samples


def _look(pid: int, seconds: float) -> Sample | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # it has just ended
        return None
    facts = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
    if "VmRSS" not in facts:
        return None
    return Sample(seconds, int(facts["VmRSS"]), int(facts["Threads"]), files)


def _show(samples: list[Sample], frames: int) -> None:
    """Maxima of each tenth of the time, and how the second half compares with the first."""
    end = samples[-1].seconds
    click.echo(f"{frames} frames of {_SIZE} in {end:.0f} s\n")
    click.echo("| tenth | peak MiB | threads | open files |")
    click.echo("|---|---|---|---|")
    for tenth in range(10):
        part = [s for s in samples if tenth <= 10 * s.seconds / end < tenth + 1]
        if part:
            memory = max(s.memory for s in part) / 1024
            counts = max(s.threads for s in part), max(s.files for s in part)
            click.echo(f"| {tenth + 1} | {memory:.1f} | {counts[0]} | {counts[1]} |")
    warm = [s for s in samples if _WARM * end <= s.seconds < end / 2]
    late = [s for s in samples if s.seconds >= end / 2]
    growth = max(s.memory for s in late) / max(s.memory for s in warm) - 1
    more = [max(getattr(s, n) for s in late) - max(getattr(s, n) for s in warm)
            for n in ("threads", "files")]  # fmt: skip
    click.echo(
        f"\nsecond half against the first after a tenth: memory {100 * growth:+.1f} %,"
        f" threads {more[0]:+d}, open files {more[1]:+d}"
    )
