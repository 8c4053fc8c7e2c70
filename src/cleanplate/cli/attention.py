"""`cleanplate attention`: where the network looked while it filled one frame."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import click

from cleanplate.cli.options import device_option, dilate_option, json_option, model_option
from cleanplate.cli.progress import show_progress


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A new folder for pictures, a video and numbers.",
)
@click.option(
    "--mask",
    "path",
    required=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="The hole, in white: an image, a folder with one image a frame, or a video.",
)
@click.option("--frame", type=click.IntRange(0), metavar="N", help="The frame, counted from 0.")
@click.option("--time", metavar="TIME", help="The frame shown at a time such as 2.5 or 1:02.5.")
@model_option
@dilate_option
@device_option
@json_option
def attention(
    source: Path,
    output: Path,
    path: Path,
    frame: int | None,
    time: str | None,
    model: str,
    dilate: int,
    device: str,
    as_json: bool,
) -> None:
    """Show which patches of which frames the network looked at to fill one frame of INPUT."""
    if (frame is None) == (time is None):
        raise click.UsageError("name a frame by --frame or --time", click.get_current_context())
    from cleanplate import model as networks
    from cleanplate.evaluation.attention import observe
    from cleanplate.evaluation.attention_report import AttentionReport, check_folder
    from cleanplate.evaluation.attention_window import choose_spread, find_frame, read_surroundings
    from cleanplate.machine import choose_device
    from cleanplate.masks import open_mask, parse_time
    from cleanplate.pipeline.windows import WindowFiller
    from cleanplate.places import check_places
    from cleanplate.video import probe

    check_places([output], [source, path, model])
    check_folder(output, source)
    info = probe(source)
    where = choose_device(device)
    network = networks.load(model, device=where)
    with closing(open_mask(path)) as masks, show_progress(source.name) as progress:
        masks.prepare(info)
        number = find_frame(info, parse_time(time)) if time is not None else frame
        filler = WindowFiller(network, device=where)
        around = read_surroundings(
            info,
            masks,
            number or 0,
            filler,
            spread=choose_spread(network),
            dilate=dilate,
            progress=progress,
        )
    seen = observe(network, around.frames, around.masks, around.at)
    report = AttentionReport(info, model, around, seen)
    report.write(output)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else "\n".join(report.summary()))
