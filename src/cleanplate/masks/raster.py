"""Filled polygons, drawn on any device by counting crossings.

Along a row of pixels, every edge of a polygon that is passed changes the winding number by one. The
host finds the few places where that happens, in whole numbers; a running sum then fills all pixels
of a clip at once where they are needed. So every device draws the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Polygon = npt.NDArray[np.float64]
"""`(t, n, 2)`: the corners x, y in each of `t` frames, pixels; 0, 0 is the picture's corner."""
_Whole = npt.NDArray[np.int64]
_PARTS = 16
"""Parts of a pixel in which corners are given."""
_MIDDLE = _PARTS // 2


def fill_polygons(
    polygons: Sequence[Polygon],
    size: tuple[int, int],
    count: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The union of `polygons` on `count` frames of `size` (height, width): bool `(t, h, w)`.

    A pixel is inside when its middle is. Polygons may leave the picture.
    """
    height, width = size
    if not polygons:
        return torch.zeros(count, height, width, dtype=torch.bool, device=device)
    found = zip(*(_find_crossings(polygon, size) for polygon in polygons), strict=True)
    places, turns = (torch.from_numpy(np.concatenate(part)).to(device) for part in found)
    steps = torch.zeros(count * height * (width + 1), dtype=torch.int32, device=device)
    steps.scatter_add_(0, places, turns)
    winding = steps.view(count, height, width + 1).cumsum(2, dtype=torch.int32)
    return winding[..., :width] != 0


def _find_crossings(
    polygon: Polygon, size: tuple[int, int]
) -> tuple[_Whole, npt.NDArray[np.int32]]:
    """Where rows of pixels cross edges: places in `(t, h, w + 1)`, flat, and +1 or -1 for each."""
    frame, left, top, right, down, turn = _list_edges(polygon)
    first = np.clip(_divide_up(top - _MIDDLE), 0, size[0])
    rows = np.clip(_divide_up(top + down - _MIDDLE), 0, size[0]) - first
    edge = np.repeat(np.arange(len(rows)), rows)
    row = first[edge] + np.arange(len(edge)) - (np.cumsum(rows) - rows)[edge]
    # The first pixel whose middle is at the crossing or to its right.
    passed = _PARTS * row + _MIDDLE - top[edge]
    across = (left[edge] - _MIDDLE) * down[edge] + passed * right[edge]
    column = np.clip(-(-across // (_PARTS * down[edge])), 0, size[1])
    places = (frame[edge] * size[0] + row) * (size[1] + 1) + column
    return places, turn[edge].astype(np.int32)


def _list_edges(polygon: Polygon) -> tuple[_Whole, ...]:
    """Edges as frame, x and y of the upper end, way right, way down, +1 or -1."""
    corners = np.rint(polygon * _PARTS).astype(np.int64)
    others = np.roll(corners, -1, 1)
    # The same turn for all polygons, or overlapping ones would cancel each other.
    area = corners[..., 0] * others[..., 1] - corners[..., 1] * others[..., 0]
    turn = np.where(area.sum(1) < 0, -1, 1)[:, None]
    way = others - corners
    upper = np.where(way[..., 1:] > 0, corners, others)
    side = np.sign(way[..., 1])
    frame = np.broadcast_to(np.arange(len(corners))[:, None], side.shape)
    edges = (frame, upper[..., 0], upper[..., 1], way[..., 0] * side, way[..., 1] * side)
    slanted = side != 0
    return tuple(part[slanted] for part in (*edges, side * turn))


def _divide_up(values: _Whole) -> _Whole:
    return -(-values // _PARTS)
