"""Compiled loops over hole pixels: in one pass what NumPy does in a dozen. See `compiling`.

Import this module where a kernel is first needed. `tests/motion/test_kernels.py` compares each
kernel with plain NumPy and OpenCV.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.motion.compiling import clip, compile_loop, fma, mix, surround

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]

_HALF = np.float32(0.5)
_COVERED = np.float32(255)


@compile_loop
def move_by_flow(
    planes: Field, left: Any, top: Any, scale: Any, x: Field, y: Field, doubt: Field, count: int
) -> None:
    """Move the first `count` points along a flow and add its inconsistency to their doubt.

    `planes` (h, w, 3) as in `trace.LocalFlow`, from `left`, `top` on; `scale` converts pixels of
    the points to pixels of the flow.
    """
    height, width = planes.shape[:2]
    for i in range(count):
        to_x = (x[i] + _HALF) * scale - _HALF - left
        to_y = (y[i] + _HALF) * scale - _HALF - top
        x0, x1, across = surround(to_x, width)
        y0, y1, down = surround(to_y, height)
        one, two = planes[y0, x0], planes[y0, x1]
        three, four = planes[y1, x0], planes[y1, x1]
        x[i] += mix(one[0], two[0], three[0], four[0], across, down) / scale
        y[i] += mix(one[1], two[1], three[1], four[1], across, down) / scale
        doubt[i] += mix(one[2], two[2], three[2], four[2], across, down) / scale / scale


@compile_loop
def move_by_model(
    weights: Field, far: Any, width: Any, height: Any, scale: Any, x: Field, y: Field, count: int
) -> None:
    """Move the first `count` points by the quadratic `weights` (6, 2) of `flow.PictureMotion`."""
    for i in range(count):
        across = ((x[i] + _HALF) * scale - _HALF) / width - _HALF
        down = ((y[i] + _HALF) * scale - _HALF) / height - _HALF
        across, down = min(max(across, -far), far), min(max(down, -far), far)
        for axis in range(2):
            moved = across * weights[0, axis]
            moved = fma(down, weights[1, axis], moved)
            moved = moved + weights[2, axis]
            moved = fma(across * across, weights[3, axis], moved)
            moved = fma(across * down, weights[4, axis], moved)
            moved = fma(down * down, weights[5, axis], moved)
            if axis:
                y[i] += moved / scale
            else:
                x[i] += moved / scale


@compile_loop
def begin(hole: Mask, first: int, x: Field, y: Field, doubt: Field, index: Numbers, at: int) -> int:
    """Put points at all pixels of `hole` (h, w), from number `at` on; their `index` from `first`.

    Returns the number of points there are then.
    """
    height, width = hole.shape
    for row in range(height):
        for column in range(width):
            if hole[row, column]:
                x[at], y[at], doubt[at], index[at] = column, row, 0, first
                at += 1
                first += 1
    return at


@compile_loop
def keep_near(
    depth: Field, most: Any, x: Field, y: Field, doubt: Field, index: Numbers, count: int
) -> int:
    """Keep those of the first `count` points whose pixel of `depth` (h, w) is `most` at most.

    Returns how many are left; they come first, in order.
    """
    height, width = depth.shape
    kept = 0
    for i in range(count):
        row, column = clip(np.int32(np.rint(y[i])), height), clip(np.int32(np.rint(x[i])), width)
        if depth[row, column] <= most:
            x[kept], y[kept], doubt[kept], index[kept] = x[i], y[i], doubt[i], index[i]
            kept += 1
    return kept


@compile_loop
def settle(
    hole: Mask,
    frame: int,
    x: Field,
    y: Field,
    doubt: Field,
    index: Numbers,
    count: int,
    source: Numbers,
    found_x: Field,
    found_y: Field,
    found_doubt: Field,
) -> int:
    """Note which of the first `count` points lie outside the `hole` (h, w) of a frame.

    Their places and doubts go to their `index` of the last four arrays. Returns how many points
    are still inside; they come first, in order. Points that left the picture are dropped.
    """
    height, width = hole.shape
    right, bottom = np.float32(width) - _HALF, np.float32(height) - _HALF
    kept = 0
    for i in range(count):
        to_x, to_y = x[i], y[i]
        if not (to_x >= -_HALF and to_y >= -_HALF and to_x <= right and to_y <= bottom):
            continue
        x0, x1, across = surround(to_x, width)
        y0, y1, down = surround(to_y, height)
        one, two, three, four = hole[y0, x0], hole[y0, x1], hole[y1, x0], hole[y1, x1]
        touched = one and two and three and four
        if not touched and (one or two or three or four):
            share = mix(
                _COVERED if one else np.float32(0),
                _COVERED if two else np.float32(0),
                _COVERED if three else np.float32(0),
                _COVERED if four else np.float32(0),
                across,
                down,
            )
            touched = share > _HALF
        if touched:
            x[kept], y[kept], doubt[kept], index[kept] = to_x, to_y, doubt[i], index[i]
            kept += 1
        else:
            at = index[i]
            source[at], found_x[at], found_y[at], found_doubt[at] = frame, to_x, to_y, doubt[i]
    return kept


@compile_loop
def sort_by_source(source: Numbers, frames: int) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """The numbers of pixels (k,) by the frame that is their `source`, and where each begins.

    The second (frames + 1,): bounds of the frames in the first. Pixels without a source (< 0) are
    left out.
    """
    bounds = np.zeros(frames + 1, np.int64)
    for at in source:
        if at >= 0:
            bounds[at + 1] += 1
    bounds = np.cumsum(bounds)
    order = np.empty(bounds[-1], np.int32)
    place = bounds.copy()
    for i in range(len(source)):
        at = source[i]
        if at >= 0:
            order[place[at]] = i
            place[at] += 1
    return order, bounds


@compile_loop
def paint(frame: Frame, hole: Mask, planes: Field, scale: Any, left: Any, top: Any) -> None:
    """Put colours (h', w', c >= 3) into the `hole` (h, w) of `frame` (h, w, c >= 3).

    `scale` converts its pixels to those of `planes`, which begin at `left`, `top`.
    """
    rows, columns = planes.shape[:2]
    height, width = hole.shape
    for row in range(height):
        y0, y1, down = surround((np.float32(row) + _HALF) * scale - _HALF - top, rows)
        for column in range(width):
            if not hole[row, column]:
                continue
            to_x = (np.float32(column) + _HALF) * scale - _HALF - left
            x0, x1, across = surround(to_x, columns)
            for channel in range(3):
                level = mix(
                    planes[y0, x0, channel],
                    planes[y0, x1, channel],
                    planes[y1, x0, channel],
                    planes[y1, x1, channel],
                    across,
                    down,
                )
                level = min(max(np.rint(level), np.float32(0)), _COVERED)
                frame[row, column, channel] = np.uint8(level)


@compile_loop
def sample_in_hole(hole: Mask, planes: Field, scale: Any, left: Any, top: Any, count: int) -> Field:
    """Values (count, c) of `planes` (h', w', c) at the pixels of `hole` (h, w); see `paint`."""
    rows, columns, channels = planes.shape
    height, width = hole.shape
    found = np.empty((count, channels), np.float32)
    i = 0
    for row in range(height):
        y0, y1, down = surround((np.float32(row) + _HALF) * scale - _HALF - top, rows)
        for column in range(width):
            if not hole[row, column]:
                continue
            to_x = (np.float32(column) + _HALF) * scale - _HALF - left
            x0, x1, across = surround(to_x, columns)
            for channel in range(channels):
                found[i, channel] = mix(
                    planes[y0, x0, channel],
                    planes[y0, x1, channel],
                    planes[y1, x0, channel],
                    planes[y1, x1, channel],
                    across,
                    down,
                )
            i += 1
    return found
