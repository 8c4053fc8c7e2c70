"""`--quiet`: print errors only."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import click

_KEY = "cleanplate.quiet"


def _be_quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Note that only errors are wanted, until the command ends."""
    if not value:
        return
    context.meta[_KEY] = True
    root = logging.getLogger()
    context.call_on_close(lambda level=root.level: root.setLevel(level))
    root.setLevel(logging.ERROR)


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_be_quiet,
    help="Print errors only: no progress, no report (unless --json) and no notes.",
)


def is_quiet() -> bool:
    """Whether the running command prints errors only."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_KEY))


def print_result(values: Mapping[str, Any], lines: Sequence[str], as_json: bool) -> None:
    """Print a result on stdout: as JSON and nothing else, or as lines unless quiet."""
    if as_json:
        click.echo(json.dumps(values, indent=2))
    elif not is_quiet():
        click.echo("\n".join(lines))
