"""Compiled loops over the patches of a picture. See `motion.compiling`.

Import this module where a kernel is first needed. `tests/plates/test_patches.py` compares each
kernel with OpenCV and NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.motion.compiling import compile_loop

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_LANES = 4
"""Partial sums of a squared distance: as many as OpenCV has, which are rounded alike."""
_BLOCK = 256
"""Known patches that are compared at the same time: their sums fit into the first-level cache."""


@compile_loop
def _add_squares(wanted: Any, known: Field, sums: Field) -> None:
    for j in range(len(known)):
        apart = wanted - known[j]
        sums[j] += apart * apart


@compile_loop
def find_nearest(wanted: Field, known: Field) -> tuple[Field, Indices]:
    """For each look (k, c) the distance (k,) to the nearest of the `known` (c, n), and which.

    As `cv2.batchDistance` with K = 1. The first of several that are equally near.
    """
    count, channels = wanted.shape
    others = known.shape[1]
    distance, nearest = np.empty(count, np.float32), np.zeros(count, np.int64)
    sums = np.empty((_LANES, _BLOCK), np.float32)
    whole = channels // _LANES * _LANES
    for i in range(count):
        least, best = np.float32(np.inf), np.float32(np.inf)
        for begin in range(0, others, _BLOCK):
            size = min(_BLOCK, others - begin)
            sums[:] = 0
            for channel in range(whole):
                _add_squares(
                    wanted[i, channel], known[channel, begin : begin + size], sums[channel % _LANES]
                )
            first, second, third, fourth = sums[0], sums[1], sums[2], sums[3]
            for j in range(size):
                first[j] = (first[j] + third[j]) + (second[j] + fourth[j])
            for channel in range(whole, channels):
                _add_squares(wanted[i, channel], known[channel, begin : begin + size], first)
            # Most blocks hold nothing nearer, which a loop without branches tells.
            nearer = 0
            for j in range(size):
                nearer += first[j] < least
            for j in range(size if nearer else 0):
                if first[j] < least:
                    root = np.float32(math.sqrt(first[j]))
                    if root < best:
                        least, best, nearest[i] = first[j], root, begin + j
        distance[i] = best
    return distance, nearest


@compile_loop
def add_patches(
    pixels: Field,
    target: Indices,
    source: Indices,
    weight: Field,
    light: Field,
    shares: npt.NDArray[np.float64],
    width: int,
    total: Field,
) -> None:
    """Add the patch around each `source` (k,) to `total` (h * w, 4) around its `target` (k,).

    `pixels` (h * w, 3); `weight` (k,), `light` (k, 3): of each patch, and what is added to its
    colours; `shares` (side, side): of its pixels. The fourth plane of `total` sums the weights.
    """
    side = len(shares)
    reach = side // 2
    for dy in range(side):
        for dx in range(side):
            step = (dy - reach) * width + dx - reach
            for i in range(len(target)):
                at, there = target[i] + step, source[i] + step
                share = np.float32(weight[i] * shares[dy, dx])
                for channel in range(3):
                    total[at, channel] += share * (pixels[there, channel] + light[i, channel])
                total[at, 3] += share


@compile_loop
def compare_few(colours: Field, known: Mask, other: Frame, seen: Mask) -> tuple[int, float]:
    """Compare every second pixel of every second row of two pictures (h, w, 3), up to light.

    Returns how many are `known` and `seen` (h, w), and the mean over the channels of the variance
    of their difference, in levels².
    """
    height, width = known.shape
    count, total, squares = 0, np.zeros(3), 0.0
    for row in range(0, height, 2):
        for column in range(0, width, 2):
            if known[row, column] and seen[row, column]:
                count += 1
                for channel in range(3):
                    apart = colours[row, column, channel] - np.float64(other[row, column, channel])
                    total[channel] += apart
                    squares += apart * apart
    if count == 0:
        return 0, 0.0
    mean = total / count
    return count, max(0.0, squares / count - (mean * mean).sum()) / 3


@compile_loop
def correlate_few(
    detail: Field,
    known: Mask,
    other: Field,
    seen: Mask,
    x: Field,
    y: Field,
    right: Any,
    down: Any,
) -> tuple[float, float]:
    """Correlate every second pixel of every second row of two pictures.

    `detail` (h, w) is compared with `other` at the places `x`, `y` (h, w), displaced by `right` and
    `down`, where both are `known` and `seen`. Returns the fraction of such pixels, and their
    normalized cross-correlation in [-1, 1].
    """
    height, width = known.shape
    looked, count = 0, 0
    one, two, ones, twos, both = 0.0, 0.0, 0.0, 0.0, 0.0
    for row in range(0, height, 2):
        for column in range(0, width, 2):
            looked += 1
            to_x, to_y = x[row, column] + right, y[row, column] + down
            inside = to_x >= 0 and to_y >= 0 and to_x <= width - 1 and to_y <= height - 1
            if not known[row, column] or not inside:
                continue
            left, top = min(int(to_x), width - 2), min(int(to_y), height - 2)
            if not seen[top : top + 2, left : left + 2].all():
                continue
            across, below = to_x - left, to_y - top
            upper = other[top, left] + across * (other[top, left + 1] - other[top, left])
            lower = other[top + 1, left]
            lower += across * (other[top + 1, left + 1] - other[top + 1, left])
            first, second = detail[row, column], upper + below * (lower - upper)
            count += 1
            one, two = one + first, two + second
            ones, twos = ones + first * first, twos + second * second
            both += first * second
    if count == 0:
        return 0.0, 0.0
    common = both / count - one / count * (two / count)
    spread = ones / count - (one / count) ** 2, twos / count - (two / count) ** 2
    scale = math.sqrt(max(spread[0], 0.0) * max(spread[1], 0.0))
    return count / looked, common / max(scale, 1e-6)
