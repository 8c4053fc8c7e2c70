"""Follow letters of one style in the band of a caption: before it, after it, between two.

Text that slides, grows, is typed, or is one of several words one after another has the caption's
style (`ink`), but no mean picture to match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.ink import Ink
from cleanplate.masks.source import Shape, dilate_ellipse
from cleanplate.masks.template import Offset
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BandTuning:
    """Constants of following letters around a caption."""

    passing: float = 0.6
    """Seconds after which words in a band have changed: what stays for longer is the scene."""
    at_rest: float = 0.7
    """Minimum overlap (intersection over union) with the next frame of a letter at rest."""
    sudden: float = 25.0
    """Minimum change in levels of letters that come or go from one frame to the next."""
    growth: int = 3
    """Frames before and after letters at rest in which they may grow, shrink or fade."""
    silence: float = 0.5
    """Maximum seconds without letters between two captions in one band."""
    band: float = 1.0
    """Height above and below the last letters in which letters follow, in heights of the line."""
    pop: int = 8
    """Maximum number of frames in which text grows to its size."""


_TUNING = BandTuning()


@dataclass(frozen=True, slots=True)
class Moment:
    """A working frame, uint8 RGB `(h, w, 3)` in display orientation, and its time in seconds."""

    index: int
    time: float
    frame: Frame


def follow_letters(
    ink: Ink, box: Box, edge: Moment, beyond: Sequence[Moment], slides: Mapping[int, Offset]
) -> dict[int, Shape]:
    """Find letters in the frames `beyond` a caption at `box`, nearest first, until they end.

    `edge` is the frame of the caption next to them. Letters are searched across the whole picture
    in the rows of the caption. They count if they come, rest and go at once; so does what is within
    the box of such letters shortly before or after, or in the box of the caption while it slides.
    """
    strokes = _search_band(ink, box, beyond, slides)
    found = _keep_flashing(ink, edge, beyond, strokes)
    rest = {index: _frame_mask(letters) for index, letters in found.items()}
    indices = [one.index for one in beyond]
    growing = _count_growing(strokes, indices[: _TUNING.pop], box)
    for place, index in enumerate(indices):
        if index not in strokes:
            continue
        near = indices[max(0, place - _TUNING.growth) : place + _TUNING.growth + 1]
        boxes = [rest[at] for at in near if at in rest]
        boxes += [box] if place < growing else []
        if index in slides:
            boxes.append(replace(box, x=box.x + slides[index].x, y=box.y + slides[index].y))
        inside = _keep_inside(strokes[index], boxes)
        if inside.any():
            found[index] = inside | found[index] if index in found else inside
    return {index: ink.cover(letters) for index, letters in found.items()}


def _count_growing(strokes: Mapping[int, Mask], indices: Sequence[int], box: Box) -> int:
    """Count the frames in which text may grow in its box: until one shows no letter there."""
    for place, index in enumerate(indices):
        if index not in strokes or not strokes[index][box.slices].any():
            return place
    return 0


def _keep_flashing(
    ink: Ink, edge: Moment, beyond: Sequence[Moment], strokes: Mapping[int, Mask]
) -> dict[int, Mask]:
    """Keep the letters that appear at once, rest for two frames or more, and vanish at once.

    At the side of the caption, its own letters count, too: text is typed letter by letter.
    """
    moments = [edge, *beyond]
    masks = [strokes.get(one.index) for one in moments]
    open_ends = [None if mask is None else mask.copy() for mask in masks]
    found: dict[int, Mask] = {}
    for place in range(1, len(moments)):
        left = open_ends[place]
        if left is None or not left.any():
            continue
        labels, boxes = _label(left)
        for label, box in boxes:
            own = labels[box.slices] == label
            last = place
            while last + 1 < len(moments) and _rests(own, box, masks[last + 1]):
                last += 1
                following = open_ends[last]
                assert following is not None
                following[box.slices] &= ~dilate_ellipse(own, 1)
            if last + 1 == len(moments) or not _changes(own, box, moments[last], moments[last + 1]):
                continue
            is_own = place == 1 and _rests(own, box, ink.strokes)
            if not is_own and (
                last == place or not _changes(own, box, moments[place - 1], moments[place])
            ):
                continue
            for at in range(place, last + 1):
                index = moments[at].index
                found.setdefault(index, np.zeros_like(left))[box.slices] |= own
    return found


def _label(letters: Mask) -> tuple[npt.NDArray[np.int32], list[tuple[int, Box]]]:
    """Label the components of a mask; also return each label with its box."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(letters.astype(np.uint8))
    boxes = [(label, Box(*(int(value) for value in stats[label, :4]))) for label in range(1, count)]
    return np.asarray(labels, np.int32), boxes


def _rests(own: Mask, box: Box, other: Mask | None) -> bool:
    """Whether another frame shows the letter `own` in the same place."""
    if other is None:
        return False
    there = other[box.slices]
    return bool((own & there).sum() > _TUNING.at_rest * (own | there).sum())


def _changes(own: Mask, box: Box, one: Moment, other: Moment) -> bool:
    """Whether the pixels of a letter change at once between two frames."""
    change = cv2.absdiff(one.frame[box.slices], other.frame[box.slices]).max(axis=2)
    return float(np.median(change[own])) > _TUNING.sudden


def _search_band(
    ink: Ink, box: Box, beyond: Sequence[Moment], slides: Mapping[int, Offset]
) -> dict[int, Mask]:
    """Find strokes, frame number → bool `(h, w)`, in the rows of a caption until they end."""
    strokes: dict[int, Mask] = {}
    margin, down = round(_TUNING.band * box.height), 0
    seen: float | None = None
    for moment in beyond:
        seen = moment.time if seen is None else seen
        height, width = moment.frame.shape[:2]
        down = slides[moment.index].y if moment.index in slides else down
        rows = Box(0, box.y + down - margin, width, box.height + 2 * margin)
        band = rows.clipped(Size(width, height))
        others = [one.frame for one in _choose_far(moment, beyond)]
        letters = ink.find(moment.frame, band, others) if band is not None else None
        if letters is not None:
            strokes[moment.index], seen = letters, moment.time
        elif abs(moment.time - seen) > _TUNING.silence:
            break
    return strokes


def _keep_inside(letters: Mask, boxes: Sequence[Box]) -> Mask:
    """Keep the components whose centre is in one of the boxes."""
    if not boxes:
        return np.zeros_like(letters)
    labels, parts = _label(letters)
    kept = np.zeros(len(parts) + 1, np.bool_)
    for label, part in parts:
        x, y = part.x + part.width / 2, part.y + part.height / 2
        kept[label] = any(
            b.x <= x < b.x + b.width and b.y - 2 <= y < b.y + b.height + 2 for b in boxes
        )
    return np.asarray(kept[labels], np.bool_)


def _frame_mask(mask: Mask) -> Box:
    return Box(*cv2.boundingRect(mask.astype(np.uint8)))


def _choose_far(moment: Moment, beyond: Sequence[Moment]) -> list[Moment]:
    """Choose the nearest of `beyond`, sorted by time, before and after that are far enough."""
    away = [(abs(one.time - moment.time), one) for one in beyond]
    far = [(gap, one) for gap, one in away if gap >= _TUNING.passing]
    sides = (
        [one for one in far if (one[1].time > moment.time) is later] for later in (True, False)
    )
    return [min(side, key=lambda one: one[0])[1] for side in sides if side]
