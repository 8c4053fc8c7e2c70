"""Regression gate: PSNR of the embedded default on synthetic clips, against recorded figures.

A camera pans over public-domain photographs (scikit-image) past a moving object. The hole is
stationary, moving, or stationary in front of a stationary camera, so that no frame shows what it
hides ("unseen"). Everything is drawn here, so that no other change shifts the figures: mean PSNR
in the hole per kind of clip, in decibels. They detect a regression; for quality on footage, see
`cleanplate evaluate`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
import numpy.typing as npt

import cleanplate
from cleanplate.research.metrics.metric import measure_psnr

Pixels = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

RECORD = Path(__file__).with_suffix(".json")
ALLOWED = 0.1
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
    truth: Pixels
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
        raise click.ClickException(f"quality fell by more than {ALLOWED} dB: {', '.join(fallen)}")


def compare(found: Figures, recorded: Figures) -> list[str]:
    """Names of the figures that fell by more than ALLOWED, or are missing."""
    return [
        f"{method} {kind}"
        for method, kinds in recorded.items()
        for kind, before in kinds.items()
        if not found.get(method, {}).get(kind, -np.inf) >= before - ALLOWED
    ]


def measure(model: str | None, method: str) -> dict[str, float]:
    """Mean PSNR in the hole for each kind of hole."""
    scores: dict[str, list[float]] = {}
    for kind, truth, masks in make_cases():
        hidden = np.where(masks[..., None], np.uint8(BLANK), truth)
        made = cleanplate.inpaint(hidden, masks, model=model, method=method, device="cpu")
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


def _film(photograph: Pixels, other: Pixels, pace: float, rng: np.random.Generator) -> Pixels:
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
