"""Follow the pixels of holes through time until a frame is reached that saw them.

Flow is composed, not pictures: a hole pixel becomes a particle that is moved from frame to frame
along the completed flow, in sub-pixel steps, until it lands on a pixel that is known there. Its
colour is then sampled once, from the source frame at full resolution, so nothing is blurred twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float32]

NOWHERE = -1


@dataclass(frozen=True)
class Traces:
    """Where each hole pixel was seen, in the order of `np.nonzero` over the masks.

    `source`: index of the frame that saw it, or NOWHERE; `x`, `y`: where in that frame, in pixels;
    `age`: frames between the two; `doubt`: summed inconsistency of the flow on the way, pixels².
    """

    source: npt.NDArray[np.int32]
    x: Points
    y: Points
    age: npt.NDArray[np.int32]
    doubt: Points


@dataclass
class _Particles:
    index: npt.NDArray[np.int64]
    start: npt.NDArray[np.int32]
    x: Points
    y: Points
    doubt: Points

    def kept(self, keep: Mask) -> _Particles:
        return _Particles(*(column[keep] for column in vars(self).values()))

    def joined(self, other: _Particles) -> _Particles:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Particles(*(np.concatenate(pair) for pair in pairs))


def look_up(
    image: npt.NDArray[np.uint8] | Field, x: Points, y: Points, how: int = cv2.INTER_LINEAR
) -> npt.NDArray[Any]:
    """Sample `image` (h, w[, c]) at points x, y (k) → (k[, c]); outside, the border's value."""
    width = 1024  # cv2.remap wants a picture of points, no side of which exceeds 32,767
    spare = -len(x) % width
    map_x, map_y = (np.pad(axis, (0, spare)).reshape(-1, width) for axis in (x, y))
    found = np.asarray(cv2.remap(image, map_x, map_y, how, borderMode=cv2.BORDER_REPLICATE))
    return found.reshape(-1, *image.shape[2:])[: len(x)]


def trace(
    masks: Sequence[Mask],
    flow_to: Callable[[int, int], tuple[Field, Field]],
    step: int,
    wanted: range,
) -> Traces:
    """Follow the hole pixels of the `wanted` frames forwards (`step` 1) or backwards (-1) in time.

    `masks` are (h, w) each; `flow_to(t, u)` gives the completed flow from t to u and its
    inconsistency, at the masks' resolution or a smaller one. Particles that leave the picture are
    given up.
    """
    height, width = masks[0].shape
    first = count_before(masks, wanted)
    found = _nothing(int(first[-1]))
    blocked = [mask.astype(np.float32) for mask in masks]
    active = _born(np.zeros((height, width), np.bool_), 0, 0)
    last = len(masks) - 1 if step > 0 else 0
    for t in range(wanted[0], last, 1) if step > 0 else range(wanted[-1], last, -1):
        if t in wanted:
            active = active.joined(_born(masks[t], t, int(first[wanted.index(t)])))
        if not len(active.index):
            continue
        u = t + step
        _move(active, *flow_to(t, u), width)
        inside = (active.x >= -0.5) & (active.y >= -0.5)
        inside &= (active.x <= width - 0.5) & (active.y <= height - 0.5)
        landed = inside & (look_up(blocked[u], active.x, active.y) == 0)
        _settle(found, active.kept(landed), u)
        active = active.kept(inside & ~landed)
    return found


def count_before(masks: Sequence[Mask], wanted: range) -> npt.NDArray[np.int64]:
    """Hole pixels in the wanted frames before each of them, and in all: (len(wanted) + 1,)."""
    counts = [int(np.count_nonzero(masks[t])) for t in wanted]
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def gather(
    frames: Sequence[npt.NDArray[np.uint8] | Field], traces: Traces, how: int = cv2.INTER_LINEAR
) -> Field:
    """Colours (k, c) in [0, 255] of the traced pixels, sampled once from their source frames."""
    colours = np.zeros((len(traces.source), frames[0].shape[2]), np.float32)
    order = np.argsort(traces.source, kind="stable")
    bounds = np.searchsorted(traces.source[order], np.arange(len(frames) + 1))
    for index, frame in enumerate(frames):
        chosen = order[bounds[index] : bounds[index + 1]]
        if len(chosen):
            found = look_up(frame, traces.x[chosen], traces.y[chosen], how)
            colours[chosen] = found.reshape(len(chosen), -1)
    return colours


def _nothing(count: int) -> Traces:
    zeros = np.zeros(count, np.float32)
    nowhere = np.full(count, NOWHERE, np.int32)
    return Traces(nowhere, zeros, zeros.copy(), np.zeros(count, np.int32), zeros.copy())


def _born(mask: Mask, frame: int, first: int) -> _Particles:
    y, x = np.nonzero(mask)
    index = np.arange(first, first + len(x), dtype=np.int64)
    start = np.full(len(x), frame, np.int32)
    zero = np.zeros(len(x), np.float32)
    return _Particles(index, start, x.astype(np.float32), y.astype(np.float32), zero)


def _move(particles: _Particles, flow: Field, inconsistency: Field, width: int) -> None:
    scale = flow.shape[1] / width
    x, y = ((axis + 0.5) * scale - 0.5 for axis in (particles.x, particles.y))
    moved = look_up(flow, x, y) / np.float32(scale)
    particles.doubt += look_up(inconsistency, x, y) / np.float32(scale * scale)
    particles.x += moved[:, 0]
    particles.y += moved[:, 1]


def _settle(found: Traces, landed: _Particles, source: int) -> None:
    found.source[landed.index] = source
    found.x[landed.index] = landed.x
    found.y[landed.index] = landed.y
    found.age[landed.index] = np.abs(source - landed.start)
    found.doubt[landed.index] = landed.doubt
