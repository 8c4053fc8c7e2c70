"""`cleanplate models` and `cleanplate export`: list, inspect, verify, convert networks."""

from __future__ import annotations

from pathlib import Path

import click

from cleanplate.arguments import describe_bytes
from cleanplate.cli.options import FilePath, overwrite_option
from cleanplate.errors import OutputError, WeightsError, tame
from cleanplate.storage.atomic import find_place
from cleanplate.storage.paths import check_places

_DESCRIPTIONS = {"default": "trained by this project, part of cleanplate"}


@click.group(short_help="List, inspect, check and convert checkpoints.")
def models() -> None:
    """List, inspect, check and convert checkpoints."""


@models.command("list", short_help="Print the names that --model takes.")
def list_names() -> None:
    """Print the names that --model takes; it also takes a checkpoint file."""
    from cleanplate.network import info

    for name, description in _DESCRIPTIONS.items():
        try:
            found = info(name)
            state = f"{found.parameters:,} parameters, {describe_bytes(found.size)}"
        except WeightsError:
            state = "not installed"
        click.echo(f"{name:8} {state}; {description}")


@models.command()
@click.argument("checkpoint", metavar="[NAME|FILE]", default="default")
def show(checkpoint: str) -> None:
    """Print the metadata of a checkpoint."""
    from cleanplate.network import info

    found = info(checkpoint)
    click.echo(f"architecture  {found.architecture}")
    click.echo(f"parameters    {found.parameters:,}")
    click.echo(f"stored as     {', '.join(found.dtypes)}")
    click.echo(f"size          {found.size:,} bytes")
    click.echo(f"sha256        {found.checksum}")
    for name, value in sorted(found.metadata.items()):
        click.echo(tame(f"{name:13} {value}"))


@models.command(short_help="Load a checkpoint with all checks.")
@click.argument("checkpoint", metavar="[NAME|FILE]", default="default")
def verify(checkpoint: str) -> None:
    """Load a checkpoint with all checks: checksum of 'default', shapes, finite values."""
    from cleanplate.network import load

    load(checkpoint)
    click.echo(tame(f"{checkpoint}: good"))


@models.command(short_help="Convert a checkpoint to safetensors or .pth.")
@click.argument("source", metavar="FROM", type=FilePath(path_type=Path))
@click.argument("target", metavar="TO", type=FilePath(path_type=Path))
@click.option("--half", is_flag=True, help="Store 16-bit floats: half the size.")
@overwrite_option("TO if it exists")
def convert(source: Path, target: Path, half: bool, overwrite: bool) -> None:
    """Write the checkpoint FROM as TO: safetensors, or a .pth for STTN's released code."""
    if target.suffix not in (".safetensors", ".pth"):
        raise OutputError(f"{target} ends in neither .safetensors nor .pth; choose such a name")
    if half and target.suffix == ".pth":
        raise OutputError(f"{target}: the released code reads 32 bits only; leave --half out")
    check_places([target], [source])
    find_place(target, "a file", overwrite=overwrite)
    import torch

    from cleanplate.network import load, save
    from cleanplate.network.weights import save_released

    network = load(source)
    if target.suffix == ".pth":
        save_released(network, target)
    else:
        save(network, target, dtype=torch.float16 if half else None)
    click.echo(tame(f"{target}: {describe_bytes(target.stat().st_size)}"))


@click.command(short_help="Export a checkpoint as ONNX.")
@click.argument("model", metavar="MODEL")
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    type=FilePath(path_type=Path),
    help="Folder for encoder.onnx, transformer.onnx and decoder.onnx.",
)
@overwrite_option("existing files in DIR")
def export(model: str, folder: Path, overwrite: bool) -> None:
    """Write the checkpoint MODEL, a network of the architecture 'sttn', as three ONNX files."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.glob("*.onnx")) and not overwrite:
        raise OutputError(f"{folder} holds ONNX files; name another folder or give --overwrite")
    from cleanplate.network import load
    from cleanplate.research.export import NAMES, export_onnx
    from cleanplate.storage.paths import check_places

    check_places([folder / f"{name}.onnx" for name in NAMES], [model])
    for path in export_onnx(load(model), folder):
        click.echo(tame(f"{path}: {describe_bytes(path.stat().st_size)}"))
