"""How near to the truth: real footage with known content behind synthetic holes.

The footage is not part of this repository (its licence does not allow it); without it this
benchmark says so and ends. Scores are of the composited picture: PSNR (range 255, mean over the
frames that have a hole), SSIM in % (65x65 uniform window, every fifth frame) and PSNR inside the
hole over the whole clip.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks import read_marked
from cleanplate.video.images import read_image

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]
Fill = Callable[[Frames, Masks], Frames]

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "data" / "eval"
BLANK = 128
"""What methods see inside a hole: nothing of the truth can leak."""


class Score(NamedTuple):
    psnr: float
    ssim: float
    hole: float

    def __str__(self) -> str:
        return f"{self.psnr:.2f} / {self.ssim:.2f} / {self.hole:.2f}"

    def minus(self, other: Score) -> str:
        return " / ".join(f"{ours - theirs:+.2f}" for ours, theirs in zip(self, other, strict=True))


# The best of: Telea and Navier-Stokes frame by frame, temporal median, plain flow propagation.
BEST = {
    ("bmx-trees", "stationary"): ("plain flow", Score(40.02, 99.51, 26.17)),
    ("bmx-trees", "moving"): ("plain flow", Score(32.09, 97.55, 18.91)),
    ("tennis", "stationary"): ("Telea", Score(30.16, 97.63, 15.55)),
    ("tennis", "moving"): ("plain flow", Score(40.93, 99.02, 29.93)),
    ("schoolgirls", "stationary"): ("Telea", Score(21.20, 85.14, 12.80)),
    ("schoolgirls", "moving"): ("median", Score(32.07, 98.02, 18.76)),
}
MEANS = {
    "stationary": ("plain flow", Score(29.84, 93.69, 17.55)),
    "moving": ("plain flow", Score(34.74, 97.89, 22.36)),
}


@dataclass(frozen=True)
class Case:
    sequence: str
    kind: str
    truth: Frames
    masks: Masks


@click.command()
@click.option(
    "--methods", default="auto,flow", show_default=True, help="auto,flow,sttn,telea,median"
)
@click.option("--model", default="default", show_default=True, help="Network of auto and sttn.")
@click.option("--footage", default=FOOTAGE, type=click.Path(path_type=Path), help="Its folder.")
@click.option("--only", default="", help="One sequence.")
def quality(methods: str, model: str, footage: Path, only: str) -> None:
    """PSNR, SSIM and PSNR in the hole on three real sequences; takes minutes."""
    if not footage.is_dir():
        click.echo(f"quality: skipped, no footage at {footage}")
        return
    fills = {name: _choose(name, model) for name in methods.split(",")}
    scores: dict[str, dict[tuple[str, str], Score]] = {name: {} for name in fills}
    click.echo(
        "| sequence | mask | method | PSNR / SSIM / in hole | to beat | difference | s/frame |"
    )
    click.echo("|---|---|---|---|---|---|---|")
    for case in _read_cases(footage, only):
        for name, fill in fills.items():
            began = time.monotonic()
            score = measure(fill, case)
            seconds = (time.monotonic() - began) / len(case.truth)
            scores[name][case.sequence, case.kind] = score
            _print_row(
                case.sequence,
                case.kind,
                name,
                score,
                *BEST[case.sequence, case.kind],
                f"{seconds:.2f}",
            )
    for kind, (baseline, best) in MEANS.items():
        for name, found in scores.items():
            mine = [score for (_, its_kind), score in found.items() if its_kind == kind]
            if len(mine) == 3:
                mean = Score(*np.mean(mine, axis=0).tolist())
                _print_row("**mean**", kind, name, mean, baseline, best, "")


def measure(fill: Fill, case: Case) -> Score:
    """Score of `fill` on one clip, whose holes it gets blanked."""
    blanked = case.truth.copy()
    blanked[case.masks] = BLANK
    made = fill(blanked, case.masks)
    made = np.where(case.masks[..., None], made, case.truth)
    return score_clip(made, case.truth, case.masks)


def score_clip(made: Frames, truth: Frames, masks: Masks) -> Score:
    """Scores of frames (t, h, w, 3) against the truth."""
    from skimage.metrics import structural_similarity

    error = (made.astype(np.float32) - truth) ** 2
    by_frame = [_to_decibels(float(part.mean())) for part in error[masks.any((1, 2))]]
    similar = [
        structural_similarity(a, b, win_size=65, channel_axis=-1, data_range=255)
        for a, b in zip(made[::5], truth[::5], strict=True)
    ]
    inside = _to_decibels(float(error[masks].mean(dtype=np.float64)))
    return Score(float(np.mean(by_frame)), 100 * float(np.mean(similar)), inside)


def _to_decibels(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def _print_row(
    sequence: str, kind: str, name: str, score: Score, baseline: str, best: Score, seconds: str
) -> None:
    click.echo(
        f"| {sequence} | {kind} | {name} | {score} | {best} ({baseline})"
        f" | {score.minus(best)} | {seconds} |"
    )


def _read_cases(footage: Path, only: str) -> Iterator[Case]:
    for sequence, kind in BEST:
        if only in ("", sequence):
            folder = footage / sequence
            frames = [read_image(path) for path in sorted((folder / "frames").iterdir())]
            masks = [read_marked(path) for path in sorted((folder / kind).iterdir())]
            yield Case(sequence, kind, np.stack(frames), np.stack(masks))


def _choose(name: str, model: str) -> Fill:
    if name == "telea":
        return fill_by_telea
    if name == "median":
        return fill_by_median
    if name not in ("auto", "flow", "sttn"):
        raise click.UsageError(f"no method '{name}'; choose from auto, flow, sttn, telea, median")
    import cleanplate

    return partial(cleanplate.inpaint, method=name, model=model, dilate=0, feather=0)  # type: ignore[arg-type]


def fill_by_telea(frames: Frames, masks: Masks) -> Frames:
    """Every frame by itself (Telea 2004)."""
    pairs = zip(frames, masks.astype(np.uint8), strict=True)
    return np.stack([cv2.inpaint(frame, mask, 3, cv2.INPAINT_TELEA) for frame, mask in pairs])


def fill_by_median(frames: Frames, masks: Masks) -> Frames:
    """The median over time of what each pixel shows outside holes; Telea where it never does."""
    result = fill_by_telea(frames, masks)
    for row in range(frames.shape[1]):  # by rows: the stack of a whole clip as floats is large
        line = np.where(masks[:, row, :, None], np.nan, frames[:, row].astype(np.float32))
        seen = ~masks[:, row].all(0)
        if not seen.any():
            continue
        middle = np.zeros((*seen.shape, 3), np.float32)
        middle[seen] = np.nanmedian(line[:, seen], axis=0)
        hole = masks[:, row] & seen
        result[:, row][hole] = np.broadcast_to(middle, line.shape)[hole]
    return result
