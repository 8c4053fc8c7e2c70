"""Compare the fill of thin, letter-shaped holes over moving subjects with Telea's method.

A caption is drawn as a hole across what moves most in a clip, so that the ground truth is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import inpaint
from cleanplate.research.benchmarks.pasting import read_start
from cleanplate.research.evaluation.metric import measure_psnr

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

_TEXT = ("The quick brown fox", "jumps over the dog")
_RADIUS = 3
"""Of Telea's method, in pixels."""


def draw_caption(clip: Frames) -> Masks:
    """Letters (t, h, w) of two lines, the same in all frames, across what moves most."""
    count, height, width = clip.shape[:3]
    y = _find_motion(clip)
    stroke = max(2, round(width / 160))
    size = width * 0.8 / cv2.getTextSize(_TEXT[0], cv2.FONT_HERSHEY_SIMPLEX, 1, stroke)[0][0]
    line = round(32 * size)
    top = int(np.clip(y, line, height - line - 4))
    letters = np.zeros((height, width), np.uint8)
    for number, text in enumerate(_TEXT):
        at = width // 10, top + number * line
        cv2.putText(letters, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, 1, stroke)
    return np.repeat(letters[None] > 0, count, axis=0)


def _find_motion(clip: Frames) -> int:
    """The line of the picture at which frames change most."""
    change = cv2.absdiff(clip[1:].reshape(-1, 3), clip[:-1].reshape(-1, 3))
    lines = change.reshape(clip[1:].shape).mean(axis=(0, 2, 3)).reshape(-1, 1)
    smooth = cv2.GaussianBlur(lines, (1, 0), 1, sigmaY=clip.shape[1] / 16)
    return int(smooth.argmax())


def measure_thin(clip: Frames) -> tuple[float, float]:
    """PSNR in dB in the letters, by this program and by Telea's method."""
    masks = draw_caption(clip)
    holed = clip.copy()
    holed[masks] = 255
    drawn = [
        cv2.inpaint(frame, mask.view(np.uint8), _RADIUS, cv2.INPAINT_TELEA)
        for frame, mask in zip(holed, masks, strict=True)
    ]
    made = inpaint(holed, masks)
    truth = clip[masks]
    return measure_psnr(made[masks], truth), measure_psnr(np.stack(drawn)[masks], truth)


def print_thin(paths: Sequence[Path], frames: int, side: int) -> None:
    """Print a table (Markdown) of the clips at `paths`."""
    click.echo("| clip | ours, dB | Telea, dB | difference |")
    click.echo("|---|---|---|---|")
    gains = []
    for path in paths:
        ours, plain = measure_thin(read_start(path, frames, side))
        gains.append(ours - plain)
        click.echo(f"| {path.stem} | {ours:.2f} | {plain:.2f} | {ours - plain:+.2f} |")
    below = sum(gain < 0 for gain in gains)
    click.echo(f"{below} of {len(gains)} below Telea, {np.mean(gains):+.2f} dB in the mean")
