"""How fast and in how much memory: `cleanplate remove` from file to file, in processes of its own.

The clip is the demo's, run forwards and backwards as often as needed, so that a longer clip holds
the same content and no cut. Times of a busy machine say little: the load is printed beside them,
and the processor time, which suffers less. Not for Windows (it has no `os.wait4`).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from cleanplate.scene import DemoClip, make_demo_clip
from cleanplate.types import Size
from cleanplate.video import open_reader, open_writer, probe


@dataclass(frozen=True)
class Cost:
    frames: int
    wall: float
    """Seconds, the start of Python and torch included."""
    processor: float
    """Seconds of all cores together, user and system."""
    memory: int
    """Peak resident bytes."""


@click.command()
@click.option("--frames", default=80, show_default=True, help="Length of the short clip, 432x240.")
@click.option(
    "--long",
    "length",
    default=3000,
    show_default=True,
    help="Frames for memory; a tenth is compared.",
)
@click.option("--method", default="auto", show_default=True, help="As in `cleanplate remove`.")
@click.option("--model", help="As in `cleanplate remove`.")
@click.option("--device", default="auto", show_default=True, help="As in `cleanplate remove`.")
@click.option("--only", type=click.Choice(["time", "memory"]), help="One of the two parts.")
def speed(frames: int, length: int, only: str | None, **given: str | None) -> None:
    """Seconds a frame, growth with length, peak memory; takes minutes."""
    options = {name: value for name, value in given.items() if value is not None}
    click.echo(
        f"{describe_machine()}, " + ", ".join(f"{name} {value}" for name, value in options.items())
    )
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    if only != "memory":
        short, long = _run_both(Size(432, 240), (frames, 4 * frames), arguments)
        more = long.frames - short.frames
        click.echo(
            f"time of {long.frames} frames / of {short.frames}: {long.wall / short.wall:.2f}"
            f" (processor {long.processor / short.processor:.2f});"
            f" a further frame: {(long.wall - short.wall) / more:.3f} s"
            f" (processor {(long.processor - short.processor) / more:.3f} s)"
        )
    if only != "time":
        short, long = _run_both(Size(216, 120), (length // 10, length), arguments)
        click.echo(
            f"peak memory of {long.frames} frames / of {short.frames}:"
            f" {long.memory / short.memory:.3f}"
        )


def _run_both(size: Size, lengths: tuple[int, int], arguments: list[str]) -> list[Cost]:
    """Measure clips of two lengths and print a row for each."""
    click.echo(f"\n{size}:")
    click.echo("| frames | wall s | wall s/frame | processor s/frame | peak MiB | load after |")
    click.echo("|---|---|---|---|---|---|")
    costs = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_demo_clip(folder / "demo", 60, size)
        for frames in lengths:
            cost = measure_removal(clip, folder, frames, arguments)
            costs.append(cost)
            click.echo(
                f"| {frames} | {cost.wall:.1f} | {cost.wall / frames:.3f}"
                f" | {cost.processor / frames:.3f} | {cost.memory / 2**20:.0f} | {_load()} |"
            )
    return costs


def film_frames(folder: Path, target: Path) -> None:
    """Make a video of a folder of images, as the product writes one."""
    info = probe(folder)
    untouched = np.zeros(info.size.shape, np.bool_)
    with open_reader(folder, info) as reader, open_writer(target, info, crf=10) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, untouched)


def measure_removal(
    clip: DemoClip,
    folder: Path,
    frames: int,
    arguments: list[str],
    film: Callable[[Path, Path], None] = film_frames,
) -> Cost:
    """What `cleanplate remove` takes for so many frames of `clip`, made a video by `film`."""
    source, masks = write_clip(clip, folder, frames, film)
    command = [sys.executable, "-m", "cleanplate", "remove", str(source), *arguments]
    command += ["--mask", str(masks), "-o", str(folder / f"{frames}-result.mp4")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.usage", *command], stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise click.ClickException(f"cleanplate remove ended with {done.returncode}")
    return Cost(frames, **json.loads(done.stdout))


def write_clip(
    clip: DemoClip, folder: Path, frames: int, film: Callable[[Path, Path], None] = film_frames
) -> tuple[Path, Path]:
    """A video of so many frames, and the folder of its masks."""
    images, masks = folder / f"{frames}-frames", folder / f"{frames}-masks"
    _repeat(clip.frames, images, frames)
    _repeat(clip.masks, masks, frames)
    source = folder / f"{frames}.mp4"
    film(images, source)
    return source, masks


def describe_machine() -> str:
    """Its kind, its cores and its load."""
    return f"{platform.machine()}, {os.cpu_count()} cores, load {_load()} before"


def _repeat(source: Path, target: Path, frames: int) -> None:
    """Link `frames` images of `source`, forwards and backwards in turn, into `target`."""
    images = sorted(source.iterdir())
    target.mkdir()
    for index, image in enumerate(islice(cycle([*images, *images[-2:0:-1]]), frames)):
        os.link(image, target / f"{index:05d}{image.suffix}")


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"
