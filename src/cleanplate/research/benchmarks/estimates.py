"""How near the estimates of `--dry-run` and `--try` come to what a whole run takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import click

from cleanplate.options import RemoveOptions
from cleanplate.removal import forecast, remove, run, trial, try_removal


@contextmanager
def _processor_seconds() -> Iterator[None]:
    """Let removals count the seconds that processors worked for this process."""
    own = SimpleNamespace(monotonic=time.process_time)
    with patch.object(run, "time", own), patch.object(trial, "time", own):
        yield


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--box", multiple=True, help="As in `cleanplate remove`.")
@click.option("--mask", help="As in `cleanplate remove`; {stem} is that of the clip.")
@click.option("--end", help="As in `cleanplate remove`, to shorten the whole run.")
@click.option("--busy", is_flag=True, help="Count processor time: other work takes no part.")
def estimates(
    clips: tuple[Path, ...], box: tuple[str, ...], mask: str | None, end: str | None, busy: bool
) -> None:
    """Compare the estimates for CLIPS with whole runs, one thread each."""
    options = RemoveOptions(threads=1, end=end, overwrite=True)
    print("| clip | frames | whole run (s) | dry run says | try says | dry run takes | try takes |")
    print("|---|---|---|---|---|---|---|")
    clock = time.process_time if busy else time.monotonic
    for clip in clips:
        marks: dict[str, Any] = {"box": box}
        if mask is not None:
            marks["masks"] = mask.format(stem=clip.stem)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "out.mkv"
            if busy:
                with _processor_seconds():
                    cells = _compare(clip, place, options, marks, clock)
            else:
                cells = _compare(clip, place, options, marks, clock)
        print(f"| {clip.stem} | {' | '.join(cells)} |", flush=True)


def _compare(
    clip: Path,
    place: Path,
    options: RemoveOptions,
    marks: dict[str, Any],
    clock: Callable[[], float],
) -> list[str]:
    began = clock()
    foreseen = forecast(clip, place, options=options, **marks).estimate.seconds
    forecast_took = clock() - began
    began = clock()
    tried = try_removal(clip, place, options=options, **marks).forecast.estimate.seconds
    try_took = clock() - began
    began = clock()
    frames = remove(clip, place, options=options, **marks).frames
    whole = clock() - began
    return [
        str(frames),
        f"{whole:.1f}",
        *(f"{guess:.1f} ({100 * (guess / whole - 1):+.0f} %)" for guess in (foreseen, tried)),
        *(f"{took:.1f} ({100 * took / whole:.0f} %)" for took in (forecast_took, try_took)),
    ]
