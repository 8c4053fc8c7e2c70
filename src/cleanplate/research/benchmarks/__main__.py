"""`python -m cleanplate.research.benchmarks NAME`; without a name, `speed`."""

from __future__ import annotations

import click

from cleanplate.research.benchmarks.gate import check_quality
from cleanplate.research.benchmarks.precision import gpu, network, onnx
from cleanplate.research.benchmarks.robustness import endurance, numeric
from cleanplate.research.benchmarks.speed import crew, large, parts, speed, start
from cleanplate.research.benchmarks.tracking import fit_tracking, tracking
from cleanplate.research.benchmarks.troubles import troubles


@click.group(invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure cleanplate; tables are printed as Markdown."""
    if context.invoked_subcommand is None:
        context.invoke(speed)


for command in (
    check_quality,
    crew,
    endurance,
    fit_tracking,
    gpu,
    large,
    network,
    numeric,
    onnx,
    parts,
    speed,
    start,
    tracking,
    troubles,
):
    benchmarks.add_command(command)

if __name__ == "__main__":
    benchmarks(prog_name="python -m cleanplate.research.benchmarks")
