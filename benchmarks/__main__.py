"""`python -m benchmarks NAME`, see `--help`; `speed` when none is named."""

from __future__ import annotations

import click

from benchmarks.crew import crew, parts
from benchmarks.endurance import endurance
from benchmarks.gate import check_quality
from benchmarks.large import large
from benchmarks.network import gpu, network
from benchmarks.numeric import numeric
from benchmarks.onnx import onnx
from benchmarks.speed import speed
from benchmarks.start import start
from benchmarks.tracking import tracking
from benchmarks.tracking_fit import fit_tracking


@click.group(invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure cleanplate; tables are printed as Markdown."""
    if context.invoked_subcommand is None:
        context.invoke(speed)


benchmarks.add_command(check_quality)
benchmarks.add_command(crew)
benchmarks.add_command(endurance)
benchmarks.add_command(gpu)
benchmarks.add_command(network)
benchmarks.add_command(large)
benchmarks.add_command(numeric)
benchmarks.add_command(onnx)
benchmarks.add_command(parts)
benchmarks.add_command(speed)
benchmarks.add_command(start)
benchmarks.add_command(tracking)
benchmarks.add_command(fit_tracking)

if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
