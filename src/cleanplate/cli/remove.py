"""`cleanplate remove`: read a video and a mask, write the video without the masked object."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanplate.cli.options import (
    FilePath,
    SectionedCommand,
    invert_option,
    json_option,
    mask_threshold_option,
    name_options,
    region_option,
    removal_options,
    show_progress,
    track_option,
)

if TYPE_CHECKING:
    from cleanplate.cli.mask import Finder
    from cleanplate.masks import MaskSource
    from cleanplate.removal import Report


_SECTIONS = {
    "Common options": (
        "output", "paths", "boxes", "tracks", "text", "mask_out",
        "dilate", "feather", "method", "crf", "resume", "overwrite",
    ),
    "Mask options": ("overlay", "invert", "mask_threshold", "region", "exact_mask"),
    "Plate options": ("plates_out", "plates", "clean", "truth_out"),
}  # fmt: skip
"""Headings of the help, and the parameters below each."""


@click.command(
    cls=SectionedCommand,
    sections=_SECTIONS,
    short_help="Remove what a mask, box or track covers from a video.",
)
@click.argument("source", metavar="INPUT", type=FilePath(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUTPUT",
    type=FilePath(path_type=Path),
    help="A video file, or (no extension) a folder for PNGs. For a photograph also .png or .jpg.",
)
@click.option(
    "--mask",
    "paths",
    multiple=True,
    metavar="PATH",
    type=FilePath(path_type=Path),
    help="What to remove, in white: one image for all frames, a folder with one image per"
    " frame, or a video. Can be repeated.",
)
@click.option(
    "--box",
    "boxes",
    multiple=True,
    metavar="X,Y,W,H[@START-END]",
    help="A rectangle to remove, in pixels. @START-END limits it to a time span, such as"
    " @2.5-7, @1:30- or @-0:04. Can be repeated.",
)
@track_option
@click.option(
    "--text",
    is_flag=True,
    help="Detect and remove burned-in subtitles and captions. Needs the extra [text].",
)
@region_option
@removal_options("overlay", "mask_out")
@removal_options("method", "model", "blend", "dilate", "feather", "exact_mask", "fields")
@removal_options("plates_out", "plates", "clean", "truth_out")
@invert_option
@mask_threshold_option
@removal_options("device", "precision", "crf", "lossless", "audio", "threads", "max_memory")
@removal_options("resume", "journal", "keep_going", "overwrite")
@json_option
def remove(
    source: Path,
    output: Path,
    paths: tuple[Path, ...],
    boxes: tuple[str, ...],
    tracks: tuple[str, ...],
    text: bool,
    region: str | None,
    invert: bool,
    mask_threshold: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Remove the masked object from INPUT: a video, a folder of images or a photograph."""
    if not (paths or boxes or tracks or text or options["overlay"]):
        raise click.UsageError(
            "nothing to remove: give --mask, --box, --track, --text or --overlay",
            click.get_current_context(),
        )
    if region is not None and not text:
        raise click.UsageError("--region needs --text", click.get_current_context())
    if invert and not paths:
        raise click.UsageError("--invert needs --mask", click.get_current_context())
    if options["keep_going"] and (tracks or text):
        raise click.UsageError(
            "--keep-going works with --mask and --box, not with --track and --text",
            click.get_current_context(),
        )
    if options["lossless"] and options["crf"] is not None:
        raise click.UsageError("give --crf or --lossless, not both", click.get_current_context())
    from cleanplate import removal
    from cleanplate.motion.propagation import limit_threads

    if options["threads"]:
        limit_threads(options["threads"])
    sources = _open_masks(paths, boxes, mask_threshold, invert)
    found: list[Finder] = []
    if tracks or text:
        from cleanplate.cli.mask import find_captions, follow_objects

        _check_early(source, output, paths, **options)
        found += [follow_objects(source, tracks)] if tracks else []
        found += [find_captions(source, region)] if text else []
    sources += [one.source for one in found]
    with closing(_unite(sources)) as masks, show_progress(source.name) as progress:
        report = removal.remove(source, output, masks=masks, progress=progress, **options)
    notes = [*report.notes, *(note for one in found for note in one.notes)]
    print_report(replace(report, notes=notes), as_json)


def print_report(report: Report, as_json: bool) -> None:
    """Print a report on stdout: as text, or as JSON and nothing else."""

    report = replace(report, notes=[name_options(note) for note in report.notes])
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else "\n".join(report.summary()))


def _open_masks(
    paths: tuple[Path, ...], boxes: tuple[str, ...], threshold: int, invert: bool
) -> list[MaskSource]:
    """Open the masks and boxes given on the command line."""
    from cleanplate.masks import BoxMask, TimedBox, open_mask

    sources: list[MaskSource] = []
    if boxes:
        sources.append(BoxMask([TimedBox.parse(text) for text in boxes]))
    sources.extend(open_mask(path, threshold=threshold, invert=invert) for path in paths)
    return sources


def _unite(sources: list[MaskSource]) -> MaskSource:
    """Join everything to remove, apart from an overlay, into one source."""
    from cleanplate.masks import EmptyMask, Union

    return Union(sources) if sources else EmptyMask()


def _check_early(
    source: Path,
    output: Path,
    masks: tuple[Path, ...],
    *,
    mask_out: Path | None,
    plates_out: Path | None,
    truth_out: Path | None,
    plates: Path | None,
    clean: tuple[str, ...],
    overlay: Path | None,
    model: str | None,
    overwrite: bool,
    **others: object,
) -> None:
    """Check outputs and given pictures before the long search instead of after it."""
    from cleanplate.masks.writing import check_outputs
    from cleanplate.options import RemoveOptions
    from cleanplate.removal.plate_files import check_plates_out, list_given_paths, open_given
    from cleanplate.video import probe

    models = [model] if model and os.path.isfile(model) else []
    if overlay is not None:
        from cleanplate.overlays import read_profile

        read_profile(overlay)
        models.append(str(overlay))
    given = RemoveOptions(plates=plates, clean=clean)
    reads: list[str | os.PathLike[str]] = [*masks, *models, *list_given_paths(given)]
    maps = [mask_out, truth_out]
    check_outputs(source, output, *maps, reads=reads, overwrite=overwrite)
    others_out = [output, *(path for path in maps if path is not None)]
    check_plates_out(plates_out, source, others_out, reads, overwrite=overwrite)
    if plates is not None or clean:
        open_given(given, probe(source), decode=False)
