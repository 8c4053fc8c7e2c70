"""Evaluate mask tracking, and train its network, on figures pasted into real clips.

`tracking` measures how much of a moving figure the tracker covers; `fit-tracking` trains the
network that weighs the tracker's evidence. Every fifth clip and photograph is held out from
training for the measurement.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
import numpy.typing as npt
import torch
from einops import reduce
from torch import Tensor
from torch.nn import functional as F

from cleanplate.masks.tracking import Tracked, TrackPrompt, track
from cleanplate.masks.tracking.appearance import Place
from cleanplate.masks.tracking.camera import Camera
from cleanplate.masks.tracking.flowing import FlowSegmenter
from cleanplate.masks.tracking.follower import Follower
from cleanplate.masks.tracking.judging import (
    SIDE,
    FrameView,
    Judge,
    Network,
    stack_evidence,
    weigh_plainly,
)
from cleanplate.network.weights import FusionConfig, FusionNetwork, save
from cleanplate.research.benchmarks.actors import ACTORS
from cleanplate.research.benchmarks.pasting import (
    MemoryClip,
    Scene,
    make_crossing,
    make_scene,
)
from cleanplate.types import Box

_SPARED = 5
"""One clip in five is held out for this benchmark; training uses the others."""


@dataclass(frozen=True)
class Score:
    """How well one figure was tracked."""

    scene: str
    kind: str
    event: str
    covered: float
    """Fraction of the object's pixels covered, mean over frames that show it."""
    area: float
    """Area of the masks over the object's, sums over these frames."""
    absent: float
    """Fraction of frames without the object whose mask is empty; nan if there are none."""
    kept: float
    """Whether the mask follows the object and not its look-alike in the last quarter, 0 or 1; nan
    without a look-alike."""
    seconds: float
    """Per frame."""


_OWN, _OTHER = 0.8, 0.3
"""Fraction of the object covered at least, and of its look-alike at most, if identity is kept."""


@click.command()
@click.argument("clips", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--scenes", default=16, show_default=True, help="Pasted figures to follow.")
@click.option("--frames", default=40, show_default=True, help="Length of each scene.")
@click.option("--twins", is_flag=True, help="A second figure of the same looks crosses the first.")
def tracking(clips: Path, photos: Path, scenes: int, frames: int, twins: bool) -> None:
    """Follow figures pasted into CLIPS (videos), cut from PHOTOS (pictures)."""
    scores = []
    click.echo("| scene | figure | event | covered | area | empty when absent | kept | s a frame |")
    click.echo("|---|---|---|---:|---:|---:|---:|---:|")
    for scene in make_scenes(clips, photos, scenes, frames, spared=True, twins=twins):
        scores.append(measure(scene))
        click.echo(_format_row(scores[-1]))
    for event in ("clear", "occluded", "leaves", "crossing"):
        some = [score for score in scores if score.event == event]
        if some:
            click.echo(_format_row(_average(some, event)))
    click.echo(_format_row(_average(scores, "all")))


def make_scenes(
    clips: Path,
    photos: Path,
    count: int,
    frames: int,
    *,
    spared: bool,
    first: int = 0,
    twins: bool = False,
) -> Iterator[Scene]:
    """Yield scenes from the held-out clips (`spared`), or from the others.

    With `twins`, two figures of the same looks cross in each.
    """
    make = make_crossing if twins else make_scene
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
        scene = make(kinds[number % len(kinds)], video, cloths, number, frames)
        if scene.masks[0].sum() > 64:
            yield scene


def _read(path: Path) -> npt.NDArray[np.uint8]:
    image = cv2.imread(str(path))
    if image is None:
        raise click.ClickException(f"{path} is not an image")
    return np.asarray(image[..., ::-1], np.uint8)


def follow(scene: Scene) -> tuple[Tracked, float]:
    """Track the figure from its box on the first frame; returns the seconds per frame, too."""
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
        _keeps_identity(masks, scene),
        seconds,
    )


def _keeps_identity(masks: Mask, scene: Scene) -> float:
    """See `Score.kept`."""
    if scene.twins is None:
        return float("nan")
    late = slice(3 * len(masks) // 4, None)
    truth, other = scene.masks[late], scene.twins[late] & ~scene.masks[late]
    own = (masks[late] & truth).sum() / max(truth.sum(), 1)
    theirs = (masks[late] & other).sum() / max(other.sum(), 1)
    return float(own > _OWN and theirs < _OTHER)


def _average(scores: list[Score], event: str) -> Score:
    means = [
        float(np.nanmean([getattr(score, name) for score in scores] + [np.nan]))
        if not all(np.isnan(getattr(score, name)) for score in scores)
        else float("nan")
        for name in ("covered", "area", "absent", "kept", "seconds")
    ]
    return Score("**mean**", f"{len(scores)} scenes", event, *means)


def _format_row(score: Score) -> str:
    absent, kept = (
        "" if np.isnan(value) else f"{100 * value:.0f} %" for value in (score.absent, score.kept)
    )
    return (
        f"| {score.scene} | {score.kind} | {score.event} | {100 * score.covered:.1f} % |"
        f" {score.area:.2f} | {absent} | {kept} | {score.seconds:.3f} |"
    )


Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """Evidence on one frame, and the truth."""

    evidence: npt.NDArray[np.float16]
    """(channels, SIDE, SIDE)."""
    truth: npt.NDArray[np.float16]
    """Fraction of each cell that the object covers, (SIDE, SIDE)."""


class Weights:
    """Judge of the first round: a fixed weight for each kind of evidence."""

    def weigh(
        self, view: FrameView, found: Mapping[str, Field], belief: Field, place: Place
    ) -> Field:
        """See Judge.weigh."""
        return weigh_plainly(view, found, place)


class Teacher:
    """A judge that knows the truth and records examples while the tracker follows a scene.

    For a few frames at a time it answers with the truth, with a deformed outline, or with what
    `pupil` answers, so that the network also learns from its own kind of mistakes.
    """

    def __init__(
        self, masks: npt.NDArray[np.bool_], pupil: Judge, random: np.random.Generator
    ) -> None:
        self._masks, self._pupil, self._random = masks, pupil, random
        self._mode, self._left = "right", 0
        self.examples: list[Example] = []

    def weigh(
        self, view: FrameView, found: Mapping[str, Field], belief: Field, place: Place
    ) -> Field:
        """See Judge.weigh."""
        truth: Field = self._masks[view.index][view.window].astype(np.float32)
        evidence = stack_evidence(view, found, belief, place)
        area = cv2.INTER_AREA if min(truth.shape) >= SIDE else cv2.INTER_LINEAR
        small = cv2.resize(truth, (SIDE, SIDE), interpolation=area)
        self.examples.append(Example(evidence.astype(np.float16), small.astype(np.float16)))
        self._left -= 1
        if self._left < 0:
            self._left = int(self._random.integers(2, 8))
            self._mode = str(self._random.choice(["right", "wrong", "pupil"], p=[0.1, 0.35, 0.55]))
        if self._mode == "right":
            return truth
        if self._mode == "wrong":
            return np.asarray(spoil(truth > 0.5, place.extent, self._random), np.float32)
        return self._pupil.weigh(view, found, belief, place)


def spoil(mask: Mask, extent: float, random: np.random.Generator) -> Mask:
    """Shift `mask` (h, w), move its outline, and remove or add parts, at random."""
    shape = mask.shape
    if random.random() < 0.5:
        left = random.normal(0, 0.12, 2) * extent
        way = np.array([[1, 0, left[0]], [0, 1, left[1]]])
        mask = cv2.warpAffine(mask.astype(np.uint8), way, shape[::-1], flags=cv2.INTER_NEAREST) > 0
    noise = random.standard_normal((6, 6)).astype(np.float32)
    field = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    field = field * random.uniform(0.02, 0.12) * extent + random.normal(0, 0.03) * extent
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    moved = (inside - np.minimum(outside, 0.3 * extent) + field > 0) if mask.any() else mask.copy()
    for value in (0, 1):
        if random.random() < 0.4:
            blot = np.zeros(shape, np.uint8)
            ys, xs = np.nonzero(mask) if mask.any() else np.nonzero(~mask)
            at = int(random.integers(len(xs)))
            centre = (
                int(xs[at] + random.normal(0, 0.3) * extent * value),
                int(ys[at] + random.normal(0, 0.3) * extent * value),
            )
            axes = tuple(int(v * extent) + 1 for v in random.uniform(0.08, 0.3, 2))
            cv2.ellipse(blot, centre, axes, random.uniform(0, 180), 0, 360, 1, -1)
            moved = moved | (blot > 0) if value else moved & (blot == 0)
    return np.asarray(moved)


def gather(scene: Scene, pupil: Judge, seed: int, keep: int = 2) -> Iterator[Example]:
    """Yield the example of every `keep`th frame of a scene."""
    random = np.random.default_rng([seed, 2])
    teacher = Teacher(scene.masks, pupil, random)
    frames = MemoryClip(scene.frames)
    camera = Camera(frames)
    count = len(frames)
    order = list(range(count))
    if random.random() < 0.4 and scene.masks[-1].any():
        order.reverse()
    first = scene.masks[order[0]]
    box = np.zeros(frames.shape, np.bool_)
    x, y, w, h = cv2.boundingRect(first.astype(np.uint8))
    box[y : y + h, x : x + w] = True
    mask = FlowSegmenter().segment(frames, order[0], box) if random.random() < 0.6 else first
    hidden = None
    if random.random() < 0.6:
        extent = Place.around(first).extent
        hidden = {k: spoil(scene.masks[k], extent, random) for k in range(count)}
    run = Follower(camera, mask, order[0], teacher, hidden=hidden)
    for index in order[1:]:
        run.step(index)
    yield from teacher.examples[int(random.integers(keep)) :: keep]


_KINDS = ((0, 1), (4,), (5, 6), (7, 8, 9), (10,))
"""Channels of each kind of evidence (see stack_evidence), dropped at random in training."""
_MISSING = 0.06
_BATCH = 12


@click.command()
@click.argument("clips", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scenes", default=200, show_default=True, help="Pasted figures to follow.")
@click.option(
    "--rounds",
    default=2,
    show_default=True,
    help="Rounds of training.",
)
@click.option("--steps", default=2000, show_default=True, help="Training steps per round.")
def fit_tracking(
    clips: Path, photos: Path, output: Path, scenes: int, rounds: int, steps: int
) -> None:
    """Train on the CLIPS and PHOTOS that `tracking` does not use; write OUTPUT (safetensors)."""
    torch.manual_seed(0)
    network = FusionNetwork(FusionConfig())
    examples: list[Example] = []
    for number in range(rounds):
        pupil = Weights() if number == 0 else Network(network.eval())
        first, share = number * scenes, scenes // rounds
        for seed, scene in enumerate(
            make_scenes(clips, photos, share, 36, spared=False, first=first)
        ):
            examples.extend(gather(scene, pupil, first + seed))
        click.echo(f"round {number + 1}: {len(examples)} examples")
        loss = train(network, examples, steps, torch.Generator().manual_seed(number))
        click.echo(f"mean loss of the last 100 steps {loss:.3f}")
    save(network, output, dtype=torch.float16)


def train(
    network: FusionNetwork, examples: Sequence[Example], steps: int, random: torch.Generator
) -> float:
    """Fit `network`; returns the mean loss of the last 100 steps."""
    network.train()
    evidence = torch.from_numpy(np.stack([example.evidence for example in examples]))
    truth = torch.from_numpy(np.stack([example.truth for example in examples]))
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.15)
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(evidence), (_BATCH,), generator=random)
        batch = vary(evidence[chosen].float(), truth[chosen].float(), random)
        loss = measure_loss(network(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses[-100:]))


def vary(evidence: Tensor, truth: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Augment: mirror half of the examples, drop kinds of evidence from some."""
    count = len(evidence)
    flip = torch.rand(count, generator=random) < 0.5
    evidence[flip] = evidence[flip].flip(-1)
    evidence[flip, -1] *= -1
    truth[flip] = truth[flip].flip(-1)
    for channels in _KINDS:
        gone = torch.rand(count, generator=random) < _MISSING
        for channel in channels:
            evidence[gone, channel] = 0
    evidence[:, :2] *= 1 + 0.2 * torch.randn(count, 2, 1, 1, generator=random)
    return evidence, truth


def measure_loss(odds: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy with double weight on missed pixels, plus Dice loss.

    A pixel of a small object weighs more than one of a large object.
    """
    each = F.binary_cross_entropy_with_logits(odds, truth, 1 + truth, reduction="none")
    area = reduce(truth, "b h w -> b", "mean").clamp(min=0.02)
    share = torch.sigmoid(odds)
    both, all_ = (reduce(x, "b h w -> b", "sum") for x in (share * truth, share + truth))
    overlap = (2 * both + 20) / (all_ + 20)
    return (reduce(each, "b h w -> b", "mean") / area.sqrt() + 0.3 * (1 - overlap)).mean()
