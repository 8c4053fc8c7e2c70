"""Large pictures: frames a second and peak memory, in processes of their own; the demo's clip."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.speed import describe_machine, measure_removal
from cleanplate.datasets.demo import make_demo_clip
from cleanplate.types import Size

_SIZES = {"1080p": Size(1920, 1080), "4k": Size(3840, 2160)}


@click.command()
@click.option("--size", type=click.Choice(list(_SIZES)), default="1080p", show_default=True)
@click.option("--frames", default=60, show_default=True)
@click.option("--max-memory", metavar="SIZE", help="As in `cleanplate remove`.")
def large(size: str, frames: int, max_memory: str | None) -> None:
    """Frames a second and peak memory of a large video; the hole is about 5 % of it."""
    click.echo(describe_machine())
    arguments = ["--max-memory", max_memory] if max_memory else []
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_demo_clip(folder / "demo", min(frames, 24), _SIZES[size])
        cost = measure_removal(clip, folder, frames, arguments)
    click.echo(
        f"{_SIZES[size]}, {frames} frames {' '.join(arguments)}: {cost.wall:.1f} s,"
        f" {frames / cost.wall:.2f} frames a second, peak {cost.memory / 2**20:.0f} MiB"
    )
