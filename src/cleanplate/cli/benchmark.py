"""`cleanplate benchmark`: how fast this machine does the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanplate.cli.options import device_option, json_option
from cleanplate.cli.progress import show_progress

if TYPE_CHECKING:
    from cleanplate.training import Recipe
    from cleanplate.training.data import Data


@click.group()
def benchmark() -> None:
    """Measure speed."""


@benchmark.command()
@click.option(
    "--recipe",
    "name",
    type=click.Choice(["light-cpu", "light", "sttn"]),
    default="light",
    show_default=True,
    help="As in `cleanplate train`.",
)
@click.option("--clips", type=click.Path(path_type=Path), help="As in `cleanplate train`.")
@click.option("--photographs", type=click.Path(path_type=Path), help="As in `cleanplate train`.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder for decoded frames, such as a run's RUN/cache; without it a temporary one.",
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Clips a step.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Steps to time; two more come before.",
)
@device_option
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
    """Samples a second in training, and the share of time the device waits for data.

    Without --clips and --photographs it trains on noise. No weights are kept.
    """
    from dataclasses import replace
    from tempfile import TemporaryDirectory

    import torch

    from cleanplate.pipeline.models import choose_device
    from cleanplate.training import RECIPES
    from cleanplate.training.throughput import measure

    where = torch.device(choose_device(device))  # type: ignore[arg-type]
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
    """The data that were named, or noise."""
    from cleanplate.datasets.noise import make_clips
    from cleanplate.training import DataPlan, prepare
    from cleanplate.training.data import draw_from

    if clips is None and photographs is None:
        return draw_from(make_clips(), [], recipe)
    return prepare(DataPlan(clips, photographs, cache), recipe)
