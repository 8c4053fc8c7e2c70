"""`python -m cleanplate.research.benchmarks NAME`; without a name, `speed`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import import_module

import click

_HOMES = {
    "check-quality": "quality",
    "crew": "speed",
    "endurance": "robustness",
    "estimates": "estimates",
    "fit-tracking": "tracking",
    "gpu": "run",
    "large": "speed",
    "logos": "finding",
    "network": "comparison",
    "numeric": "robustness",
    "onnx": "comparison",
    "overlays": "transparency",
    "parts": "speed",
    "speed": "speed",
    "split": "split",
    "start": "speed",
    "text": "finding",
    "tracking": "tracking",
    "troubles": "quality",
}
"""Name of a command → its module here."""


class _Benchmarks(click.Group):
    """A group that imports a benchmark on first use, so that `usage` itself stays small."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*_HOMES, *self.commands])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _HOMES:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"cleanplate.research.benchmarks.{_HOMES[cmd_name]}")
        found = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_Benchmarks, invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure cleanplate; tables are printed as Markdown."""
    if context.invoked_subcommand is None:
        speed = benchmarks.get_command(context, "speed")
        assert speed is not None
        context.invoke(speed)


@benchmarks.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def usage(command: tuple[str, ...]) -> None:
    """Measure time and peak memory of COMMAND, as JSON; exit with its status."""
    # Linux counts the memory of the process that starts a command as the command's own. This
    # process therefore loads no more than click before it starts one.
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    unit = 1 if sys.platform == "darwin" else 1024
    processor = used.ru_utime + used.ru_stime
    click.echo(json.dumps({"wall": wall, "processor": processor, "memory": used.ru_maxrss * unit}))
    process.returncode = os.waitstatus_to_exitcode(status)
    sys.exit(abs(process.returncode))


if __name__ == "__main__":
    benchmarks(prog_name="python -m cleanplate.research.benchmarks")
