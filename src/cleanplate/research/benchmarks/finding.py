"""Measure whether captions and logos that are drawn on real clips are found in every frame.

A frame counts as masked if the mask covers at least 98 % of its letters (fill and outline). A logo
counts as found whole if the mask covers as much of it in every frame that shows it.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import click
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError
from cleanplate.masks.logo import find_logos
from cleanplate.masks.source import MaskSource
from cleanplate.masks.text import find_text
from cleanplate.masks.writing import draw_overlay
from cleanplate.research.benchmarks.overlays import (
    CAPTIONS,
    LOGOS,
    Frames,
    Masks,
    Overlaid,
    burn_captions,
    burn_logo,
    list_clips,
)
from cleanplate.research.benchmarks.pasting import read_frames
from cleanplate.video import open_reader, probe

WHOLE = 0.98
"""Fraction of the letters of a frame that must be covered."""

_CLIPS = Path("../shared/data/train/clips")
_LENGTH = 100
"""Frames of a clip, at most."""


@dataclass(frozen=True)
class Score:
    """How a mask fits an overlay.

    Attributes:
        covered: fraction of the overlay's pixels covered, of each frame that shows it.
        ratio: marked area over the overlay's area in these frames.
        free: number of frames without an overlay.
        wrong: number of those that have a mask.
        seconds: duration of the search.
    """

    covered: npt.NDArray[np.float64]
    ratio: float
    free: int
    wrong: int
    seconds: float

    @property
    def masked(self) -> int:
        """Number of frames whose letters are covered."""
        return int((self.covered >= WHOLE).sum())


def measure_masks(masks: Masks, covers: Masks, seconds: float = 0.0) -> Score:
    """Compare masks `(t, h, w)` with the pixels of an overlay, bool `(t, h, w)`."""
    shown = covers.any(axis=(1, 2))
    size, both = covers.sum(axis=(1, 2)), (covers & masks).sum(axis=(1, 2))
    ratio = float(masks[shown].sum() / max(1, size.sum()))
    wrong = int(masks[~shown].any(axis=(1, 2)).sum())
    return Score(both[shown] / size[shown], ratio, int((~shown).sum()), wrong, seconds)


def film(path: Path, frames: Frames, rate: float) -> None:
    """Encode frames as H.264 (CRF 20)."""
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "20"}
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))


def find_masks(
    scene: Overlaid, rate: float, find: Callable[[Path], MaskSource]
) -> tuple[Masks, float]:
    """Encode a scene and search it; returns the masks and the seconds of the search."""
    height, width = scene.covers.shape[1] // 2 * 2, scene.covers.shape[2] // 2 * 2
    with TemporaryDirectory() as name:
        path = Path(name) / "scene.mp4"
        film(path, scene.frames, rate)
        began = time.monotonic()
        try:
            found = find(path)
        except MaskError:
            none = np.zeros((len(scene.frames), height, width), np.bool_)
            return none, time.monotonic() - began
        seconds = time.monotonic() - began
        found.prepare(probe(path))
        with open_reader(path) as reader:
            masks = [found.mask(picture.index, picture.time) for picture in reader]
    return np.stack(masks), seconds


def measure_clips(
    kind: str,
    paths: Sequence[Path],
    burn: Callable[[Frames, str, float, np.random.Generator], Overlaid],
    find: Callable[[Path], MaskSource],
    look: Path | None,
) -> list[Score]:
    """Measure one kind of overlay on each clip; the same clip always has the same overlay."""
    scores = []
    for path in paths:
        rate = float(probe(path).rate)
        random = np.random.default_rng(zlib.crc32(f"{path.stem} {kind}".encode()))
        scene = burn(read_frames(path, _LENGTH), kind, rate, random)
        masks, seconds = find_masks(scene, rate, find)
        height, width = masks.shape[1:]
        covers = scene.covers[:, :height, :width]
        scores.append(measure_masks(masks, covers, seconds))
        if look is not None:
            _save_looks(look / f"{kind} {path.stem}", scene.frames[:, :height, :width], masks)
    return scores


def _save_looks(folder: Path, frames: Frames, masks: Masks) -> None:
    """Write every frame with its mask drawn over it."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        drawn = draw_overlay(np.ascontiguousarray(frame), mask)
        cv2.imwrite(str(folder / f"{index:03d}.png"), drawn[..., ::-1])


_OPTIONS = (
    click.option(
        "--clips",
        "folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=_CLIPS,
        show_default=True,
    ),
    click.option("--kind", "kinds", multiple=True, help="Kinds to measure; all by default."),
    click.option("--look", type=click.Path(path_type=Path), help="Folder for frames with masks."),
    click.option("--each", is_flag=True, help="Also print every clip."),
)


def _search_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_search_options
@click.option(
    "--numbers",
    default="5,73,161,181,245,37,41,61,173,217",
    show_default=True,
    help="Clips by their place in the sorted folder.",
)
def text(folder: Path, kinds: Sequence[str], look: Path | None, each: bool, numbers: str) -> None:
    """Measure captions that slide, are typed, pop up, flash or come as single letters."""
    paths = list_clips(folder, numbers)
    click.echo("| captions | frames | masked | worst | area | text-free masked | s a frame |")
    click.echo("|---|---|---|---|---|---|---|")
    for kind in kinds or CAPTIONS:
        scores = measure_clips(kind, paths, burn_captions, find_text, look)
        for path, score in zip(paths, scores, strict=True) if each else ():
            _print_scores(f"{kind}, {path.stem}", [score])
        _print_scores(kind, scores)


def _print_scores(name: str, scores: Sequence[Score]) -> None:
    frames, masked = sum(len(s.covered) for s in scores), sum(s.masked for s in scores)
    worst = min(float(s.covered.min(initial=1)) for s in scores)
    ratio = float(np.mean([s.ratio for s in scores if len(s.covered)] or [0]))
    free, wrong = sum(s.free for s in scores), sum(s.wrong for s in scores)
    pace = sum(s.seconds for s in scores) / (frames + free)
    click.echo(
        f"| {name} | {frames} | {masked / max(1, frames):.1%} | {worst:.0%} | {ratio:.2f} |"
        f" {wrong} of {free} | {pace:.3f} |"
    )


@click.command()
@_search_options
@click.option(
    "--numbers",
    default="37,41,61,173,217",
    show_default=True,
    help="Clips by their place in the sorted folder.",
)
def logos(folder: Path, kinds: Sequence[str], look: Path | None, each: bool, numbers: str) -> None:
    """Measure logos at angles, and those that pulse, alternate, or come and go."""
    paths = list_clips(folder, numbers)
    click.echo("| logo | clips | found whole | covered, mean | worst | area | without, masked |")
    click.echo("|---|---|---|---|---|---|---|")
    for kind in kinds or LOGOS:
        scores = measure_clips(kind, paths, burn_logo, find_logos, look)
        for path, score in zip(paths, scores, strict=True) if each else ():
            _print_logos(f"{kind}, {path.stem}", [score])
        _print_logos(kind, scores)


def _print_logos(name: str, scores: Sequence[Score]) -> None:
    lows = [float(s.covered.min(initial=1)) for s in scores]
    mean = float(np.mean([s.covered.mean() for s in scores]))
    ratio = float(np.mean([s.ratio for s in scores]))
    free, wrong = sum(s.free for s in scores), sum(s.wrong for s in scores)
    click.echo(
        f"| {name} | {len(scores)} | {sum(low >= WHOLE for low in lows)} | {mean:.1%} |"
        f" {min(lows):.0%} | {ratio:.2f} | {wrong} of {free} |"
    )
