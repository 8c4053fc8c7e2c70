"""Ask at both ends of a masked run whether the thing is still there, and widen the mask if it is.

A mask that is a frame short leaves the thing in the very frame that is nearest in time to those
that are filled: it would come back in all of them. This module finds such frames for things that
stay in place, such as logos, labels and captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import join, within
from cleanplate.removal.regions import Entry, Mask
from cleanplate.types import Box


@dataclass(frozen=True)
class EndTuning:
    """When a thing counts as still there in a frame that is not masked."""

    reach: int = 6
    """Frames beyond the end of a run that are asked."""
    inside: int = 8
    """Masked frames at the end of a run from which the thing's still pixels are learned."""
    still: int = 10
    """Levels by which a still pixel may change from frame to frame: coding noise."""
    changed: int = 24
    """Levels by which a pixel differs where it no longer shows the same."""
    few: float = 0.04
    """Fraction of the still pixels that may have changed while the thing is there."""
    jump: float = 4.0
    """Times as many as in frames before must have changed where the thing is gone.

    A camera's motion changes them little by little.
    """
    gone: float = 0.07
    """Fraction that must have changed besides."""
    count: int = 24
    """Still pixels that must have changed: a few may do so by chance."""
    few_inside: int = 4
    """Such frames that are enough to tell what stays from what moves slowly."""
    least: float = 0.015
    """Fraction of the hole's pixels that must be still to tell."""


_TUNING = EndTuning()


def widen_runs(
    held: Sequence[Entry], unfinished: range, tuning: EndTuning = _TUNING
) -> dict[int, Entry]:
    """Holes to add to the `unfinished` ones among `held` that still show what a neighbour masks.

    Only what stays in place is recognised.
    """
    found: dict[int, Entry] = {}
    for at in range(max(0, unfinished.start - tuning.reach), len(held)):
        entry = held[at]
        for step in (-1, 1):
            beyond = at + step
            if entry.box is None or not 0 <= beyond < len(held):
                continue
            part = find_ending(entry, held[beyond])
            if part is None:
                continue
            for k in range(1, _count_frames(held, at, step, part, tuning) + 1):
                other = at + step * k
                if other in unfinished:
                    found[other] = add_hole(found.get(other, Entry(held[other].frame)), part)
    return found


def find_ending(entry: Entry, beyond: Entry) -> Entry | None:
    """The holes of `entry` that have nothing in common with those of the next frame `beyond`."""
    if entry.box is None or entry.touched is None:
        return None
    same = beyond.touched is not None and np.array_equal(entry.touched, beyond.touched)
    if same and entry.box == beyond.box:
        return None  # most masks go on, and this is asked for every frame
    goes_on = beyond.hole(entry.box)
    if not goes_on.any():
        return entry
    count, labels = cv2.connectedComponents(entry.touched.view(np.uint8), connectivity=8)
    ends = np.ones(count, np.bool_)
    ends[labels[goes_on]] = ends[0] = False  # 0 is what no hole covers
    if not ends.any():
        return None
    kept = ends[labels]
    mask = None if entry.mask is None else entry.mask & kept
    return replace(entry, mask=mask, touched=kept)


def _count_frames(held: Sequence[Entry], at: int, step: int, part: Entry, tuning: EndTuning) -> int:
    """Frames beyond frame `at`, in the direction `step`, that still show what `part` covers.

    0 where that is gone at once, and where nothing changes as far as is looked: then nothing says
    that there is a thing.
    """
    assert part.box is not None
    box = part.box
    hole = part.touched if part.mask is None else part.mask
    assert hole is not None

    def look(t: int) -> npt.NDArray[np.int16]:
        return held[t].frame[box.slices][hole].astype(np.int16)

    def change(one: npt.NDArray[np.int16], other: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        return np.asarray(np.abs(one - other).max(axis=1), np.int16)

    within_run = [at - step * k for k in range(1, tuning.inside + 1)]
    masked = [t for t in within_run if 0 <= t < len(held) and _is_hole(held[t], box, hole)]
    if len(masked) < tuning.few_inside:
        return 0
    here = look(at)
    still = np.all([change(here, look(t)) <= tuning.still for t in masked], axis=0)
    if still.mean() < tuning.least:
        return 0
    before = 0.0
    for k in range(1, tuning.reach + 1):
        t = at + step * k
        if not 0 <= t < len(held):
            return 0
        if _is_hole(held[t], box, hole):
            return k - 1  # a gap between two runs, through which the thing stays
        changed = change(here, look(t))[still] > tuning.changed
        share = float(changed.mean())
        if k == 1 and share > tuning.few:
            return 0  # gone at once: the mask ends where the thing does
        if share > tuning.jump * before + tuning.gone:
            return k - 1 if np.count_nonzero(changed) >= tuning.count else 0
        before = max(before, share)
    return 0


def _is_hole(entry: Entry, box: Box, hole: Mask) -> bool:
    """Whether the entry masks all of `hole`, which lies in `box` of the picture."""
    return bool(entry.box is not None and entry.hole(box)[hole].all())


def add_hole(entry: Entry, part: Entry) -> Entry:
    """The entry with the holes of `part` added to its own."""
    if part.box is None or part.core is None:
        return entry
    if entry.box is None:
        return replace(part, frame=entry.frame)
    box, core = join([entry.box, part.box]), join([entry.core, part.core])
    assert box is not None
    mask, touched = (
        _draw(box, entry.box, one) | _draw(box, part.box, other)
        for one, other in ((entry.mask, part.mask), (entry.touched, part.touched))
    )
    return Entry(entry.frame, box, mask, touched, core)


def _draw(whole: Box, box: Box, mask: Mask | None) -> Mask:
    """What `mask` marks in `box`, as a mask of `whole`."""
    drawn = np.zeros(whole.size.shape, np.bool_)
    if mask is not None:
        drawn[within(box, whole).slices] = mask
    return drawn
