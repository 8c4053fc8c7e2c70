"""`cleanplate overlay`: learn half-transparent logos, to recover what shines through them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from cleanplate.cli.options import (
    FilePath,
    json_option,
    overwrite_option,
    removal_option,
    show_progress,
)
from cleanplate.errors import name_count, tame

_PATH = FilePath(path_type=Path)


@click.group(short_help="Learn half-transparent logos, to see through them.")
def overlay() -> None:
    """Learn half-transparent overlays for `cleanplate remove --overlay`.

    Channel logos, time stamps and dark bars are often half transparent: the picture is still in
    them. Once its opacity and colour are known, an overlay can be taken off again.
    """


@overlay.command(short_help="Learn an overlay from videos that show it.")
@click.argument("sources", metavar="FILES...", nargs=-1, required=True, type=_PATH)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    type=_PATH,
    help="The profile, a file such as logo.overlay.",
)
@click.option(
    "--mask",
    "paths",
    multiple=True,
    metavar="PATH",
    type=_PATH,
    help="Image that marks the overlay in white. Can be repeated.",
)
@click.option(
    "--box",
    "boxes",
    multiple=True,
    metavar="X,Y,W,H",
    help="A rectangle around the overlay, in pixels. Can be repeated.",
)
@click.option(
    "--preview",
    metavar="FILE",
    type=_PATH,
    help="Also draw the overlay on black, grey and white, as a .png.",
)
@removal_option("threads")
@overwrite_option("OUT if it exists")
@json_option
def learn(
    sources: tuple[Path, ...],
    output: Path,
    paths: tuple[Path, ...],
    boxes: tuple[str, ...],
    preview: Path | None,
    threads: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Learn the opacity and colour of an overlay from FILES that show it at the same place.

    The more the picture behind it varies, the better: several shots or files, and a camera that
    moves. A close mask or box helps.
    """
    if not (paths or boxes):
        raise click.UsageError(
            "nothing marks the overlay: give --mask or --box", click.get_current_context()
        )
    from cleanplate import removal

    began = time.monotonic()
    with show_progress("learn") as progress:
        found = removal.learn_overlay(
            list(sources),
            output,
            masks=list(paths),
            box=list(boxes),
            preview=preview,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    box = found.profile.box
    report: dict[str, Any] = {
        "output": str(output),
        "preview": str(preview) if preview else None,
        "frames": found.frames,
        "box": str(box),
        "opacity": round(found.opacity, 3),
        "learned": round(found.learned, 3),
        "opaque": round(found.opaque, 3),
        "seconds": time.monotonic() - began,
    }
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(_summarise(report)))


def _summarise(report: dict[str, Any]) -> list[str]:
    """Format the summary for the terminal."""
    lines = [
        f"{report['output']}: learned from {name_count(report['frames'], 'frame')} in"
        f" {report['seconds']:.1f} s, opacity {100 * report['opacity']:.0f} %,"
        f" {100 * report['learned']:.0f} % of it known",
        *([f"preview: {report['preview']}"] if report["preview"] else []),
    ]
    if report["opaque"] > 0.01:
        share = 100 * report["opaque"]
        lines.append(f"note: nothing shines through {share:.0f} % of it, which will be filled")
    return [tame(line) for line in lines]
