"""Large pictures: frames a second and peak memory, in processes of their own; the demo's clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2

from benchmarks.speed import describe_machine, measure_removal
from cleanplate.scene import DemoClip, make_demo_clip
from cleanplate.types import Size

_DRAWN = 24
"""Frames that are drawn; shown forwards and backwards."""
_SMALLER = 4
"""Times smaller they are drawn, and then enlarged: drawing would take longer than filling."""
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
        clip = _draw(folder / "demo", min(frames, _DRAWN), _SIZES[size])
        cost = measure_removal(clip, folder, frames, arguments, film=_film)
    click.echo(
        f"{_SIZES[size]}, {frames} frames {' '.join(arguments)}: {cost.wall:.1f} s,"
        f" {frames / cost.wall:.2f} frames a second, peak {cost.memory / 2**20:.0f} MiB"
    )


def _draw(folder: Path, frames: int, size: Size) -> DemoClip:
    small = Size(size.width // _SMALLER, size.height // _SMALLER)
    clip = make_demo_clip(folder, frames, small)
    for path in [*clip.frames.iterdir(), *clip.masks.iterdir()]:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image is not None
        soft = cv2.INTER_NEAREST if image.ndim == 2 else cv2.INTER_CUBIC
        cv2.imwrite(str(path), cv2.resize(image, (size.width, size.height), interpolation=soft))
    return replace(clip, size=size)


def _film(folder: Path, target: Path) -> None:
    """MPEG-4 part 2: the product's own coding would take most of the time."""
    images = [cv2.imread(str(path)) for path in sorted(folder.iterdir())[:_DRAWN]]
    height, width = images[0].shape[:2]
    turn = [*images, *images[-2:0:-1]]
    film = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
    for at in range(len(list(folder.iterdir()))):
        film.write(turn[at % len(turn)])
    film.release()
