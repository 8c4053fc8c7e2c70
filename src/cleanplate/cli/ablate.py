"""`cleanplate ablate`: the paper's ablations, trained and scored by one command."""

from __future__ import annotations

from pathlib import Path

import click

from cleanplate.cli.options import device_option
from cleanplate.cli.progress import show_progress


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--clips",
    required=True,
    metavar="DATA",
    type=click.Path(path_type=Path),
    help="Data set: videos, or DAVIS, YouTube-VOS, STTN's zips.",
)
@click.option(
    "--size", default="tiny", show_default=True, help="tiny: minutes on a CPU; full: the paper's."
)
@click.option(
    "--table",
    "numbers",
    type=int,
    multiple=True,
    metavar="N",
    help="Only the paper's table N: 2 patch scales, 3 depth, 6 reference rate, 7 Equation 4,"
    " 8 losses. May be given several times.",
)
@click.option(
    "--list", "path", type=click.Path(path_type=Path), metavar="TOML", help="A list of your own."
)
@device_option
def ablate(
    run: Path, clips: Path, size: str, numbers: tuple[int, ...], path: Path | None, device: str
) -> None:
    """Train and score each row of the paper's ablations in the folder RUN, or go on there."""
    import torch

    from cleanplate.machine import choose_device
    from cleanplate.training import ablation

    plan = ablation.read_plan(path or ablation.ABLATIONS, size, numbers)
    where = torch.device(choose_device(device))
    with show_progress("ablate") as progress:
        found = ablation.ablate(plan, clips, run, where, progress)
    click.echo(ablation.to_markdown(found))
