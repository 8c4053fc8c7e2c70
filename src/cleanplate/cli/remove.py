"""`cleanplate remove`: a video and a mask go in, the video without the thing comes out."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanplate.cli.options import (
    blend_option,
    crf_option,
    device_option,
    dilate_option,
    feather_option,
    json_option,
    lossless_option,
    method_option,
    model_option,
    overwrite_option,
    precision_option,
)
from cleanplate.cli.progress import show_progress

if TYPE_CHECKING:
    from cleanplate.masks import MaskSource
    from cleanplate.pipeline import Report


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUTPUT",
    type=click.Path(path_type=Path),
    help="A video file, or (no extension) a folder for PNGs.",
)
@click.option(
    "--mask",
    "paths",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="What to remove, in white: one image for all frames, a folder with one image a"
    " frame, or a video. May be given several times.",
)
@click.option(
    "--box",
    "boxes",
    multiple=True,
    metavar="X,Y,W,H[@START-END]",
    help="A rectangle to remove, in pixels, if wanted only in a span of time such as"
    " @2.5-7, @1:30- or @-0:04. May be given several times.",
)
@method_option
@model_option
@blend_option
@dilate_option
@feather_option
@click.option("--invert", is_flag=True, help="Remove what --mask leaves black.")
@click.option(
    "--mask-threshold",
    type=click.IntRange(0, 254),
    default=127,
    show_default=True,
    metavar="N",
    help="A mask's values above N (0..255) are marked.",
)
@device_option
@precision_option
@crf_option
@lossless_option
@overwrite_option("OUTPUT")
@json_option
def remove(
    source: Path,
    output: Path,
    paths: tuple[Path, ...],
    boxes: tuple[str, ...],
    invert: bool,
    mask_threshold: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Remove from INPUT, a video file or a folder of images, what the mask covers."""
    if not paths and not boxes:
        raise click.UsageError(
            "nothing to remove: give --mask or --box", click.get_current_context()
        )
    if invert and not paths:
        raise click.UsageError("--invert needs --mask", click.get_current_context())
    if options["lossless"] and options["crf"] is not None:
        raise click.UsageError("give --crf or --lossless, not both", click.get_current_context())
    from cleanplate import pipeline

    with (
        closing(_open_masks(paths, boxes, mask_threshold, invert)) as masks,
        show_progress(source.name) as progress,
    ):
        report = pipeline.remove(source, output, mask=masks, progress=progress, **options)
    print_report(report, as_json)


def print_report(report: Report, as_json: bool) -> None:
    """Print a report for people, or as JSON and nothing else, on stdout."""
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else "\n".join(report.summary()))


def _open_masks(
    paths: tuple[Path, ...], boxes: tuple[str, ...], threshold: int, invert: bool
) -> MaskSource:
    """All that the command line marks, as one source."""
    from cleanplate.masks import BoxMask, TimedBox, Union, open_mask

    sources: list[MaskSource] = []
    if boxes:
        sources.append(BoxMask([TimedBox.parse(text) for text in boxes]))
    sources.extend(open_mask(path, threshold=threshold, invert=invert) for path in paths)
    return Union(sources)
