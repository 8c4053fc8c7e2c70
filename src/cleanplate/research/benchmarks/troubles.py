"""Measure the loss by troubles around a hole, each rendered on clips with a known background.

An object is drawn on a clip, so that the ground truth is known. It is removed twice: without and
with the trouble (a mask that is too short or has gaps, a soft shadow, flicker, letterbox bars). The
loss is the difference in PSNR.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import inpaint
from cleanplate.research.benchmarks.lost import print_closing
from cleanplate.research.benchmarks.robustness import read_start
from cleanplate.research.benchmarks.thin import print_thin
from cleanplate.research.holes import blobs, free_form

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]
Fields = npt.NDArray[np.float32]

ALLOWED = 2.0
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
        f" {np.mean(loss <= ALLOWED):.0%} | {loss[worst]:.1f} ({pairs[worst][0]}) |"
    )
