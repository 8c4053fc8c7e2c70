"""`cleanplate remove`: read a video and a mask, write the video without the masked object."""

from __future__ import annotations

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
    logo_option,
    mask_threshold_option,
    name_options,
    region_option,
    removal_options,
    show_progress,
    text_option,
    track_option,
)
from cleanplate.cli.quiet import print_result, quiet_option
from cleanplate.cli.trial import print_forecast, print_trial, trial_options

if TYPE_CHECKING:
    from cleanplate.masks import MaskSource
    from cleanplate.masks.finding import SearchResult
    from cleanplate.removal import Report


_SECTIONS = {
    "Common options": (
        "output", "paths", "boxes", "tracks", "text", "logo",
        "dilate", "feather", "method", "crf", "resume", "overwrite",
    ),
    "Format options": ("codec", "preset", "lossless", "audio", "patch"),
    "Mask options": (
        "overlay", "invert", "mask_threshold", "region", "exact_mask", "mask_out",
    ),
    "Trial options": ("seconds", "dry_run", "start", "end"),
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
    metavar="OUTPUT",
    type=FilePath(path_type=Path),
    help="A video file, or (no extension) a folder for PNGs. For a photograph also .png, .tif or"
    " .jpg. Default: next to INPUT, such as clip-clean.mp4 for clip.mp4.",
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
@text_option
@region_option
@logo_option
@removal_options("overlay", "mask_out")
@removal_options("start", "end")
@trial_options
@removal_options("method", "model", "blend", "dilate", "feather", "exact_mask", "fields")
@removal_options("plates_out", "plates", "clean", "truth_out")
@invert_option
@mask_threshold_option
@removal_options("codec", "preset", "crf", "lossless", "audio", "patch")
@removal_options("device", "precision", "threads", "max_memory")
@removal_options("resume", "journal", "keep_going", "overwrite")
@quiet_option
@json_option
def remove(
    source: Path,
    output: Path | None,
    paths: tuple[Path, ...],
    boxes: tuple[str, ...],
    tracks: tuple[str, ...],
    text: bool,
    region: str | None,
    logo: bool,
    invert: bool,
    mask_threshold: int,
    seconds: float | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Remove the masked object from INPUT: a video, a folder of images or a photograph."""
    if not (paths or boxes or tracks or text or logo or options["overlay"]):
        raise click.UsageError(
            "nothing to remove: give --mask, --box, --track, --text, --logo or --overlay",
            click.get_current_context(),
        )
    if region is not None and not text:
        raise click.UsageError("--region needs --text", click.get_current_context())
    if invert and not paths:
        raise click.UsageError("--invert needs --mask", click.get_current_context())
    if options["keep_going"] and (tracks or text or logo):
        raise click.UsageError(
            "--keep-going works with --mask and --box, not with --track, --text and --logo",
            click.get_current_context(),
        )
    if dry_run and seconds is not None:
        raise click.UsageError("give --try or --dry-run, not both", click.get_current_context())
    if options["lossless"] and options["crf"] is not None:
        raise click.UsageError("give --crf or --lossless, not both", click.get_current_context())
    from cleanplate import removal
    from cleanplate.masks.finding import Search
    from cleanplate.motion.propagation import limit_threads
    from cleanplate.video import name_output

    if options["threads"]:
        limit_threads(options["threads"])
    sources = _open_masks(paths, boxes, mask_threshold, invert)
    search = Search(tracks, text, region, logo)
    found: list[SearchResult] = []
    if search:
        codec = options["codec"]
        checked = output or name_output(source, codec=codec)
        if seconds is not None:
            checked = name_output(output or source, "try", codec=codec)
        _check_early(source, checked, paths, **options)
        found = search.run(source, show_progress)
    sources += [one.source for one in found]
    notes = [note for one in found for note in one.notes]
    if dry_run or seconds is not None:
        marks = [*map(str, paths), *(f"box {box}" for box in boxes), *search.describe()]
        with closing(_unite(sources)) as masks:
            if dry_run:
                print_forecast(source, output, masks, [*marks, *notes], as_json, **options)
            else:
                print_trial(source, output, masks, seconds or 3, notes, as_json, **options)
        return
    with closing(_unite(sources)) as masks, show_progress(source.name) as progress:
        report = removal.remove(source, output, masks=masks, progress=progress, **options)
    print_report(replace(report, notes=[*report.notes, *notes]), as_json)


def print_report(report: Report, as_json: bool) -> None:
    """Print a report on stdout: as text, or as JSON and nothing else."""

    report = replace(report, notes=[name_options(note) for note in report.notes])
    print_result(report.to_json(), report.summary(), as_json)


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
    patch: Path | None,
    codec: str,
    crf: int | None,
    lossless: bool,
    preset: str | None,
    plates: Path | None,
    clean: tuple[str, ...],
    overlay: Path | None,
    model: str | None,
    start: str | None,
    end: str | None,
    overwrite: bool,
    **others: object,
) -> None:
    """Check outputs and given pictures before the long search instead of after it."""
    from cleanplate.masks.writing import check_outputs
    from cleanplate.options import RemoveOptions
    from cleanplate.removal.plate_files import check_plates_out, list_given_paths, open_given
    from cleanplate.removal.preparation import probe_part
    from cleanplate.video.patch import check_patch
    from cleanplate.video.writer import check_coding

    models = [model] if model and os.path.isfile(model) else []
    if overlay is not None:
        from cleanplate.overlays import read_profile

        read_profile(overlay)
        models.append(str(overlay))
    given = RemoveOptions(plates=plates, clean=clean, start=start, end=end)
    reads: list[str | os.PathLike[str]] = [*masks, *models, *list_given_paths(given)]
    check_patch(patch)
    maps = [mask_out, truth_out, patch]
    check_outputs(source, output, *maps, reads=reads, overwrite=overwrite)
    others_out = [output, *(path for path in maps if path is not None)]
    check_plates_out(plates_out, source, others_out, reads, overwrite=overwrite)
    info = probe_part(source, given)
    check_coding(output, info, codec=codec, crf=crf, lossless=lossless, preset=preset)
    if plates is not None or clean:
        open_given(given, info, decode=False)
