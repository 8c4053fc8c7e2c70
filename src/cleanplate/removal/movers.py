"""Tell apart the moving objects in one mask, by following its connected parts over frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, join, shrink, shrink_mask, widen
from cleanplate.removal.regions import Entry, Frame, Mask
from cleanplate.types import Box

Field = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Point = tuple[float, float]


class Mover(NamedTuple):
    """What moves as one in some small pictures.

    `masks` and the `distance` to them, both (h, w); `middle`: of the mask, by the number of the
    held frame, in pixels of the full picture.
    """

    masks: Sequence[Mask]
    distance: Sequence[Field]
    middle: Mapping[int, Point]

    @classmethod
    def of(cls, masks: Sequence[Mask], middle: Mapping[int, Point]) -> Mover:
        """With the distances to its `masks`."""
        return cls(masks, [measure_distance(mask) for mask in masks], middle)

    def moves(self, least: float) -> bool:
        """Whether it moves by `least` pixels."""
        middles = np.array([find_middle(mask) for mask in self.masks if mask.any()])
        return len(middles) > 1 and bool(np.ptp(middles, axis=0).max() > least)


class Inset(NamedTuple):
    """A `window` of frames, seen at a `small` (height, width)."""

    window: Box
    small: tuple[int, int]

    @classmethod
    def of(cls, window: Box, scale: float) -> Inset:
        """The `window` with `scale` pixels for each small one."""
        return cls(
            window, (max(1, round(window.height / scale)), max(1, round(window.width / scale)))
        )

    def look_at(self, entry: Entry) -> Frame:
        """The frame of `entry`, small."""
        return shrink(np.ascontiguousarray(entry.frame[self.window.slices]), self.small)

    def enlarge(self, mask: Mask, shape: tuple[int, int]) -> Mask:
        """The small `mask` in a picture of (height, width)."""
        large = cv2.resize(mask.astype(np.float32), (self.window.width, self.window.height)) > 0.5
        drawn = np.zeros(shape, np.bool_)
        drawn[self.window.slices] = large
        return drawn


class Sample(NamedTuple):
    """Some of the held frames, by number, and the `inset` of them that is compared.

    `scale`: pixels for each small one.
    """

    times: range
    inset: Inset
    scale: float

    @classmethod
    def choose(cls, held: Sequence[Entry], times: range, pixels: int) -> Sample | None:
        """The frames `times` with at most that many `pixels` each; None without a hole in any."""
        box = join(held[t].box for t in times)
        if box is None:
            return None
        shape = held[times.start].frame.shape[0], held[times.start].frame.shape[1]
        window = widen(box, 16 + max(box.width, box.height) // 2, shape)
        scale = max(1.0, (window.width * window.height / pixels) ** 0.5)
        return cls(times, Inset.of(window, scale), scale)

    def find_hole(self, entry: Entry) -> Mask:
        """The hole of `entry`, small."""
        return shrink_mask(entry.hole(self.inset.window), self.inset.small)

    def locate(self, point: Point) -> Point:
        """The `point` of a small picture in the full one."""
        window, (height, width) = self.inset
        return (
            window.x + point[0] * (window.width / width),
            window.y + point[1] * (window.height / height),
        )


def measure_distance(mask: Mask) -> Field:
    """Distance (h, w) in pixels to the nearest pixel of `mask`."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    outside = (~mask).view(np.uint8)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 5), np.float32)


def find_middle(mask: Mask) -> Point:
    """The middle of the box around `mask` (h, w)."""
    box = bound(mask)
    return middle_of(box) if box is not None else (0.0, 0.0)


def middle_of(box: Box) -> Point:
    """The point (x, y) in the middle of `box`."""
    return box.x + box.width / 2, box.y + box.height / 2


def leave_out_still(holes: Sequence[Mask], still: float) -> list[Mask]:
    """The connected parts of `holes` that move; all parts where nothing else would be left.

    A pixel that is masked in more than the fraction `still` of the frames belongs to an object at
    rest. A logo stays where it is: the middle of all that is masked would not follow the moving
    object.
    """
    often = np.mean(holes, axis=0) > still
    moving = []
    for hole in holes:
        count, labels = cv2.connectedComponents(hole.view(np.uint8), connectivity=8)
        kept = np.ones(count, np.bool_)
        kept[labels[often & hole]] = kept[0] = False
        moving.append(np.asarray(kept[labels]))
    shown = sum(hole.any() for hole in holes)
    return moving if 2 * sum(mask.any() for mask in moving) > shown else list(holes)


def find_movers(
    held: Sequence[Entry],
    sample: Sample,
    holes: Sequence[Mask],
    masks: Sequence[Mask],
    near: int,
) -> list[Mover]:
    """All of the `masks` in a sample of `held` as one, and each part of the `holes` on its own.

    Parts less than about 2 `near` pixels apart are one.
    """
    middle = {t: middle_of(one.box) for t, one in enumerate(held) if one.box is not None}
    movers = [Mover.of(masks, middle)]
    if all(count_parts(hole, near) <= 1 for hole in holes):
        return movers
    first = sample.times.start
    nothing = np.zeros(sample.inset.small, np.bool_)
    for parts in follow_parts([sample.find_hole(one) for one in held[first:]], near):
        shown = [parts.get(t - first, nothing) for t in sample.times]
        middle = {first + t: sample.locate(find_middle(mask)) for t, mask in parts.items()}
        movers.append(Mover.of(shown, middle))
    return movers


def count_parts(mask: Mask, near: int) -> int:
    """How many parts `mask` (h, w) has; those less than about 2 `near` pixels apart are one."""
    return int(_label(mask, near).max())


def follow_parts(masks: Sequence[Mask], near: int) -> list[dict[int, Mask]]:
    """The objects in the `masks` (h, w) of consecutive frames: each one's masks by frame.

    Parts of two frames are the same object where they overlap each other and no other part. Where
    parts meet or separate, other objects begin.
    """
    ended: list[dict[int, Mask]] = []
    # By their label in the frame before.
    going: dict[int, dict[int, Mask]] = {}
    before = np.zeros(masks[0].shape, np.int32)
    for t, mask in enumerate(masks):
        labels = _label(mask, near)
        pairs = np.unique(np.stack([before, labels])[:, (before > 0) & (labels > 0)], axis=1)
        came = {int(new): int(old) for old, new in pairs.T if _is_single(pairs, old, new)}
        still_going = {}
        for label in range(1, int(labels.max()) + 1):
            one = going.pop(came[label]) if label in came else {}
            one[t] = mask & (labels == label)
            still_going[label] = one
        ended += going.values()
        before, going = labels, still_going
    return ended + list(going.values())


def _is_single(pairs: Labels, old: int, new: int) -> bool:
    """Whether the parts overlap no others; `pairs` (2, n) lists all that overlap."""
    return bool((pairs[0] == old).sum() == 1 and (pairs[1] == new).sum() == 1)


def _label(mask: Mask, near: int) -> Labels:
    side = 2 * near + 1
    wide = cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray(cv2.connectedComponents(wide, connectivity=8)[1], np.int32)
