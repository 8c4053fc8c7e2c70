"""`cleanplate demo`: remove a ball from a rendered clip, and compare with the ground truth."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from cleanplate.cli.options import (
    FilePath,
    json_option,
    overwrite_option,
    removal_options,
    show_progress,
)
from cleanplate.errors import OutputError


@click.command(short_help="Remove a ball from a rendered clip and compare with the ground truth.")
@click.argument("folder", default="demo", type=FilePath(path_type=Path))
@click.option(
    "--frames",
    type=click.IntRange(2, 2000),
    default=60,
    show_default=True,
    metavar="N",
    help="Number of frames of the rendered clip.",
)
@removal_options("method", "model", "device")
@overwrite_option("an earlier demo in FOLDER")
@json_option
def demo(folder: Path, frames: int, overwrite: bool, as_json: bool, **options: Any) -> None:
    """Make a clip, remove the ball from it and show the result in FOLDER (default: demo)."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(f"{folder} is not empty; name another folder or give --overwrite")
    _check_demo(folder)
    from cleanplate.cli.showcase import run_demo

    with show_progress("demo") as progress:
        result = run_demo(folder, frames, progress=progress, **options)
    click.echo(json.dumps(result.to_json(), indent=2) if as_json else "\n".join(result.summary()))


def _check_demo(folder: Path) -> None:
    """Raise OutputError when frames or masks in `folder` are not an earlier demo's."""
    parts = [folder / name for name in ("frames", "masks", "truth")]
    there = [part for part in parts if os.path.lexists(part)]
    linked = any(part.is_symlink() for part in there)
    if linked or (there and not parts[-1].is_dir()):
        raise OutputError(f"{there[0]} is not an earlier demo's; name another folder")
