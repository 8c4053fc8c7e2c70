"""Track an object without learned segmentation: optical flow, colour, own motion, evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Mask, dilate
from cleanplate.masks.tracking.appearance import (
    Appearance,
    Field,
    Place,
    find_body,
    find_colours,
    find_strip,
)
from cleanplate.masks.tracking.background import Background, Standout, find_others
from cleanplate.masks.tracking.camera import Camera
from cleanplate.masks.tracking.evidence import SURE, settle, squash
from cleanplate.masks.tracking.follower import Follower
from cleanplate.masks.tracking.judging import WEIGHTS, Judge, forgive, load_judge
from cleanplate.masks.tracking.segmenter import Found, Frames
from cleanplate.masks.tracking.sights import HiddenMasks, Sight, join_runs

_WELL = 0.6
"""Confidence from which a frame shows the object well."""


class FlowSegmenter:
    """The segmenter that needs no weights."""

    looks = 2

    def __init__(self, judge: Judge | None = None) -> None:
        self._camera: Camera | None = None
        self._judge = judge
        self._boxes: dict[int, Mask] = {}

    def segment(self, frames: Frames, index: int, box: Mask) -> Mask:
        """See Segmenter.segment."""
        frame = frames[index]
        self._boxes[index] = box
        place = Place.around(box)
        window = place.window(frames.shape)
        colours = find_colours(frame)[window]
        cells = np.zeros_like(colours)
        inside = box[window].astype(np.float32)
        seen = self._stand_out(frames, index, box, window)
        share = inside * squash(seen) * _bulge(place, window)
        for _ in range(5):
            look = Appearance(colours, cells, share, 1 - share)
            colour = look.compare(colours, cells)
            odds = forgive(seen, colour) + WEIGHTS["colour"] * colour
            share = settle(odds, frame[window], place.extent) * inside
        mask = _place_in(_cut(share, inside > 0), window, frames.shape)
        return _settle_shadow(frame, mask, box)

    def follow(self, frames: Frames, mask: Mask, indices: Sequence[int]) -> Iterator[Found]:
        """See Segmenter.follow."""
        if not mask.any():
            yield from (Found(index, mask, 1.0) for index in indices[1:])
            return
        judge = self._judge = self._judge or load_judge()
        run = Follower(self._follow_camera(frames), mask, indices[0], judge)
        sights: dict[int, Sight] = {}
        for index in indices[1:]:
            sights[index] = sight = run.step(index)
            yield Found(index, run.finish(index, sight.share), sight.confidence)
        if indices[-1] in (0, len(frames) - 1):  # else the next frame is known, and comes back
            yield from self._return(run, judge, sights, mask, list(indices))

    def _return(
        self, run: Follower, judge: Judge, sights: dict[int, Sight], mask: Mask, indices: list[int]
    ) -> Iterator[Found]:
        """Go back from the last frame that shows the object well, knowing the others by now."""
        sure = [index for index in indices[1:] if sights[index].confidence > _WELL]
        if not sure:
            return
        way = indices[indices.index(sure[-1]) :: -1]
        known = {indices[0]: Sight.keep(mask.astype(np.float32), 1.0), **sights}
        start = sights[way[0]].share > SURE
        areas = {k: s.area for k, s in known.items() if s.confidence > _WELL}
        back = Follower(run.camera, start, way[0], judge, run, HiddenMasks(known), areas)
        seen = {index: back.step(index) for index in way[1:]}
        joined = join_runs(known, seen)
        for index in indices[1:]:
            sight = joined[index]
            yield Found(index, run.finish(index, sight.share), sight.confidence)
        yield self._mend_first(run, mask, indices[0], joined[indices[0]])

    def _mend_first(self, run: Follower, mask: Mask, index: int, sight: Sight) -> Found:
        """The frame that was marked, with what the others taught, within its box."""
        inside = self._boxes.get(index, mask)
        share = np.maximum(mask, sight.share * inside)
        return Found(index, run.finish(index, share.astype(np.float32)), 1.0)

    def _stand_out(
        self, frames: Frames, index: int, box: Mask, window: tuple[slice, slice]
    ) -> Field:
        """Log odds from the background that suits the object's speed, which is not known yet."""
        background, room = Background(self._follow_camera(frames)), dilate(box, 3)
        inside = box[window].astype(np.float32)
        best, most = np.zeros_like(inside), 0.0
        for base in (4, 8, 16):
            stand = background.compare(index, find_others(index, base, len(frames)), room, window)
            if stand is not None:
                odds = Standout().compare(stand, inside, 1 - inside, 1.0)
                clear = float((odds * inside).clip(0).mean() - (odds * (1 - inside)).clip(0).mean())
                if clear > most:
                    best, most = odds, clear
        return WEIGHTS["stand"] * best

    def _follow_camera(self, frames: Frames) -> Camera:
        if self._camera is None or self._camera.frames is not frames:
            self._camera = Camera(frames)
        return self._camera


def _settle_shadow(frame: npt.NDArray[np.uint8], mask: Mask, box: Mask) -> Mask:
    """`mask` (h, w); if `box` holds a long shadow, on that side it is only body and shadow."""
    body = find_body(mask)
    for side in (-1, 1):
        strip = find_strip(frame, body, side)
        if strip.any() and (strip & box).sum() > 0.7 * strip.sum():
            core = np.flatnonzero((body & ~dilate(strip, 2)).any(0))
            if not _explains(strip, core, box, side):
                continue
            beside = slice(0, core[0]) if side < 0 else slice(core[-1] + 1, None)
            mask = mask.copy()
            mask[:, beside] = False
            mask |= strip & box
    return mask


def _explains(strip: Mask, core: npt.NDArray[np.intp], box: Mask, side: int) -> bool:
    """Whether `strip` is why `box` reaches well beyond the columns `core` of the body."""
    place, shadow = Place.around(box), np.flatnonzero((strip & box).any(0))
    if not core.size:
        return False
    edge = place.x + side * place.half_width
    gap = side * (edge - core[-1 if side > 0 else 0])
    left = side * (edge - shadow[-1 if side > 0 else 0])
    return bool(gap > place.half_height and left < 0.2 * gap)


def _bulge(place: Place, window: tuple[slice, slice]) -> Field:
    """A prior that is high in the middle of a box."""
    rows, columns = window
    y = (np.arange(rows.start, rows.stop) - place.y) / place.half_height
    x = (np.arange(columns.start, columns.stop) - place.x) / place.half_width
    return np.asarray(0.2 + 0.6 * np.exp(-(y[:, None] ** 2 + x[None] ** 2)), np.float32)


def _cut(share: Field, box: Mask) -> Mask:
    """The object in `share` (h, w): a tight box is reached on all sides, or nearly so."""
    mask = share > SURE
    for level in (0.4, 0.3, 0.2, 0.1):
        place, reach = Place.around(mask) if mask.any() else None, Place.around(box)
        if place is not None and _reaches(place, reach):
            break
        more = share > level
        if more.sum() > 0.6 * box.sum():
            break
        mask = more
    return mask if mask.any() else box


def _reaches(place: Place, box: Place) -> bool:
    width, height = place.half_width / box.half_width, place.half_height / box.half_height
    return min(width, height) > 0.88


def _place_in(part: Mask, window: tuple[slice, slice], shape: tuple[int, int]) -> Mask:
    whole = np.zeros(shape, np.bool_)
    whole[window] = part
    return whole
