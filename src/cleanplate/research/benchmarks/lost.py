"""Measure whether masks that a detector lost are carried across the gap, on real objects.

Each sequence is a folder with `object` (a mask a frame) and `frames` or `video.mp4`. Masks of one
to three frames are removed at several places: the gap must be closed. In the same frames with the
object removed or hidden behind another picture nothing may be masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import inpaint
from cleanplate.removal.gaps import bridge_gaps
from cleanplate.removal.regions import Entry
from cleanplate.research.data.clips import FolderClip, VideoClip

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

_AROUND = 12
"""Frames before and after a gap that are given."""
_COVERED = 0.95
"""Fraction of the object that the carried mask must cover in each frame."""
_LEAST = 100
"""Pixels of the object that must be seen in each frame."""


@dataclass(frozen=True)
class Closing:
    """Gaps of one length in one sequence: how many there were, and what became of them."""

    cases: int
    closed: int
    wrong: int
    """Masks made in frames that do not show the object."""


def read_sequence(folder: Path) -> tuple[Frames, Masks]:
    """Frames uint8 RGB (t, h, w, 3) and the object's masks (t, h, w) of a sequence."""
    masks = [mask[..., 0] for mask in FolderClip(folder / "object")]
    pictures = folder / "frames"
    frames = list(FolderClip(pictures) if pictures.is_dir() else VideoClip(folder / "video.mp4"))
    count = min(len(frames), len(masks))
    return np.stack(frames[:count]), np.stack(masks[:count]) > 0


def measure_closing(
    frames: Frames, masks: Masks, without: Sequence[Frames], gap: int, places: int
) -> Closing:
    """Remove masks of `gap` frames at several `places`, one at a time.

    The object is not seen in the frames `without`: nothing may be masked there.
    """
    cases = closed = wrong = 0
    for at in np.linspace(6, len(frames) - gap - 6, places).astype(int):
        lost = range(at, at + gap)
        shown = masks[at - 1 : at + gap + 1].sum((1, 2))
        if shown.min() < _LEAST:
            continue
        carried = [carry(frames, other, masks, lost) for other in (frames, *without)]
        true = masks[lost.start : lost.stop]
        covered = (carried[0] & true).sum((1, 2)) / true.sum((1, 2))
        cases += 1
        closed += bool(covered.min() >= _COVERED)
        wrong += sum(bool(made.any()) for made in carried[1:])
    return Closing(cases, closed, wrong)


def carry(frames: Frames, other: Frames, masks: Masks, lost: range) -> Masks:
    """Masks (t, h, w) made in the frames `lost`, in which `other` is seen and no mask is given."""
    first, stop = max(0, lost.start - _AROUND), min(len(masks), lost.stop + _AROUND)
    nothing = np.zeros_like(masks[0])
    shown = [other[t] if t in lost else frames[t] for t in range(first, stop)]
    given = [nothing if t in lost else masks[t] for t in range(first, stop)]
    held = [Entry.of(frame, mask, 4, 2) for frame, mask in zip(shown, given, strict=True)]
    found = bridge_gaps(held, range(len(held)))
    made = np.zeros((len(lost), *masks.shape[1:]), np.bool_)
    for t, entry in found.items():
        if entry.box is not None and t + first in lost:
            made[(t + first - lost.start, *entry.box.slices)] = entry.touched
    return made


def remove_objects(frames: Frames, masks: Masks) -> Frames:
    """The frames as if the object had never been there, as far as that is known."""
    return inpaint(frames, masks, method="flow", dilate=6, feather=2)


def hide_objects(frames: Frames, masks: Masks) -> Frames:
    """The frames with another picture in front of the object."""
    hidden = frames.copy()
    for frame, mask in zip(hidden, masks, strict=True):
        x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
        if width:
            place = slice(max(0, y - 10), y + height + 10), slice(max(0, x - 10), x + width + 10)
            frame[place] = 255 - frames[0][::-1, ::-1][place]
    return hidden


def print_closing(folders: Sequence[Path], places: int) -> None:
    """Print a table (Markdown) of the gaps closed in each sequence."""
    click.echo("| sequence | gap, frames | cases | closed | masked without the object |")
    click.echo("|---|---|---|---|---|")
    for folder in folders:
        frames, masks = read_sequence(folder)
        without = remove_objects(frames, masks), hide_objects(frames, masks)
        for gap in (1, 2, 3):
            made = measure_closing(frames, masks, without, gap, places)
            click.echo(f"| {folder.name} | {gap} | {made.cases} | {made.closed} | {made.wrong} |")
