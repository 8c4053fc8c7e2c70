"""`cleanplate export`: a network as ONNX files."""

from __future__ import annotations

from pathlib import Path

import click

from cleanplate.cli.options import overwrite_option
from cleanplate.errors import OutputError, tame


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for encoder.onnx, transformer.onnx and decoder.onnx.",
)
@overwrite_option("files in DIR")
def export(model: str, folder: Path, overwrite: bool) -> None:
    """Write the checkpoint MODEL, a network of the architecture 'sttn', as three ONNX files."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.glob("*.onnx")) and not overwrite:
        raise OutputError(f"{folder} holds ONNX files; name another folder or give --overwrite")
    from cleanplate.model import load
    from cleanplate.model.export import NAMES, export_onnx
    from cleanplate.places import check_places

    check_places([folder / f"{name}.onnx" for name in NAMES], [model])
    for path in export_onnx(load(model), folder):
        click.echo(tame(f"{path}: {path.stat().st_size / 1e6:.1f} MB"))
