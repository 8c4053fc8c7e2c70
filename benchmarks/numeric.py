"""Does any arithmetic go wrong on real clips? Warnings and numpy's errors end a removal here."""

from __future__ import annotations

import logging
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import inpaint
from cleanplate.research.data.clips import VideoClip

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Removal:
    """What is removed from a clip, and how.

    `holes` as in `mark_holes`; `share` of the frames: large holes take long.
    """

    holes: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    share: float = 1


REMOVALS = (
    Removal("resting", "auto"),
    Removal("moving", "flow"),
    Removal("moving", "auto", {"dilate": 4, "feather": 4}),
    Removal("98 %", "flow", share=0.25),
)


@click.command()
@click.option(
    "--clips",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("../shared/data/train/clips"),
    show_default=True,
)
@click.option("--count", default=20, show_default=True, help="Clips, spread over the folder.")
@click.option("--frames", default=24, show_default=True, help="Of each clip, from its start.")
@click.option("--side", default=320, show_default=True, help="Longest side in pixels.")
@click.option("--threads", default=2, show_default=True, help="As in `cleanplate remove`.")
def numeric(folder: Path, count: int, frames: int, side: int, threads: int) -> None:
    """Remove boxes with warnings and numpy's errors raised; exit code 1 if any was."""
    paths = sorted(folder.glob("*.mp4"))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    if not chosen:
        raise click.ClickException(f"no clips (*.mp4) in {folder}")
    logging.getLogger("cleanplate").setLevel(logging.ERROR)  # its notes are not about numbers
    raised = 0
    for path in chosen:
        clip = read_start(path, frames, side)
        for removal in REMOVALS:
            began = time.monotonic()
            found = try_removal(clip, removal, threads)
            raised += found is not None
            seconds = time.monotonic() - began
            name = f"{path.stem} {removal.holes} {removal.method}"
            click.echo(f"{name}: {found or 'nothing raised'} ({seconds:.1f} s)")
    total = len(chosen) * len(REMOVALS)
    click.echo(f"{len(chosen)} clips, {total} removals: {raised} raised")
    if raised:
        raise SystemExit(1)


def try_removal(clip: Frames, removal: Removal, threads: int) -> str | None:
    """Remove from the frames (t, h, w, 3); returns what was raised and where, or None."""
    clip = clip[: max(2, round(len(clip) * removal.share))]
    masks = mark_holes(clip.shape[:3], removal.holes)
    options = {"method": removal.method, "threads": threads, **removal.options}
    try:
        with raise_faults():
            inpaint(clip, masks, **options)
    except (Warning, ArithmeticError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    return None


@contextmanager
def raise_faults() -> Iterator[None]:
    """Turn warnings and numpy's floating-point errors into exceptions, in worker threads too."""
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


def read_start(path: Path, count: int, side: int) -> Frames:
    """The first `count` frames (t, h, w, 3), none of whose sides is longer than `side`."""
    frames = list(islice(VideoClip(path), count))
    height, width = frames[0].shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def mark_holes(shape: Sequence[int], kind: str) -> Masks:
    """Masks (t, h, w): a box that is "resting" or "moving", or all but a corner for "98 %"."""
    count, height, width = shape
    masks = np.zeros(tuple(shape), np.bool_)
    if kind == "98 %":
        masks[:] = True
        masks[:, : max(1, height // 7), : max(1, width // 7)] = False
        return masks
    down, across = max(1, height // 4), max(1, width // 5)
    for t, mask in enumerate(masks):
        way = t / count if kind == "moving" else 0.4
        top, left = round(way * (height - down)), round(way * (width - across))
        mask[top : top + down, left : left + across] = True
    return masks
