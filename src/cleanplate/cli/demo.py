"""`cleanplate demo`: see it work on a clip made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cleanplate.cli.options import (
    device_option,
    json_option,
    method_option,
    model_option,
    overwrite_option,
)
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
@method_option
@model_option
@device_option
@overwrite_option("an earlier demo in FOLDER")
@json_option
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
