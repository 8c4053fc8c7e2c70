"""`cleanplate models`: which networks there are, what a checkpoint holds, other formats."""

from __future__ import annotations

from pathlib import Path

import click

from cleanplate.cli.options import overwrite_option
from cleanplate.errors import OutputError, WeightsError, tame
from cleanplate.files import find_place
from cleanplate.places import check_places

_DESCRIPTIONS = {"default": "trained by this project, part of cleanplate"}


@click.group()
def models() -> None:
    """List, inspect, check and convert checkpoints."""


@models.command("list")
def list_names() -> None:
    """Print the names that --model takes; it also takes a checkpoint file."""
    from cleanplate.model import info

    for name, description in _DESCRIPTIONS.items():
        try:
            found = info(name)
            state = f"{found.parameters:,} parameters, {found.size / 1e6:.1f} MB"
        except WeightsError:
            state = "not installed"
        click.echo(f"{name:8} {state}; {description}")


@models.command()
@click.argument("checkpoint", metavar="[NAME|FILE]", default="default")
def show(checkpoint: str) -> None:
    """Print what a checkpoint says about itself."""
    from cleanplate.model import info

    found = info(checkpoint)
    click.echo(f"architecture  {found.architecture}")
    click.echo(f"parameters    {found.parameters:,}")
    click.echo(f"stored as     {', '.join(found.dtypes)}")
    click.echo(f"size          {found.size:,} bytes")
    click.echo(f"sha256        {found.checksum}")
    for name, value in sorted(found.metadata.items()):
        click.echo(tame(f"{name:13} {value}"))


@models.command()
@click.argument("checkpoint", metavar="[NAME|FILE]", default="default")
def verify(checkpoint: str) -> None:
    """Load a checkpoint with all checks: checksum of 'default', shapes, finite values."""
    from cleanplate.model import load

    load(checkpoint)
    click.echo(tame(f"{checkpoint}: good"))


@models.command()
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
@click.argument("target", metavar="TO", type=click.Path(path_type=Path))
@click.option("--half", is_flag=True, help="Store numbers in 16 bits: half the size.")
@overwrite_option("TO")
def convert(source: Path, target: Path, half: bool, overwrite: bool) -> None:
    """Write the checkpoint FROM as TO: safetensors, or a .pth for STTN's released code."""
    if target.suffix not in (".safetensors", ".pth"):
        raise OutputError(f"{target} ends in neither .safetensors nor .pth; choose such a name")
    if half and target.suffix == ".pth":
        raise OutputError(f"{target}: the released code reads 32 bits only; leave --half out")
    check_places([target], [source])
    find_place(target, "a file", overwrite=overwrite)
    import torch

    from cleanplate.model import load, save
    from cleanplate.model.released import save_released

    network = load(source)
    if target.suffix == ".pth":
        save_released(network, target)
    else:
        save(network, target, dtype=torch.float16 if half else None)
    click.echo(tame(f"{target}: {target.stat().st_size / 1e6:.1f} MB"))
