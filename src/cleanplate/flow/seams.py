"""Does what a trace found belong here? Compare the surroundings of both places.

A hole pixel near the rim has a known pixel beside it. If the trace is right, the source frame
shows the same thing at the same offset from what it saw. Where it does not, a moving thing was
hidden by the hole or the flow went astray, however smoothly it did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow.boxes import bound, widen
from cleanplate.flow.motion import square_length
from cleanplate.flow.trace import count_before

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]

_DEPTH = 3.0
"""Pixels from the known ones up to which a hole pixel belongs to the rim."""


@dataclass(frozen=True)
class Rim:
    """The m hole pixels near known ones, of all frames.

    `index`: which of all hole pixels, in the order of the traces; `dx`, `dy`: from each to a known
    pixel beside it; `colours` (m, 3): of that known pixel, in [0, 255].
    """

    index: npt.NDArray[np.int64]
    dx: Values
    dy: Values
    colours: Values


def find_rim(frames: Sequence[Frame], masks: Sequence[Mask], wanted: range) -> Rim:
    """The rim of the holes `masks` (h, w) in the `wanted` ones of `frames` (h, w, 3)."""
    first = count_before(masks, wanted)
    parts = [
        _find_in_frame(frames[t], masks[t], int(before))
        for t, before in zip(wanted, first[:-1], strict=True)
    ]
    return Rim(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Seams:
    """How the surroundings of the m pixels of a rim differ from those of what a trace found.

    `step` (m,): squared difference in levels², NaN where nothing is compared; `offset` (m, 3):
    known colour minus the source frame's, in levels, 0 where nothing is compared.
    """

    step: Values
    offset: Values

    @classmethod
    def blank(cls, count: int) -> Seams:
        """Of `count` pixels, with nothing compared yet."""
        return cls(np.full(count, np.nan, np.float32), np.zeros((count, 3), np.float32))

    def compare(self, rim: Rim, which: npt.NDArray[np.int64], seen: npt.NDArray[np.uint8]) -> None:
        """Note what was `seen` (j, 4) beside the rim pixels `which` (j): colour, and 0 if known."""
        known = seen[:, 3] == 0
        which = which[known]
        offset = rim.colours[which] - seen[known, :3]
        self.step[which] = square_length(offset) / 3
        self.offset[which] = offset


def _find_in_frame(frame: Frame, mask: Mask, first: int) -> tuple[npt.NDArray[np.generic], ...]:
    nothing = np.zeros(0, np.float32)
    box = bound(mask)
    if box is None or mask.all():
        return np.zeros(0, np.int64), nothing, nothing, np.zeros((0, 3), np.float32)
    part = widen(box, 2, mask.shape).slices
    hole, picture = mask[part], frame[part]
    distance, labels = cv2.distanceTransformWithLabels(
        hole.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    near = (distance <= _DEPTH)[hole]
    y, x = (axis[near] for axis in np.nonzero(hole))
    known_y, known_x = np.nonzero(~hole)
    order = np.zeros(int(labels.max()) + 1, np.int64)
    order[labels[~hole]] = np.arange(len(known_x))
    nearest = order[labels[y, x]]
    to_x, to_y = known_x[nearest], known_y[nearest]
    dx, dy = (to_x - x).astype(np.float32), (to_y - y).astype(np.float32)
    return first + np.flatnonzero(near), dx, dy, picture[to_y, to_x].astype(np.float32)
