"""`remove --dry-run` and `remove --try`: what a removal takes, and how it looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cleanplate.cli.options import name_options, show_progress
from cleanplate.cli.quiet import print_result

if TYPE_CHECKING:
    from cleanplate.masks import MaskSource

Command = TypeVar("Command", bound=Callable[..., Any])


def trial_options(command: Command) -> Command:
    """Add `--try` and `--dry-run`."""
    options = (
        click.option(
            "--try",
            "seconds",
            is_flag=False,
            flag_value=3.0,
            type=click.FloatRange(0.1, 3600),
            metavar="[SECONDS]",
            help="Remove only in the SECONDS (3 unless given) with the largest holes. Writes them,"
            " such as clip-try.mp4, with a picture before and after, and estimates the whole run.",
        ),
        click.option(
            "--dry-run",
            is_flag=True,
            help="Only print what would be done, and estimate time, memory and disk space.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def print_forecast(
    source: Path,
    output: Path | None,
    masks: MaskSource,
    marks: Sequence[str],
    as_json: bool,
    **options: Any,
) -> None:
    """Print what a removal would do, as text or as JSON."""
    from cleanplate import removal

    with show_progress(f"look at {source.name}") as progress:
        found = removal.forecast(source, output, masks=masks, progress=progress, **options)
    notes = tuple(name_options(note) for note in found.notes)
    found = replace(found, marks=tuple(marks), notes=notes)
    lines = [*found.summary(), "dry run: nothing was written"]
    print_result(found.to_json(), lines, as_json)


def print_trial(
    source: Path,
    output: Path | None,
    masks: MaskSource,
    seconds: float,
    notes: Sequence[str],
    as_json: bool,
    **options: Any,
) -> None:
    """Try a removal, and print what came of it, as text or as JSON."""
    from cleanplate import removal

    with show_progress(f"try {source.name}") as progress:
        tried = removal.try_removal(
            source, output, masks=masks, seconds=seconds, progress=progress, **options
        )
    named = [name_options(note) for note in (*tried.report.notes, *notes)]
    tried = replace(tried, report=replace(tried.report, notes=named))
    print_result(tried.to_json(), tried.summary(), as_json)
