"""Measure quality: a regression gate, and the loss by troubles around a hole.

The gate compares the PSNR of the embedded default with recorded figures, on synthetic clips. A
camera pans over public-domain photographs (scikit-image) past a moving object. The hole is
stationary, moving, or stationary in front of a stationary camera, so that no frame shows what it
hides ("unseen"). Everything is drawn here, so that no other change shifts the figures: mean PSNR
in the hole per kind of clip, in decibels. They detect a regression; for quality on footage, see
`cleanplate evaluate`.

Troubles are rendered on clips with a known background. An object is drawn on a clip and removed
twice: without and with the trouble (a mask that is too short or has gaps, a soft shadow, flicker,
letterbox bars). The loss is the difference in PSNR.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import inpaint
from cleanplate.research.benchmarks.lost import print_closing
from cleanplate.research.benchmarks.pasting import read_start
from cleanplate.research.benchmarks.thin import print_thin
from cleanplate.research.evaluation.metric import measure_psnr
from cleanplate.research.holes import blobs, free_form

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

RECORD = Path(__file__).with_suffix(".json")
ALLOWED_FALL = 0.1
"""Decibels by which a figure may fall."""
METHODS = ("auto", "network")
BLANK = 128
"""Grey level that hides the truth inside a hole."""
KINDS = ("stationary", "moving", "unseen")
_WIDTH, _HEIGHT, _FRAMES = 192, 128, 10

Figures = dict[str, dict[str, float]]
"""Method → kind of hole → decibels."""


class Case(NamedTuple):
    """A clip and its holes: frames uint8 RGB (t, h, w, 3), masks bool (t, h, w)."""

    """A clip and its holes: frames uint8 RGB (t, h, w, 3), masks bool (t, h, w)."""

    kind: str
    truth: Frames
    masks: Masks


@click.command("check-quality")
@click.option("--model", help="Network of both methods; as in `cleanplate remove`.")
@click.option("--record", is_flag=True, help="Record the figures as the new reference.")
@click.option(
    "--figures",
    "path",
    default=RECORD,
    type=click.Path(path_type=Path),
    help="File of recorded figures.",
)
def check_quality(model: str | None, record: bool, path: Path) -> None:
    """Fail when the default falls more than 0.1 dB below its recorded figures."""
    logging.getLogger("cleanplate").setLevel(logging.ERROR)  # notes of each run
    found = {method: measure(model, method) for method in METHODS}
    if record:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    recorded: Figures = json.loads(path.read_text(encoding="utf-8"))
    click.echo("| method | holes | in hole, dB | recorded | difference |\n|---|---|---|---|---|")
    for method, kinds in found.items():
        for kind, value in kinds.items():
            before = recorded[method][kind]
            change = value - before
            click.echo(f"| {method} | {kind} | {value:.2f} | {before:.2f} | {change:+.2f} |")
    fallen = compare(found, recorded)
    if fallen:
        raise click.ClickException(
            f"quality fell by more than {ALLOWED_FALL} dB: {', '.join(fallen)}"
        )


def compare(found: Figures, recorded: Figures) -> list[str]:
    """Names of the figures that fell by more than ALLOWED_FALL, or are missing."""
    return [
        f"{method} {kind}"
        for method, kinds in recorded.items()
        for kind, before in kinds.items()
        if not found.get(method, {}).get(kind, -np.inf) >= before - ALLOWED_FALL
    ]


def measure(model: str | None, method: str) -> dict[str, float]:
    """Mean PSNR in the hole for each kind of hole."""
    scores: dict[str, list[float]] = {}
    for kind, truth, masks in make_cases():
        hidden = np.where(masks[..., None], np.uint8(BLANK), truth)
        made = inpaint(hidden, masks, model=model, method=method, device="cpu")
        scores.setdefault(kind, []).append(measure_psnr(made[masks], truth[masks]))
    return {kind: round(float(np.mean(values)), 3) for kind, values in scores.items()}


def make_cases() -> Iterator[Case]:
    """Three clips of each kind, always the same."""
    from skimage import data

    photographs = (data.coffee(), data.chelsea(), data.astronaut())
    for number, photograph in enumerate(photographs):
        for index, kind in enumerate(KINDS):
            rng = np.random.default_rng((number, index))
            pace = 0.0 if kind == "unseen" else rng.choice([-4.0, 4.0])
            truth = _film(photograph, photographs[number - 1], pace, rng)
            yield Case(kind, truth, _cover(rng, moving=kind == "moving"))


def _film(photograph: Frames, other: Frames, pace: float, rng: np.random.Generator) -> Frames:
    """A hand-held pan by `pace` pixels a frame; a part of the other photograph passes by."""
    height, width = photograph.shape[:2]
    fit = max(_HEIGHT / height, _WIDTH / width)
    speed, swing = pace * np.array([1, 0.2]), rng.normal(0, 0.3 * abs(pace), 2)
    pass_by, start = rng.normal(0, 4, 2), rng.uniform(0, 0.8, 2) * (_WIDTH, _HEIGHT)
    thing = cv2.resize(other, (120, 80), interpolation=cv2.INTER_AREA)[25:55, 45:75]
    frames = []
    for time in range(_FRAMES):
        zoom, turn = 1.4 * fit * 1.001 ** (pace * time), 0.1 * pace * np.sin(0.3 * time)
        view = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
        middle = np.array([_WIDTH - width, _HEIGHT - height]) / 2
        view[:, 2] += middle + speed * (time - _FRAMES / 2) + swing * np.sin(0.4 * time)
        frame = cv2.warpAffine(photograph, view, (_WIDTH, _HEIGHT), flags=cv2.INTER_LINEAR)
        x, y = np.rint(start + pass_by * time).astype(int) % (_WIDTH - 30, _HEIGHT - 30)
        frame[y : y + 30, x : x + 30] = thing
        frames.append(frame)
    return np.stack(frames)


def _cover(rng: np.random.Generator, *, moving: bool) -> Masks:
    """An ellipse of about a twentieth of the picture in each frame."""
    masks = np.zeros((_FRAMES, _HEIGHT, _WIDTH), np.uint8)
    centre, speed = rng.uniform(0.35, 0.65, 2) * (_WIDTH, _HEIGHT), rng.normal(0, 3, 2) * moving
    axes, angle = rng.integers(14, 22, 2).tolist(), float(rng.uniform(0, 180))
    for time, mask in enumerate(masks):
        place = np.rint(centre + speed * time).astype(int).tolist()
        cv2.ellipse(mask, place, axes, angle, 0, 360, 1, -1)
    return masks.astype(np.bool_)


ALLOWED_LOSS = 2.0
"""Loss in dB up to which a trouble counts as handled."""


@dataclass(frozen=True)
class Scene:
    """Clip with an object drawn on it.

    Attributes:
        truth: uint8 RGB `(t, h, w, 3)`, the clip without the object.
        shown: uint8 RGB `(t, h, w, 3)`, the clip with the object.
        masks: bool `(t, h, w)`, the user's mask.
        thing: bool `(t, h, w)`, visible pixels of the object, where results are compared.
    """

    truth: Frames
    shown: Frames
    masks: Masks
    thing: Masks

    def measure(self) -> float:
        """Fill the clip, and return the PSNR in dB on the object's pixels."""
        made = inpaint(self.shown, self.masks, exact_mask=False)
        difference = made[self.thing].astype(np.float64) - self.truth[self.thing]
        error = max(float(np.mean(difference**2)), 1e-3)
        return float(10 * np.log10(255**2 / error))


@dataclass(frozen=True)
class Trouble:
    """Trouble that can be added to a scene, with several strengths."""

    name: str
    unit: str
    strengths: tuple[float, ...]
    scene: Callable[[Frames, np.random.Generator], Scene]
    spoil: Callable[[Scene, float, np.random.Generator], tuple[Scene, Scene]]
    """Returns the scene to compare with, and the one with the trouble."""


def place_label(clip: Frames, rng: np.random.Generator) -> Scene:
    """Draw an opaque static label in all frames except the first and last eight."""
    count, height, width = clip.shape[:3]
    high, wide = height // 8, width // 4
    y, x = int(rng.integers(0, height - high)), int(rng.integers(0, width - wide))
    label = np.full((high, wide, 3), rng.integers(0, 256, 3), np.uint8)
    ink = tuple(int(255 - value) for value in label[0, 0])
    cv2.putText(label, "Label 7", (4, high * 3 // 4), cv2.FONT_HERSHEY_DUPLEX, wide / 160, ink, 2)
    thing = np.zeros(clip.shape[:3], np.bool_)
    thing[8 : count - 8, y : y + high, x : x + wide] = True
    shown = clip.copy()
    shown[8 : count - 8, y : y + high, x : x + wide] = label
    return Scene(clip, shown, thing, thing)


def place_object(clip: Frames, rng: np.random.Generator) -> Scene:
    """Draw a textured object that moves and changes its shape; its mask is two pixels larger."""
    height, width = clip.shape[1:3]
    while True:
        thing = _draw_outlines(clip, rng)
        share = thing.mean((1, 2))
        if share.min() > 0.003 and share.max() < 0.12:
            break
    texture = _draw_texture((height, width), rng)
    shown = clip.copy()
    for frame, hole in zip(shown, thing, strict=True):
        y, x = np.nonzero(hole)
        # The texture moves with the object, as on a real one.
        at_y, at_x = (y - round(y.mean())) % height, (x - round(x.mean())) % width
        frame[hole] = texture[at_y, at_x]
    masks = np.stack([_grow(mask, 2) for mask in thing])
    return Scene(clip, shown, masks, thing)


def _draw_outlines(clip: Frames, rng: np.random.Generator) -> Masks:
    count, height, width = clip.shape[:3]
    size, times = (height, width), range(count)
    drawn = blobs(size, times, rng) if rng.random() < 0.5 else free_form(
        size, times, rng, moving=True
    )  # fmt: skip
    return np.asarray(replace(drawn, polygons=drawn.polygons[:1]).draw().numpy(), np.bool_)


def _draw_texture(size: tuple[int, int], rng: np.random.Generator) -> Frames:
    base = rng.integers(30, 226, 3).astype(np.float32)
    rough = cv2.GaussianBlur(rng.standard_normal((*size, 3)).astype(np.float32), (0, 0), 3)
    return np.asarray((base + rough * 160).clip(0, 255), np.uint8)


def _grow(mask: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    side = 2 * pixels + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel), np.bool_)


def shorten(scene: Scene, frames: float, rng: np.random.Generator) -> tuple[Scene, Scene]:
    """Remove the masks of the first and last `frames` frames that have one."""
    short = int(frames)
    kept = np.flatnonzero(scene.masks.any((1, 2)))
    masks = scene.masks.copy()
    masks[kept[:short]] = masks[kept[-short:]] = False
    return scene, replace(scene, masks=masks)


def drop_masks(scene: Scene, frames: float, rng: np.random.Generator) -> tuple[Scene, Scene]:
    """Remove the masks of `frames` consecutive frames, at two places."""
    masks, count = scene.masks.copy(), len(scene.masks)
    for middle in (count // 3, 2 * count // 3):
        masks[middle : middle + int(frames)] = False
    return scene, replace(scene, masks=masks)


def cast_shadow(scene: Scene, percent: float, rng: np.random.Generator) -> tuple[Scene, Scene]:
    """Darken the ground next to the object by up to `percent`; the mask does not cover it."""
    height, width = scene.masks.shape[1:]
    aside = rng.uniform(-0.35, 0.35)
    shown = scene.shown.copy()
    for frame, thing in zip(shown, scene.thing, strict=True):
        x, y, wide, high = cv2.boundingRect(thing.view(np.uint8))
        shade = np.zeros((height, width), np.float32)
        middle = round(x + wide * (0.5 + aside)), round(y + high * 0.95)
        cv2.ellipse(shade, middle, (max(2, wide * 3 // 5), max(2, high // 5)), 0, 0, 360, 1, -1)
        shade = cv2.GaussianBlur(shade, (0, 0), max(1.5, 0.06 * (wide + high) / 2))
        dark = frame * (1 - np.float32(percent / 100) * shade[..., None])
        frame[~thing] = np.rint(dark)[~thing]
    return scene, replace(scene, shown=shown)


def flicker(scene: Scene, percent: float, rng: np.random.Generator) -> tuple[Scene, Scene]:
    """Change the brightness of every frame by up to ± `percent`."""
    gains = 1 + rng.uniform(-percent, percent, len(scene.truth)) / 100
    # Compare with the same clip, darkened so that no pixel is clipped.
    top = 1 / (1 + percent / 100)
    steady = [_gain(frames, np.full(len(gains), top)) for frames in (scene.truth, scene.shown)]
    pulsing = [_gain(frames, gains * top) for frames in (scene.truth, scene.shown)]
    return (
        replace(scene, truth=steady[0], shown=steady[1]),
        replace(scene, truth=pulsing[0], shown=pulsing[1]),
    )


def _gain(frames: Frames, gains: npt.NDArray[np.float64]) -> Frames:
    return np.stack([cv2.convertScaleAbs(f, alpha=g) for f, g in zip(frames, gains, strict=True)])


def add_bars(scene: Scene, share: float, rng: np.random.Generator) -> tuple[Scene, Scene]:
    """Add letterbox bars (2.35:1), and a caption with `share` percent in the lower bar."""
    height, width = scene.masks.shape[1:]
    bar = max(8, (height - round(width / 2.35)) // 2) if width / height < 2.2 else height // 10
    truth = scene.truth.copy()
    truth[:, :bar] = truth[:, height - bar :] = 0
    high, wide = height // 10, width // 2
    y = min(height - high, round(height - bar - high * (1 - share / 100)))
    caption = np.zeros(scene.masks.shape, np.bool_)
    caption[:, y : y + high, width // 4 : width // 4 + wide] = True
    shown = truth.copy()
    shown[caption] = 255
    spoiled = Scene(truth, shown, caption, caption)
    inner = slice(bar, height - bar)
    inside = caption[:, inner]
    return Scene(truth[:, inner], shown[:, inner], inside, inside), spoiled


TROUBLES = (
    Trouble("short span", "frames", (1, 2), place_label, shorten),
    Trouble("missing masks", "frames", (1, 2, 3), place_object, drop_masks),
    Trouble("soft shadow", "%", (10, 25, 40, 60), place_object, cast_shadow),
    Trouble("flicker", "%", (4, 10, 25), place_object, flicker),
    Trouble("letterbox", "% in the bar", (25, 60), place_label, add_bars),
)


@click.command()
@click.argument("clips", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--count", default=12, show_default=True, help="Number of clips, spread over those given."
)
@click.option("--frames", default=40, show_default=True, help="Frames per clip.")
@click.option("--side", default=320, show_default=True, help="Longest side in pixels.")
@click.option("--only", multiple=True, help="Names of troubles; all by default.")
@click.option(
    "--objects",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Sequence with masks of a real object, from which some are removed; instead of CLIPS.",
)
@click.option("--thin", is_flag=True, help="Only compare thin holes over motion with Telea.")
def troubles(
    clips: Sequence[Path],
    count: int,
    frames: int,
    side: int,
    only: list[str],
    objects: Sequence[Path],
    thin: bool,
) -> None:
    """Measure the loss in dB by each trouble around a hole, on clips (*.mp4) or folders."""
    logging.getLogger("cleanplate").setLevel(logging.ERROR)  # notes of each removal
    if objects:
        print_closing(objects, places=8)
        return
    paths = sorted(path for given in clips for path in _list_clips(given))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    if not chosen:
        raise click.ClickException("no clips (*.mp4) given")
    if thin:
        print_thin(chosen, frames, side)
        return
    click.echo("| trouble | cases | without, dB | with, dB | within 2 dB | worst |")
    click.echo("|---|---|---|---|---|---|")
    for trouble in TROUBLES:
        if only and trouble.name not in only:
            continue
        for strength in trouble.strengths:
            pairs = list(measure_trouble(trouble, strength, chosen, frames, side))
            _print_row(f"{trouble.name}, {strength:g} {trouble.unit}", pairs)


def measure_trouble(
    trouble: Trouble, strength: float, paths: Sequence[Path], frames: int, side: int
) -> Iterator[tuple[str, float, float]]:
    """Yield each clip's name, and its PSNR in dB without and with the trouble."""
    for path in paths:
        clip = read_start(path, frames, side)
        if len(clip) < frames:
            continue
        seed = zlib.crc32(f"{path.stem} {trouble.name}".encode())
        scene = trouble.scene(clip, np.random.default_rng(seed))
        plain, spoiled = trouble.spoil(scene, strength, np.random.default_rng(seed))
        yield path.stem, plain.measure(), spoiled.measure()


def _list_clips(path: Path) -> list[Path]:
    return sorted(path.glob("*.mp4")) if path.is_dir() else [path]


def _print_row(name: str, pairs: Sequence[tuple[str, float, float]]) -> None:
    without, spoiled = (np.array([pair[k] for pair in pairs]) for k in (1, 2))
    loss = without - spoiled
    worst = int(loss.argmax())
    click.echo(
        f"| {name} | {len(pairs)} | {without.mean():.1f} | {spoiled.mean():.1f} |"
        f" {np.mean(loss <= ALLOWED_LOSS):.0%} | {loss[worst]:.1f} ({pairs[worst][0]}) |"
    )
