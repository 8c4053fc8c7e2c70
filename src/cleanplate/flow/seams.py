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

from cleanplate.flow.motion import square_length
from cleanplate.flow.trace import NOWHERE, Traces, count_before, gather

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
    """How the surroundings of k hole pixels differ from those of what a trace found for them.

    `step` (k,): squared difference in levels², NaN where nothing is compared; `offset` (k, 3):
    known colour minus the source frame's, in levels, 0 where nothing is compared.
    """

    step: Values
    offset: Values


def compare_surroundings(
    frames: Sequence[Frame], masks: Sequence[Mask], traces: Traces, rim: Rim
) -> Seams:
    """Compare the known pixel beside each rim pixel with the source frame at the same offset."""
    beside = Traces(
        traces.source[rim.index],
        traces.x[rim.index] + rim.dx,
        traces.y[rim.index] + rim.dy,
        traces.age[rim.index],
        traces.doubt[rim.index],
    )
    offset = rim.colours - gather(frames, beside, cv2.INTER_LINEAR)
    hidden = gather(
        [mask.astype(np.float32)[..., None] for mask in masks], beside, cv2.INTER_LINEAR
    )
    comparable = (beside.source != NOWHERE) & (hidden[:, 0] == 0)
    count, where = len(traces.source), rim.index[comparable]
    seams = Seams(np.full(count, np.nan, np.float32), np.zeros((count, 3), np.float32))
    seams.step[where] = square_length(offset[comparable]) / 3
    seams.offset[where] = offset[comparable]
    return seams


def _find_in_frame(frame: Frame, mask: Mask, first: int) -> tuple[npt.NDArray[np.generic], ...]:
    distance, labels = cv2.distanceTransformWithLabels(
        mask.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    near = (distance <= _DEPTH)[mask]
    y, x = (axis[near] for axis in np.nonzero(mask))
    known_y, known_x = np.nonzero(~mask)
    if not len(known_x):
        y, x, near = y[:0], x[:0], near & False
    order = np.zeros(int(labels.max()) + 1, np.int64)
    order[labels[~mask]] = np.arange(len(known_x))
    nearest = order[labels[y, x]]
    to_x, to_y = known_x[nearest], known_y[nearest]
    index = first + np.flatnonzero(near)
    dx, dy = (to_x - x).astype(np.float32), (to_y - y).astype(np.float32)
    return index, dx, dy, frame[to_y, to_x].astype(np.float32)
