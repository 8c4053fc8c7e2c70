"""How long people wait before anything happens: the start of the program and of the library."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import click

from benchmarks.speed import describe_machine

_STARTS = {
    "python -c pass": ["-c", "pass"],
    "import cleanplate": ["-c", "import cleanplate"],
    "cleanplate --help": ["-m", "cleanplate", "--help"],
    "cleanplate remove --help": ["-m", "cleanplate", "remove", "--help"],
}


@click.command()
@click.option("--repeats", default=9, show_default=True, help="The median counts.")
def start(repeats: int) -> None:
    """Seconds until the program answers, and whether that loads torch."""
    click.echo(describe_machine())
    click.echo(
        "| command | seconds | without Python's own start | loads torch |\n|---|---|---|---|"
    )
    bare = 0.0
    for name, arguments in _STARTS.items():
        seconds = statistics.median(_time(arguments) for _ in range(repeats))
        bare = bare or seconds
        torch = "yes" if _loads_torch(arguments) else "no"
        click.echo(f"| `{name}` | {seconds:.3f} | {seconds - bare:.3f} | {torch} |")


def _time(arguments: list[str]) -> float:
    began = time.perf_counter()
    _run(arguments)
    return time.perf_counter() - began


def _loads_torch(arguments: list[str]) -> bool:
    done = _run(["-X", "importtime", *arguments])
    return any(line.endswith("| torch") for line in done.stderr.splitlines())


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)
