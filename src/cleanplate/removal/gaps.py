"""Carry masks across frames in which a detector lost a moving object that is still seen.

A frame without a mask in the middle of a run shows the object to all its neighbours as if it were
background. This module finds gaps of a few frames and carries the mask into them along optical
flow, from both sides. It then compares two explanations of each frame: the background, predicted
from other frames as if the carried mask were a hole, and the object, warped from the masked frames.
An object that looks the same all the way needs no background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion import DisFlow, propagate
from cleanplate.motion.areas import widen
from cleanplate.motion.flow import grid
from cleanplate.removal.ends import add_hole, find_ending
from cleanplate.removal.movers import Inset
from cleanplate.removal.regions import Entry, Frame, Mask

Field = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GapTuning:
    """When a gap in a run of masks is filled."""

    longest: int = 3
    """Frames without a mask up to which a gap may be a detector's."""
    margin: int = 48
    """Pixels around the object, plus half its longer side, within which it is looked for."""
    size: int = 200
    """Longer side in pixels at which motion is estimated and frames are compared."""
    meets: float = 0.3
    """Fraction of the carried mask that the mask beyond the gap must cover."""
    grow: int = 2
    """Pixels by which a carried mask grows: its outline is less exact than a given one."""
    around: int = 10
    """Frames on either side of a gap from which the background is predicted."""
    clear: int = 6
    """Pixels around a carried mask that are no source of the background either."""
    near: int = 3
    """Pixels that a mask beyond the gap may be away from the carried one to count as met."""
    unsure: float = 0.4
    """Share of the spatial guess from which a predicted pixel says nothing."""
    changed: int = 24
    """Levels by which a pixel differs that shows something else."""
    rim: int = 3
    """Pixels inside the mask that are not compared: they may show what lies behind the object."""
    few: float = 0.15
    """Fraction of the others that may differ from frame to frame where it looks the same."""
    apart: float = 0.5
    """Pixels a frame by which it must then move differently from its surroundings."""
    beside: int = 12
    """Pixels around the object whose motion is that of its surroundings."""
    count: int = 30
    """Pixels of the object that must differ from the background in the masked frames."""
    differs: float = 0.15
    """Fraction of the masked pixels with a known background that must differ from it there."""
    better: float = 0.5
    """Times the background's error that the object's may be where a pixel shows the object."""
    explained: float = 0.5
    """Fraction of the pixels that differ from the background that must show the object."""
    explained_unsure: float = 0.9
    """The same where nothing of the background is known; in between by what is."""
    other: float = 0.6
    """Pixels that show neither, as a fraction of those that differ in the masked frames."""


_TUNING = GapTuning()


@dataclass(frozen=True)
class _Gap:
    """Frames without a mask between two that have one, seen in an `inset` of the picture.

    `masks` (h, w), small, by the number of the frame: of the object in the first and the last
    frame, carried in the others.
    """

    inset: Inset
    masks: Mapping[int, Mask]
    looks_same: bool
    """Whether the object moves on its own and looks the same from frame to frame."""

    @property
    def ends(self) -> tuple[int, int]:
        """The masked frames on both sides."""
        return min(self.masks), max(self.masks)

    @property
    def lost(self) -> range:
        """The frames without a mask."""
        first, last = self.ends
        return range(first + 1, last)

    def draw(self, mask: Mask, entry: Entry, grow: int) -> Entry:
        """The frame of `entry` with the small `mask`, grown, as hole."""
        drawn = self.inset.enlarge(mask, entry.frame.shape[:2])
        return Entry.of(entry.frame, drawn, grow, 0)


def bridge_gaps(
    held: Sequence[Entry], unfinished: range, tuning: GapTuning = _TUNING
) -> dict[int, Entry]:
    """Holes to add to the `unfinished` ones among `held` whose mask was lost."""
    first = max(0, unfinished.start - tuning.longest)
    starts = range(first, len(held) - 2)
    gaps = [gap for at in starts if (gap := _find_gap(held, at, tuning)) is not None]
    # A lost mask elsewhere would show the object as background here.
    assumed = list(held)
    for gap in gaps:
        for t in gap.lost:
            assumed[t] = add_hole(assumed[t], gap.draw(gap.masks[t], held[t], tuning.grow))
    found: dict[int, Entry] = {}
    for gap in gaps:
        if gap.lost.stop <= unfinished.start:
            continue
        for t, mask in _find_seen(assumed, gap, tuning).items():
            if t in unfinished:
                before = found.get(t, Entry(held[t].frame))
                found[t] = add_hole(before, gap.draw(mask, held[t], tuning.grow))
    return found


def _find_gap(held: Sequence[Entry], at: int, tuning: GapTuning) -> _Gap | None:
    """The gap behind frame `at`, where a mask ends there and is met by another one soon after."""
    part = find_ending(held[at], held[at + 1])
    if part is None:
        return None
    assert part.box is not None
    shape = part.frame.shape[:2]
    margin = tuning.margin + max(part.box.width, part.box.height) // 2
    window = widen(part.box, margin, (shape[0], shape[1]))
    inset = Inset.of(window, max(1.0, max(window.width, window.height) / tuning.size))
    first = _shrink_hole(part, inset)
    looks = held[at : at + tuning.longest + 2]
    views = [inset.look_at(one) for one in looks]
    there = [_shrink_hole(one, inset) for one in looks]

    @cache
    def flow(here: int, to: int) -> Field:
        return _estimate(views[here], views[to])

    ahead = [first]
    for k in range(1, len(looks)):
        carried = _warp_mask(ahead[-1], flow(k, k - 1))
        near = np.count_nonzero(_dilate(there[k], tuning.near) & carried)
        if not carried.any():
            return None
        if near >= tuning.meets * np.count_nonzero(carried):
            break
        if (there[k] & carried).any():
            return None
        ahead.append(carried)
    else:
        return None
    if k == 1:
        return None  # no frame lacks the mask: its parts met
    behind = [_keep_touched(there[k], _dilate(carried, tuning.near))]
    for t in range(k - 1, 0, -1):
        behind.append(_warp_mask(behind[-1], flow(t, t + 1)))
    masks = [one | other for one, other in zip(ahead[1:], behind[:0:-1], strict=True)]
    steps = [(mask, t, t + 1) for t, mask in enumerate(ahead)]
    back = [(mask, k - t, k - t - 1) for t, mask in enumerate(behind)]
    same = all(
        _looks_same(mask, views[here], views[to], flow(to, here), tuning)
        for mask, here, to in (*steps, *back)
    )
    apart = same and any(_moves_apart(mask, flow(here, to), tuning) for mask, here, to in steps)
    return _Gap(inset, dict(enumerate([first, *masks, behind[0]], at)), apart)


def _estimate(here: Frame, there: Frame) -> Field:
    """Flow (h, w, 2) from the picture `here` to `there`."""
    flow = DisFlow()
    return flow.flow(flow.prepare(here), flow.prepare(there))


def _warp_mask(mask: Mask, flow: Field) -> Mask:
    x, y = grid(*mask.shape)
    shares = cv2.remap(
        mask.astype(np.float32), x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR
    )
    return np.asarray(shares > 0.5)


def _looks_same(mask: Mask, here: Frame, there: Frame, back: Field, tuning: GapTuning) -> bool:
    """Whether `there` shows what `mask` (h, w) covers in `here`, but for a few pixels.

    `back`: the flow from `there` to `here`.
    """
    side = 2 * tuning.rim + 1
    inner = cv2.erode(_warp_mask(mask, back).view(np.uint8), np.ones((side, side), np.uint8)) > 0
    if np.count_nonzero(inner) < tuning.count:
        return False
    error = cv2.absdiff(_warp(here, back), there).max(axis=2)[inner]
    return bool(np.mean(error > tuning.changed) <= tuning.few)


def _moves_apart(mask: Mask, ahead: Field, tuning: GapTuning) -> bool:
    """Whether what `mask` (h, w) covers moves on its own in the flow `ahead`, as an object does.

    A mask over nothing, or over a part of the scene, says nothing about frames that lack it.
    """
    far = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 3)
    ring = (far > tuning.rim) & (far <= tuning.beside)
    if not ring.any():
        return False
    own, other = (np.median(ahead[part], axis=0) for part in (mask, ring))
    return bool(np.linalg.norm(own - other) > tuning.apart)


def _warp(picture: Frame, flow: Field) -> Frame:
    x, y = grid(*flow.shape[:2])
    to = x + flow[..., 0], y + flow[..., 1]
    return np.asarray(
        cv2.remap(picture, *to, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


class _Contrast(NamedTuple):
    """The small picture (h, w, 3) of one frame against the background predicted for it.

    `error` (h, w): largest of the channels; `sure` (h, w): where other frames say what it is.
    """

    view: Frame
    error: npt.NDArray[np.uint8]
    sure: Mask

    def differs(self, tuning: GapTuning) -> Mask:
        """Where something else than the background is seen."""
        return np.asarray(self.sure & (self.error > tuning.changed))


def _find_seen(held: Sequence[Entry], gap: _Gap, tuning: GapTuning) -> dict[int, Mask]:
    """Masks (h, w) of the object in the frames of the `gap`, if it is seen in all; else none.

    `held` have the carried masks as holes.
    """
    if gap.looks_same:
        return {t: gap.masks[t] for t in gap.lost}
    compared = _compare(held, gap, gap.ends, tuning)
    if not compared:
        return {}
    ends = [(one, gap.masks[t]) for t, one in zip(gap.ends, compared, strict=True)]
    usual = np.mean([np.count_nonzero(one.differs(tuning) & mask) for one, mask in ends])
    known = np.mean([np.mean(one.sure[mask]) for one, mask in ends])
    area = known * np.mean([np.count_nonzero(mask) for _, mask in ends])
    if usual < max(tuning.count, tuning.differs * area):
        return {}
    least = tuning.explained_unsure + (tuning.explained - tuning.explained_unsure) * known
    seen = {}
    for t, one in zip(gap.lost, _compare(held, gap, gap.lost, tuning), strict=False):
        mask = gap.masks[t]
        differs = one.differs(tuning)
        shows = np.logical_or(*(_match(one, end.view, covers, tuning) for end, covers in ends))
        count, explained = (np.count_nonzero(mask & part) for part in (differs, differs & shows))
        if explained < least * max(count, usual) or count - explained > tuning.other * usual:
            return {}
        # Limbs may stick out of what was carried.
        seen[t] = mask | (differs & _dilate(mask, tuning.clear))
    return seen


def _compare(
    held: Sequence[Entry], gap: _Gap, wanted: Sequence[int], tuning: GapTuning
) -> list[_Contrast]:
    """The `wanted` frames against their background; empty if nothing is known of it.

    Lost frames are no source of what is predicted at the ends: they may show something else in
    front of the object.
    """
    first, last = gap.ends
    around = range(max(0, first - tuning.around), min(len(held), last + tuning.around + 1))
    times = [t for t in around if t in wanted or t not in gap.lost]
    views = [gap.inset.look_at(held[t]) for t in times]
    holes = [_shrink_hole(held[t], gap.inset) for t in times]
    for at, t in enumerate(times):
        if t in gap.lost:
            holes[at] = _dilate(holes[at], tuning.clear)
    if any(hole.all() for hole in holes):
        return []
    result = propagate(views, holes, settle=False, threads=1)
    compared = []
    for at in (times.index(t) for t in wanted):
        predicted, sure = views[at].copy(), np.zeros(gap.inset.small, np.bool_)
        predicted[holes[at]] = result.pixels[at]
        sure[holes[at]] = result.guessed[at] < tuning.unsure
        error = cv2.absdiff(views[at], predicted).max(axis=2)
        compared.append(_Contrast(views[at], error, sure))
    return compared


def _match(one: _Contrast, there: Frame, mask: Mask, tuning: GapTuning) -> Mask:
    """Where `one` shows what `mask` covers in `there`, rather than the background."""
    vectors = _estimate(one.view, there)
    error = cv2.absdiff(_warp(there, vectors), one.view).max(axis=2)
    return np.asarray(_warp_mask(mask, vectors) & (error < tuning.better * one.error))


def _shrink_hole(entry: Entry, inset: Inset) -> Mask:
    """The hole of `entry` in the `inset`; a small pixel is a hole if most of it is."""
    hole = entry.hole(inset.window).astype(np.float32)
    return np.asarray(cv2.resize(hole, inset.small[::-1], interpolation=cv2.INTER_AREA) > 0.5)


def _keep_touched(mask: Mask, carried: Mask) -> Mask:
    """Those connected parts of `mask` that `carried` touches."""
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    kept = np.zeros(count, np.bool_)
    kept[labels[carried & mask]] = True
    return np.asarray(kept[labels])


def _dilate(mask: Mask, pixels: int) -> Mask:
    side = 2 * pixels + 1
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8)), np.bool_)
