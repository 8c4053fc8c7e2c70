"""`cleanplate demo`: see it work on a clip made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cleanplate.cli.progress import show_progress
from cleanplate.errors import OutputError


@click.command()
@click.argument("folder", default="demo", type=click.Path(path_type=Path))
@click.option(
    "--frames",
    type=click.IntRange(2, 2000),
    default=60,
    show_default=True,
    metavar="N",
    help="Length of the clip.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "sttn", "flow"]),
    default="auto",
    show_default=True,
    help="As in `cleanplate remove`.",
)
@click.option(
    "--model",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="As in `cleanplate remove`.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="As in `cleanplate remove`.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo in FOLDER.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON on stdout.")
def demo(folder: Path, frames: int, overwrite: bool, as_json: bool, **options: Any) -> None:
    """Make a clip, remove the ball from it and show the result in FOLDER (default: demo)."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(f"{folder} is not empty; name another folder or give --overwrite")
    from cleanplate.cli.showcase import run_demo

    with show_progress("demo") as progress:
        result = run_demo(folder, frames, progress=progress, **options)
    click.echo(json.dumps(result.to_json(), indent=2) if as_json else "\n".join(result.summary()))
