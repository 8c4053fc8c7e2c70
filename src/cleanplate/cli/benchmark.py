"""`cleanplate benchmark`: measure the speed of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanplate.cli.options import (
    FilePath,
    json_option,
    removal_option,
    removal_options,
    show_progress,
)

if TYPE_CHECKING:
    from cleanplate.research.training import Recipe
    from cleanplate.research.training.feed import Data
    from cleanplate.types import Size


class _BenchmarkGroup(click.Group):
    """A group that passes arguments without a command name to `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_BenchmarkGroup, short_help="Measure speed and memory.")
def benchmark() -> None:
    """Measure speed: `benchmark [INPUT --mask PATH] …` is `benchmark run`."""


@benchmark.command(short_help="Time a removal by stages, against the limits of the machine.")
@click.argument("source", metavar="[INPUT]", required=False, type=FilePath(path_type=Path))
@click.option("--mask", type=FilePath(path_type=Path), help="Mask of what to remove.")
@removal_options("method", "model", "device", "precision")
@click.option("--size", metavar="WxH", help="Size of the rendered clip.  [default: 432x240]")
@click.option(
    "--frames",
    type=click.IntRange(2),
    metavar="N",
    help="Number of frames of the rendered clip.  [default: 80]",
)
@click.option(
    "--against-plain",
    is_flag=True,
    help="Also run a plain version of STTN's released inference, on some of its windows.",
)
@click.option(
    "--windows",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    metavar="N",
    help="Number of these windows, from the middle of the clip.",
)
@click.option("--all-windows", is_flag=True, help="Run all windows; takes long.")
@click.option("--no-ceilings", is_flag=True, help="Do not measure the machine's limits.")
@json_option
def run(
    source: Path | None,
    mask: Path | None,
    size: str | None,
    frames: int | None,
    against_plain: bool,
    windows: int,
    all_windows: bool,
    no_ceilings: bool,
    as_json: bool,
    **options: str,
) -> None:
    """Measure a removal's time by stage, its memory, and the limits of the machine.

    Without INPUT, render the demo's clip. --model sttn is the paper's network with random weights.
    """
    from tempfile import TemporaryDirectory

    from cleanplate.research.benchmarks.run import Plan
    from cleanplate.research.benchmarks.run import run as measure
    from cleanplate.types import Size

    if (source is None) != (mask is None):
        raise click.UsageError("INPUT and --mask go together; without both, a clip is rendered")
    if source is not None and (size or frames):
        raise click.UsageError("--size and --frames describe the rendered clip; leave INPUT out")
    plan = Plan(
        source,
        mask,
        _parse_size(size) if size else Size(432, 240),
        frames or 80,
        against_plain=against_plain,
        windows=None if all_windows else windows,
        ceilings=not no_ceilings,
        **options,
    )
    with TemporaryDirectory() as folder:
        found = measure(plan, Path(folder))
    click.echo(json.dumps(found.to_json(), indent=2) if as_json else "\n".join(found.summary()))


@benchmark.command(short_help="Measure training samples per second.")
@click.option(
    "--recipe",
    "name",
    type=click.Choice(["light-cpu", "light", "sttn"]),
    default="light",
    show_default=True,
    help="As in `cleanplate train`.",
)
@click.option(
    "--clips", type=FilePath(path_type=Path), metavar="DATA", help="As in `cleanplate train`."
)
@click.option("--photographs", type=FilePath(path_type=Path), help="As in `cleanplate train`.")
@click.option(
    "--cache",
    type=FilePath(path_type=Path),
    help="As in `cleanplate train`; by default a temporary folder.",
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="As in `cleanplate train`.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Steps to time, after two warm-up steps.",
)
@removal_option("device")
@json_option
def train(
    name: str,
    clips: Path | None,
    photographs: Path | None,
    cache: Path | None,
    batch: int | None,
    steps: int,
    device: str,
    as_json: bool,
) -> None:
    """Measure training samples per second and the fraction of time the device waits for data.

    Without --clips and --photographs, train on noise. Weights are not kept.
    """

    from dataclasses import replace
    from tempfile import TemporaryDirectory

    import torch

    from cleanplate.machine import choose_device
    from cleanplate.research.training import RECIPES
    from cleanplate.research.training.loop import measure

    where = torch.device(choose_device(device))
    recipe = replace(RECIPES[name], batch=batch or RECIPES[name].batch)
    with TemporaryDirectory() as folder, show_progress("benchmark", "steps") as progress:
        data = _open(clips, photographs, cache or Path(folder), recipe)
        found = measure(recipe, data, where, steps, progress)
    settings = {"recipe": name, "batch": recipe.batch, "device": str(where)}
    if as_json:
        click.echo(json.dumps({**settings, **found.to_json()}, indent=2))
        return
    click.echo("\n".join(f"{key:18} {value}" for key, value in settings.items()))
    click.echo("\n".join(found.summary()))


def _open(clips: Path | None, photographs: Path | None, cache: Path, recipe: Recipe) -> Data:
    """Open the given data, or noise."""
    from cleanplate.research.data.clips import make_clips
    from cleanplate.research.training import DataPlan, prepare
    from cleanplate.research.training.feed import draw_from

    if clips is None and photographs is None:
        return draw_from(make_clips(), [], recipe)
    return prepare(DataPlan(clips, photographs, cache), recipe)


def _parse_size(text: str) -> Size:
    from cleanplate.types import Size

    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise click.UsageError(f"--size '{text}' is not WIDTHxHEIGHT, such as 432x240")
    return Size(int(width), int(height))
