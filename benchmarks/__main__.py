"""`python -m benchmarks [speed|endurance|network|gpu|check-quality]`; speed when none is named."""

from __future__ import annotations

import click

from benchmarks.endurance import endurance
from benchmarks.gate import check_quality
from benchmarks.network import gpu, network
from benchmarks.speed import speed


@click.group(invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure cleanplate; tables are printed as Markdown."""
    if context.invoked_subcommand is None:
        context.invoke(speed)


benchmarks.add_command(check_quality)
benchmarks.add_command(endurance)
benchmarks.add_command(gpu)
benchmarks.add_command(network)
benchmarks.add_command(speed)

if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
