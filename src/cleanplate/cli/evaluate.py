"""`cleanplate evaluate`: measure methods side by side, and write a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanplate.cli.options import device_option, model_option, precision_option
from cleanplate.cli.progress import show_progress
from cleanplate.errors import CleanplateError, tame

if TYPE_CHECKING:
    from cleanplate.evaluation.report import Report

_PATH = click.Path(path_type=Path)


def _split_names(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]


@click.command()
@click.argument("data", type=_PATH)
@click.option(
    "--protocol",
    type=click.Choice(["folder", "paper", "objects"]),
    default="folder",
    show_default=True,
    help="folder: masks as given; paper: masks drawn as in the paper, frames at 432x240;"
    " objects: annotated objects, without a known truth.",
)
@click.option(
    "--methods",
    default="auto,telea,navier-stokes,median",
    show_default=True,
    metavar="NAME,…",
    callback=_split_names,
    help="auto, sttn, flow, telea, navier-stokes, median, delogo; NAME=FOLDER for another"
    " program's results; NAME=CHECKPOINT for a network alone, NAME=auto:CHECKPOINT for it behind"
    " the propagation.",
)
@model_option
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=_PATH,
    help="Folder for report.json, report.md and report.html.",
)
@click.option("--split", metavar="NAME", help="A split of the data set, such as val.")
@click.option(
    "--only", default="", metavar="NAME,…", callback=_split_names, help="Only these sequences."
)
@click.option("--i3d", type=_PATH, metavar="FILE", help="Weights of I3D, for VFID.")
@click.option("--lpips", type=_PATH, metavar="FILE", help="Weights of LPIPS.")
@device_option
@precision_option
@click.option("--resume", is_flag=True, help="Go on with what DIR holds, if the settings agree.")
def evaluate(
    data: Path, output: Path, i3d: Path | None, lpips: Path | None, **options: Any
) -> None:
    """Measure methods on DATA: sequences with `frames` and folders of masks, DAVIS, or others."""
    from cleanplate.evaluation import run

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
    """Means and notes, for people."""
    from cleanplate.evaluation.tables import make_means

    for mask, means in report.means.items():
        click.echo(make_means(mask, means, report.metrics, report.gaps).to_markdown())
    for note in report.notes:
        click.echo(tame(note))
