"""`cleanplate evaluate`, `attention` and `benchmark`: quality, attention maps, speed."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanplate.cli.options import (
    FilePath,
    json_option,
    removal_option,
    removal_options,
    rename_method,
    show_progress,
)
from cleanplate.errors import CleanplateError, tame

if TYPE_CHECKING:
    from cleanplate.research.evaluation.report import Report
    from cleanplate.research.training import Recipe
    from cleanplate.research.training.feed import Data
    from cleanplate.types import Size

_PATH = FilePath(path_type=Path)


def _split_names(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]


def _split_methods(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    return [rename_method(name) for name in _split_names(context, option, value)]


@click.command(short_help="Measure methods on sequences with known backgrounds.")
@click.argument("data", type=_PATH)
@click.option(
    "--protocol",
    type=click.Choice(["folder", "paper", "objects"]),
    default="folder",
    show_default=True,
    help="folder: masks as given; paper: random masks as in the paper, frames at 432x240;"
    " objects: annotated objects, without a ground truth.",
)
@click.option(
    "--methods",
    default="auto,telea,navier-stokes,median",
    show_default=True,
    metavar="NAME,…",
    callback=_split_methods,
    help="auto, flow, network, telea, navier-stokes, median, delogo; NAME=FOLDER for another"
    " program's results; NAME=CHECKPOINT for a network alone, NAME=auto:CHECKPOINT for it behind"
    " the propagation.",
)
@removal_option("model")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=_PATH,
    help="Folder for report.json, report.md and report.html.",
)
@click.option("--split", metavar="NAME", help="A split of the data set, such as train or val.")
@click.option(
    "--only", default="", metavar="NAME,…", callback=_split_names, help="Only these sequences."
)
@click.option("--i3d", type=_PATH, metavar="FILE", help="Weights of I3D, for VFID.")
@click.option("--lpips", type=_PATH, metavar="FILE", help="Weights of LPIPS.")
@removal_options("device", "precision")
@click.option(
    "--resume", is_flag=True, help="Continue the run in DIR, if its settings are the same."
)
def evaluate(
    data: Path, output: Path, i3d: Path | None, lpips: Path | None, **options: Any
) -> None:
    """Measure methods on DATA: sequences with `frames` and folders of masks, DAVIS, or others."""
    from cleanplate.research.evaluation import run

    with show_progress("evaluate") as progress:
        weights = run.Weights(i3d=i3d, lpips=lpips)
        report = run.evaluate(data, output, weights=weights, progress=progress, **options)
    _print_means(report)
    click.echo(tame(f"report: {output / 'report.html'}, report.md, report.json"))
    if report.failures:
        raise CleanplateError(
            f"{len(report.failures)} of {len(report.rows)} runs failed (first"
            f" {_name_first(report)}); the others are in the report"
        )


def _name_first(report: Report) -> str:
    row = report.failures[0]
    return f"{row['method']} on {row['sequence']}, {row['mask']}: {row['error']}"


def _print_means(report: Report) -> None:
    """Format means and notes for the terminal."""
    from cleanplate.research.evaluation.report import make_means

    for mask, means in report.means.items():
        click.echo(make_means(mask, means, report.metrics, report.gaps).to_markdown())
    for note in report.notes:
        click.echo(tame(note))


@click.command(short_help="Show which patches the network attended to.")
@click.argument("source", metavar="INPUT", type=FilePath(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=FilePath(path_type=Path),
    help="A new folder for pictures, a video and numbers.",
)
@click.option(
    "--mask",
    "path",
    required=True,
    metavar="PATH",
    type=FilePath(path_type=Path),
    help="The hole, in white: an image, a folder with one image per frame, or a video.",
)
@click.option("--frame", type=click.IntRange(0), metavar="N", help="Number of the frame, from 0.")
@click.option("--time", metavar="TIME", help="Time of the frame, such as 2.5 or 1:02.5.")
@removal_option("model", "The network: 'default' (the embedded one) or a checkpoint file.")
@removal_options("dilate", "device")
@json_option
def attention(
    source: Path,
    output: Path,
    path: Path,
    frame: int | None,
    time: str | None,
    model: str | None,
    dilate: int,
    device: str,
    as_json: bool,
) -> None:
    """Show which patches of which frames the network attended to for one frame of INPUT."""
    if (frame is None) == (time is None):
        raise click.UsageError("name a frame by --frame or --time", click.get_current_context())
    from cleanplate import network as networks
    from cleanplate.machine import choose_device
    from cleanplate.masks import open_mask, parse_time
    from cleanplate.options import DEFAULT
    from cleanplate.removal.windows import WindowFiller
    from cleanplate.research.evaluation.attention import (
        choose_spread,
        find_frame,
        observe,
        read_surroundings,
    )
    from cleanplate.research.evaluation.attention_report import AttentionReport, check_folder
    from cleanplate.storage.paths import check_places
    from cleanplate.video import probe

    model = model or DEFAULT
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


class _BenchmarkGroup(click.Group):
    """A group that passes arguments without a command name to `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_BenchmarkGroup, short_help="Measure speed and memory.")
def benchmark() -> None:
    """Measure speed: `benchmark [INPUT --mask PATH] …` is `benchmark run`."""


@benchmark.command("run", short_help="Time a removal by stages, against the limits of the machine.")
@click.argument("source", metavar="[INPUT]", required=False, type=FilePath(path_type=Path))
@click.option("--mask", type=FilePath(path_type=Path), help="Mask of what to remove.")
@removal_options("method", "model", "device", "precision")
@click.option("--size", metavar="WxH", help="Size of the rendered clip.  [default: 432x240]")
@click.option(
    "--frames",
    type=click.IntRange(2),
    metavar="N",
    help="Number of frames of the rendered clip.  [default: 80]",
)
@click.option(
    "--against-plain",
    is_flag=True,
    help="Also run a plain version of STTN's released inference, on some of its windows.",
)
@click.option(
    "--windows",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    metavar="N",
    help="Number of these windows, from the middle of the clip.",
)
@click.option("--all-windows", is_flag=True, help="Run all windows; takes long.")
@click.option("--no-ceilings", is_flag=True, help="Do not measure the machine's limits.")
@json_option
def benchmark_run(
    source: Path | None,
    mask: Path | None,
    size: str | None,
    frames: int | None,
    against_plain: bool,
    windows: int,
    all_windows: bool,
    no_ceilings: bool,
    as_json: bool,
    **options: str,
) -> None:
    """Measure a removal's time by stage, its memory, and the limits of the machine.

    Without INPUT, render the demo's clip. --model sttn is the paper's network with random weights.
    """
    from tempfile import TemporaryDirectory

    from cleanplate.research.benchmarks.run import Plan
    from cleanplate.research.benchmarks.run import run as measure
    from cleanplate.types import Size

    if (source is None) != (mask is None):
        raise click.UsageError("INPUT and --mask go together; without both, a clip is rendered")
    if source is not None and (size or frames):
        raise click.UsageError("--size and --frames describe the rendered clip; leave INPUT out")
    plan = Plan(
        source,
        mask,
        _parse_size(size) if size else Size(432, 240),
        frames or 80,
        against_plain=against_plain,
        windows=None if all_windows else windows,
        ceilings=not no_ceilings,
        **options,
    )
    with TemporaryDirectory() as folder:
        found = measure(plan, Path(folder))
    click.echo(json.dumps(found.to_json(), indent=2) if as_json else "\n".join(found.summary()))


@benchmark.command("train", short_help="Measure training samples per second.")
@click.option(
    "--recipe",
    "name",
    type=click.Choice(["light-cpu", "light", "sttn"]),
    default="light",
    show_default=True,
    help="As in `cleanplate train`.",
)
@click.option(
    "--clips", type=FilePath(path_type=Path), metavar="DATA", help="As in `cleanplate train`."
)
@click.option("--photographs", type=FilePath(path_type=Path), help="As in `cleanplate train`.")
@click.option(
    "--cache",
    type=FilePath(path_type=Path),
    help="As in `cleanplate train`; by default a temporary folder.",
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="As in `cleanplate train`.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Steps to time, after two warm-up steps.",
)
@removal_option("device")
@json_option
def benchmark_train(
    name: str,
    clips: Path | None,
    photographs: Path | None,
    cache: Path | None,
    batch: int | None,
    steps: int,
    device: str,
    as_json: bool,
) -> None:
    """Measure training samples per second and the fraction of time the device waits for data.

    Without --clips and --photographs, train on noise. Weights are not kept.
    """

    from dataclasses import replace
    from tempfile import TemporaryDirectory

    import torch

    from cleanplate.machine import choose_device
    from cleanplate.research.training import RECIPES
    from cleanplate.research.training.loop import measure

    where = torch.device(choose_device(device))
    recipe = replace(RECIPES[name], batch=batch or RECIPES[name].batch)
    with TemporaryDirectory() as folder, show_progress("benchmark", "steps") as progress:
        data = _open_data(clips, photographs, cache or Path(folder), recipe)
        found = measure(recipe, data, where, steps, progress)
    settings = {"recipe": name, "batch": recipe.batch, "device": str(where)}
    if as_json:
        click.echo(json.dumps({**settings, **found.to_json()}, indent=2))
        return
    click.echo("\n".join(f"{key:18} {value}" for key, value in settings.items()))
    click.echo("\n".join(found.summary()))


def _open_data(clips: Path | None, photographs: Path | None, cache: Path, recipe: Recipe) -> Data:
    """Open the given data, or noise."""
    from cleanplate.research.data.clips import make_clips
    from cleanplate.research.training import DataPlan, prepare
    from cleanplate.research.training.feed import draw_from

    if clips is None and photographs is None:
        return draw_from(make_clips(), [], recipe)
    return prepare(DataPlan(clips, photographs, cache), recipe)


def _parse_size(text: str) -> Size:
    from cleanplate.types import Size

    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise click.UsageError(f"--size '{text}' is not WIDTHxHEIGHT, such as 432x240")
    return Size(int(width), int(height))
