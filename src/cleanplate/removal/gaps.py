"""Carry masks across frames in which a detector lost a moving thing, where the thing is still seen.

A frame without a mask in the middle of a run shows the thing to all its neighbours as if it were
background. This module finds gaps of a few frames: it carries the mask along the thing's own motion
from both sides, and fills the gap where the two meet and the thing looks the same all the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion import DisFlow, shrink
from cleanplate.motion.areas import widen
from cleanplate.motion.flow import grid
from cleanplate.removal.ends import add_hole, find_ending
from cleanplate.removal.filling import Entry, Frame, Mask
from cleanplate.types import Box

Field = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GapTuning:
    """When a gap in a run of masks is filled."""

    longest: int = 3
    """Frames without a mask up to which a gap may be a detector's."""
    margin: int = 48
    """Pixels around the thing, plus half its longer side, within which it is looked for."""
    size: int = 256
    """Longer side in pixels at which its motion is estimated."""
    meets: float = 0.5
    """Fraction of the carried mask that the mask beyond the gap must cover."""
    rim: int = 3
    """Pixels inside the mask that are not compared: they may show what lies behind the thing."""
    count: int = 30
    """Pixels that must be left to compare."""
    changed: int = 24
    """Levels by which a pixel differs that does not show the same part of the thing."""
    few: float = 0.15
    """Fraction of pixels that may differ while the thing is seen."""
    apart: float = 0.5
    """Pixels a frame by which the thing must move differently from what surrounds it."""
    around: int = 12
    """Pixels around the thing whose motion is that of its surroundings."""
    grow: int = 2
    """Pixels by which a carried mask grows: its outline is less exact than a given one."""


_TUNING = GapTuning()


def bridge_gaps(
    held: Sequence[Entry], unfinished: range, tuning: GapTuning = _TUNING
) -> dict[int, Entry]:
    """Entries of the `unfinished` ones among `held` to which a lost mask is given back.

    Each has the carried hole added to its own.
    """
    found: dict[int, Entry] = {}
    for at in range(max(0, unfinished.start - tuning.longest), len(held) - 2):
        part = find_ending(held[at], held[at + 1])
        if part is None:
            continue
        for k, carried in enumerate(_bridge(held[at : at + tuning.longest + 2], part, tuning)):
            other = at + 1 + k
            if other in unfinished:
                found[other] = add_hole(found.get(other, held[other]), carried)
    return found


def _bridge(held: Sequence[Entry], part: Entry, tuning: GapTuning) -> list[Entry]:
    """The holes of the frames between the first of `held`, of which `part` ends, and the next mask.

    Empty where no mask follows that covers the thing, or the thing is not seen all the way.
    """
    assert part.box is not None
    shape = part.frame.shape[:2]
    margin = tuning.margin + max(part.box.width, part.box.height) // 2
    window = widen(part.box, margin, (shape[0], shape[1]))
    scale = max(1.0, max(window.width, window.height) / tuning.size)
    small = max(1, round(window.height / scale)), max(1, round(window.width / scale))
    views = [shrink(np.ascontiguousarray(one.frame[window.slices]), small) for one in held]
    there = [_shrink_hole(one, window, small) for one in held]
    ahead = [_shrink_hole(part, window, small)]
    for k in range(1, len(held)):
        carried = _carry(ahead[-1], views[k - 1], views[k], tuning)
        if carried is None:
            return []
        if (there[k] & carried).sum() >= tuning.meets * carried.sum():
            break
        if there[k].any() and (there[k] & carried).any():
            return []
        ahead.append(carried)
    else:
        return []
    steps = zip(ahead, views, views[1:], strict=False)
    if not any(_moves_apart(mask, one, other, tuning) for mask, one, other in steps):
        return []
    behind = [_keep_touched(there[k], carried)]
    for t in range(k - 1, 0, -1):
        carried = _carry(behind[-1], views[t + 1], views[t], tuning)
        if carried is None:
            return []
        behind.append(carried)
    pairs = zip(ahead[1:], behind[:0:-1], held[1:k], strict=True)
    return [_draw_entry(one | other, entry, window, tuning) for one, other, entry in pairs]


def _carry(mask: Mask, here: Frame, there: Frame, tuning: GapTuning) -> Mask | None:
    """`mask` (h, w) of the picture `here` as it lies in `there`; None where the thing is lost."""
    flow = DisFlow()
    back = flow.flow(flow.prepare(there), flow.prepare(here))
    x, y = grid(*mask.shape)
    to_x, to_y = x + back[..., 0], y + back[..., 1]
    carried = cv2.remap(mask.astype(np.float32), to_x, to_y, cv2.INTER_LINEAR) > 0.5
    inner = _erode(carried, tuning.rim)
    if np.count_nonzero(inner) < tuning.count:
        return None
    moved = cv2.remap(here, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart = cv2.absdiff(moved, there).max(axis=2)[inner]
    return carried if np.mean(apart > tuning.changed) <= tuning.few else None


def _moves_apart(mask: Mask, here: Frame, there: Frame, tuning: GapTuning) -> bool:
    """Whether what `mask` (h, w) covers moves on its own, as a thing does.

    A mask over nothing, or over a part of the scene, says nothing about frames that lack it.
    """
    flow = DisFlow()
    ahead = flow.flow(flow.prepare(here), flow.prepare(there))
    far = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 3)
    ring = (far > tuning.rim) & (far <= tuning.around)
    if not ring.any():
        return False
    own, other = (np.median(ahead[part], axis=0) for part in (mask, ring))
    return bool(np.linalg.norm(own - other) > tuning.apart)


def _shrink_hole(entry: Entry, window: Box, small: tuple[int, int]) -> Mask:
    """The hole of `entry` within `window` at the size `small`."""
    hole = entry.hole(window).astype(np.float32)
    return np.asarray(cv2.resize(hole, small[::-1], interpolation=cv2.INTER_AREA) > 0.5)


def _keep_touched(mask: Mask, carried: Mask) -> Mask:
    """Those connected parts of `mask` that `carried` touches."""
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    kept = np.zeros(count, np.bool_)
    kept[labels[carried & mask]] = True
    return np.asarray(kept[labels])


def _erode(mask: Mask, pixels: int) -> Mask:
    side = 2 * pixels + 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray(cv2.erode(mask.view(np.uint8), kernel), np.bool_)


def _draw_entry(mask: Mask, entry: Entry, window: Box, tuning: GapTuning) -> Entry:
    """The frame of `entry` with the small `mask` of its `window` as hole."""
    large = cv2.resize(mask.astype(np.float32), (window.width, window.height)) > 0.5
    drawn = np.zeros(entry.frame.shape[:2], np.bool_)
    drawn[window.slices] = large
    return Entry.of(entry.frame, drawn, tuning.grow, 0)
