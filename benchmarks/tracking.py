"""How much of a moving thing tracking covers, on figures pasted into real clips."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.actors import ACTORS
from benchmarks.pasting import Scene, make_scene
from cleanplate.masks.tracking import Tracked, TrackPrompt, track
from cleanplate.types import Box

_SPARED = 5
"""Every so manieth clip is kept for this benchmark; others may be learnt from."""


@dataclass(frozen=True)
class Score:
    scene: str
    kind: str
    event: str
    covered: float
    """Share of the object's pixels covered, mean over frames that show it."""
    area: float
    """Area of the masks over the object's, sums over these frames."""
    absent: float
    """Share of frames without the object whose mask is empty; nan when there is none."""
    seconds: float
    """For each frame."""


@click.command()
@click.argument("clips", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--scenes", default=16, show_default=True, help="Figures to paste and follow.")
@click.option("--frames", default=40, show_default=True, help="Length of each scene.")
def tracking(clips: Path, photos: Path, scenes: int, frames: int) -> None:
    """Follow figures pasted into CLIPS (videos), cut from PHOTOS (pictures)."""
    scores = []
    click.echo("| scene | figure | event | covered | area | empty when absent | s a frame |")
    click.echo("|---|---|---|---:|---:|---:|---:|")
    for scene in make_scenes(clips, photos, scenes, frames, spared=True):
        scores.append(measure(scene))
        click.echo(_format_row(scores[-1]))
    for event in ("clear", "occluded", "leaves"):
        some = [score for score in scores if score.event == event]
        if some:
            click.echo(_format_row(_average(some, event)))
    click.echo(_format_row(_average(scores, "all")))


def make_scenes(
    clips: Path, photos: Path, count: int, frames: int, *, spared: bool, first: int = 0
) -> Iterator[Scene]:
    """Scenes from the clips kept for the benchmark (`spared`), or from the others."""
    videos = sorted(clips.glob("*.mp4"))
    pictures = [path for path in sorted(photos.iterdir()) if path.suffix in (".jpg", ".png")]
    videos = [v for k, v in enumerate(videos) if (k % _SPARED == 0) == spared]
    pictures = [p for k, p in enumerate(pictures) if (k % _SPARED == 0) == spared]
    order = np.random.default_rng(7).permutation(len(videos))
    kinds = list(ACTORS)
    for number in range(first, first + count):
        random = np.random.default_rng([number, 1])
        chosen = random.choice(len(pictures), 12, replace=False)
        cloths = [np.ascontiguousarray(_read(pictures[k])) for k in chosen]
        video = videos[order[number % len(order)]]
        scene = make_scene(kinds[number % len(kinds)], video, cloths, number, frames)
        if scene.masks[0].sum() > 64:
            yield scene


def _read(path: Path) -> npt.NDArray[np.uint8]:
    image = cv2.imread(str(path))
    if image is None:
        raise click.ClickException(f"{path} is no picture")
    return np.asarray(image[..., ::-1], np.uint8)


def follow(scene: Scene) -> tuple[Tracked, float]:
    """Track the figure from its box on the first frame; also seconds a frame."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        for index, frame in enumerate(scene.frames):
            cv2.imwrite(str(path / f"{index:05d}.jpg"), frame[..., ::-1])
        box = Box(*cv2.boundingRect(scene.masks[0].astype(np.uint8)))
        start = time.perf_counter()
        tracked = track(path, [TrackPrompt(box)])
    return tracked, (time.perf_counter() - start) / len(scene.frames)


def measure(scene: Scene) -> Score:
    """Follow the scene's figure and compare with the truth."""
    tracked, seconds = follow(scene)
    masks = np.stack([tracked.mask(index) for index in range(len(tracked))])
    size = scene.masks.sum((1, 2))
    shown = size > 0.1 * size[0]
    covered = (masks & scene.masks).sum((1, 2))[shown] / size[shown]
    gone = size == 0
    return Score(
        scene.clip,
        scene.kind,
        scene.event,
        float(covered.mean()),
        float(masks[shown].sum() / size[shown].sum()),
        float(1 - masks[gone].any((1, 2)).mean()) if gone.any() else float("nan"),
        seconds,
    )


def _average(scores: list[Score], event: str) -> Score:
    means = [
        float(np.nanmean([getattr(score, name) for score in scores] + [np.nan]))
        if not all(np.isnan(getattr(score, name)) for score in scores)
        else float("nan")
        for name in ("covered", "area", "absent", "seconds")
    ]
    return Score("**mean**", f"{len(scores)} scenes", event, *means)


def _format_row(score: Score) -> str:
    absent = "" if np.isnan(score.absent) else f"{100 * score.absent:.0f} %"
    return (
        f"| {score.scene} | {score.kind} | {score.event} | {100 * score.covered:.1f} % |"
        f" {score.area:.2f} | {absent} | {score.seconds:.3f} |"
    )
