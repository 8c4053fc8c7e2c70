"""`cleanplate mask`: write masks to check, correct and pass to `remove --mask`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cleanplate.arguments import MOST_PIXELS
from cleanplate.cli.options import (
    FilePath,
    former_option,
    json_option,
    name_options,
    overwrite_option,
    region_option,
    removal_option,
    show_progress,
    track_option,
)
from cleanplate.errors import name_count, tame

if TYPE_CHECKING:
    from cleanplate.masks.finding import SearchResult

Command = TypeVar("Command", bound=Callable[..., Any])
Progress = Callable[[int, int | None], None]

_PATH = FilePath(path_type=Path)


def dilate_option(command: Command) -> Command:
    """Add `--dilate` and its former name."""
    former = former_option("--grow", "--dilate", "dilate", type=click.IntRange(0, MOST_PIXELS))
    return removal_option("dilate", default=0)(former(command))


def output_options(command: Command) -> Command:
    """Add the options of all commands that write masks: OUT, preview, overwrite, JSON."""
    options = (
        click.argument("source", metavar="INPUT", type=_PATH),
        click.option(
            "-o",
            "--output",
            required=True,
            metavar="OUT",
            type=_PATH,
            help="A video file, or (no extension) a folder for PNGs, with one mask per frame.",
        ),
        click.option(
            "--preview",
            metavar="FILE",
            type=_PATH,
            help="Also overlay the masks on the frames: in a video, or on one sheet as .png.",
        ),
        overwrite_option("OUT if it exists"),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(short_help="Find what to remove, and write it as masks.")
def mask() -> None:
    """Find what to remove, and write it as masks for `cleanplate remove --mask`.

    View and edit the masks with any image or video editor: white is removed. `remove` grows them
    again, by its own --dilate (4 pixels unless given).
    """


@mask.command(short_help="Track an object from a box on one frame.")
@output_options
@track_option
@former_option("--box", "--track", "tracks", multiple=True)
@click.option("--shadows", is_flag=True, help="Also mask the shadow that moves with it.")
@click.option(
    "--correct",
    metavar="FOLDER",
    type=_PATH,
    help="Masks corrected by hand for some frames, named by frame number as in OUT. The other"
    " frames are tracked from them.",
)
@click.option(
    "--sam",
    metavar="FOLDER",
    type=_PATH,
    help="Track with the SAM 2 weights in FOLDER. Needs the extra [sam].",
)
def track(
    source: Path,
    tracks: tuple[str, ...],
    shadows: bool,
    correct: Path | None,
    sam: Path | None,
    **options: Any,
) -> None:
    """Track an object from a box on one frame, and write a mask for every frame."""
    if not tracks and correct is None:
        raise click.UsageError("nothing to follow: give --track", click.get_current_context())
    reads = [path for path in (correct, sam) if path is not None]
    from cleanplate.masks.finding import follow_objects

    def find(progress: Progress | None) -> SearchResult:
        return follow_objects(source, tracks, shadows, correct, sam, progress)

    _record(source, "track", find, reads, **options)


@mask.command()
@output_options
@region_option
@dilate_option
@click.option("--keep-bars", is_flag=True, help="Mask the letters only, not the bar behind them.")
def text(source: Path, region: str | None, dilate: int, keep_bars: bool, **options: Any) -> None:
    """Find burned-in subtitles, captions and other text. Needs the extra [text]."""
    from cleanplate.masks.finding import find_captions

    def find(progress: Progress | None) -> SearchResult:
        return find_captions(source, region, progress, dilate=dilate, bars=not keep_bars)

    _record(source, "find text", find, **options)


@mask.command(short_help="Find static logos and watermarks.")
@output_options
@dilate_option
def logo(source: Path, dilate: int, **options: Any) -> None:
    """Find logos and watermarks: what stays in place while the picture moves."""
    from cleanplate.masks.finding import find_marks

    _record(source, "find logo", lambda progress: find_marks(source, dilate, progress), **options)


def _record(
    source: Path,
    label: str,
    find: Callable[[Progress | None], SearchResult],
    reads: Sequence[Path] = (),
    *,
    output: Path,
    preview: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find masks, write them with their preview, and print a summary.

    `label` names the search in its progress bar; `reads` is what it reads other than `source`.
    """
    from cleanplate import __version__
    from cleanplate.masks.writing import check_outputs, record_masks

    began = time.monotonic()
    check_outputs(source, output, preview=preview, reads=reads, overwrite=overwrite)
    with show_progress(label) as progress:
        found = find(progress)
    with show_progress("write") as progress:
        done = record_masks(
            source, found.source, output, preview=preview, overwrite=overwrite, progress=progress
        )
    report = {
        "cleanplate": __version__,
        "input": str(source),
        "output": str(output),
        "preview": str(preview) if preview else None,
        **asdict(done),
        **found.details,
        "seconds": time.monotonic() - began,
        "notes": [name_options(note) for note in found.notes],
    }
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(_summarise(report)))


def _summarise(report: dict[str, Any]) -> list[str]:
    """Format the summary for the terminal."""
    lines = [
        f"{report['output']}: {name_count(report['frames'], 'mask')} in"
        f" {report['seconds']:.1f} s, a hole in"
        f" {report['frames_with_hole']}, {100 * report['hole_share']:.1f} % of the picture",
        *([f"preview: {report['preview']}"] if report["preview"] else []),
        *(f"note: {note}" for note in report["notes"]),
    ]
    return [tame(line) for line in lines]
