"""A batch, or one long video, on two workers against one: `cleanplate batch`, start included.

Each worker has one thread, so one core, codecs included: the ratio says what the second core gives.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.speed import describe_machine, write_clip
from cleanplate.scene import make_demo_clip
from cleanplate.types import Size


@click.command()
@click.option("--jobs", default=12, show_default=True, help="Clips.")
@click.option("--frames", default=80, show_default=True, help="Length of each, 432x240.")
@click.option("--workers", default=2, show_default=True, help="Compared with one.")
def crew(jobs: int, frames: int, workers: int) -> None:
    """How much faster several workers of one thread do a batch than one."""
    click.echo(describe_machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_demo_clip(folder / "demo", 60, Size(432, 240))
        source, masks = write_clip(clip, folder, frames)
        seconds = [_run(folder, source, masks, jobs, count) for count in (1, workers)]
    for count, taken in zip((1, workers), seconds, strict=True):
        rate = jobs * frames / taken
        click.echo(f"{count} workers of one thread: {taken:.1f} s, {rate:.1f} frames a second")
    click.echo(f"ratio: {seconds[0] / seconds[1]:.2f}")


@click.command()
@click.option("--frames", default=1024, show_default=True, help="Length of the video, 432x240.")
@click.option("--split", default=512, show_default=True, help="Frames of a part.")
@click.option("--workers", default=2, show_default=True, help="That share the parts.")
def parts(frames: int, split: int, workers: int) -> None:
    """How much faster several workers of one thread do one long video in parts than one does it."""
    click.echo(describe_machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_demo_clip(folder / "demo", 60, Size(432, 240))
        source, masks = write_clip(clip, folder, frames)
        whole = _run(folder, source, masks, 1, 1)
        click.echo(f"one worker of one thread: {whole:.1f} s")
        divided = _run(folder, source, masks, 1, workers, "--split", str(split))
        click.echo(f"{workers} workers, parts of {split} of {frames} frames: {divided:.1f} s")
        results = [(folder / f"{count}-0.mp4").read_bytes() for count in (1, workers)]
    click.echo(f"ratio: {whole / divided:.2f}; files are equal: {results[0] == results[1]}")


def _run(folder: Path, source: Path, masks: Path, jobs: int, workers: int, *more: str) -> float:
    lines = [
        {"input": str(source), "mask": str(masks), "output": str(folder / f"{workers}-{n}.mp4")}
        for n in range(jobs)
    ]
    plan = folder / f"{workers}.jsonl"
    plan.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "cleanplate", "batch", str(plan)]
    command += ["--workers", str(workers), "--threads", "1", *more]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began
