"""Random holes for training and evaluation: polygons and their rasterisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Polygon = npt.NDArray[np.float64]
"""`(t, n, 2)`: corners x, y in each of `t` frames, in pixels from the picture's corner."""
_Whole = npt.NDArray[np.int64]
_PARTS = 16
"""Subpixel steps to which corners are rounded."""
_MIDDLE = _PARTS // 2


def fill_polygons(
    polygons: Sequence[Polygon],
    size: tuple[int, int],
    count: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Rasterise the union of `polygons` on `count` frames of `size` to bool `(t, h, w)`.

    A pixel is inside if its centre is. Polygons may leave the picture.
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
    """Find where rows of pixels cross edges: flat indices in `(t, h, w + 1)`, and their signs."""
    frame, left, top, right, down, turn = _list_edges(polygon)
    first = np.clip(_divide_up(top - _MIDDLE), 0, size[0])
    rows = np.clip(_divide_up(top + down - _MIDDLE), 0, size[0]) - first
    edge = np.repeat(np.arange(len(rows)), rows)
    row = first[edge] + np.arange(len(edge)) - (np.cumsum(rows) - rows)[edge]
    # The first pixel whose centre is at the crossing or to its right.
    passed = _PARTS * row + _MIDDLE - top[edge]
    across = (left[edge] - _MIDDLE) * down[edge] + passed * right[edge]
    column = np.clip(-(-across // (_PARTS * down[edge])), 0, size[1])
    places = (frame[edge] * size[0] + row) * (size[1] + 1) + column
    return places, turn[edge].astype(np.int32)


def _list_edges(polygon: Polygon) -> tuple[_Whole, ...]:
    """List edges as frame, x and y of the upper end, extent right and down, sign +1 or -1."""
    corners = np.rint(polygon * _PARTS).astype(np.int64)
    others = np.roll(corners, -1, 1)
    # The same orientation for all polygons, or overlapping ones would cancel each other.
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


_Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outlines:
    """Hole as the union of polygons over time."""

    size: tuple[int, int]
    """Height and width of the frames, in pixels."""
    count: int
    """Number of frames."""
    polygons: tuple[Polygon, ...]

    def draw(self, device: torch.device | str = "cpu") -> Tensor:
        """Rasterise to masks, bool `(t, h, w)`, True = hole; the same on every device."""
        return fill_polygons(self.polygons, self.size, self.count, device)


def contour(
    rng: np.random.Generator, *, corners: int, roughness: float, steps: int = 12
) -> _Points:
    """Draw a closed cubic Bézier contour around the unit circle, `(corners * steps, 2)` as x, y.

    `roughness` 0 gives the circle; with 1, corners may be as close as its centre.
    """
    gaps = rng.uniform(0.4, 1.6, corners)
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(gaps) / gaps.sum() * 2 * np.pi
    radii = 1 - roughness * rng.random(corners)
    knots = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    tangents = (np.roll(knots, -1, 0) - np.roll(knots, 1, 0)) / 6
    start, stop = knots, np.roll(knots, -1, 0)
    first, second = start + tangents, stop - np.roll(tangents, -1, 0)
    s = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    weights = ((1 - s) ** 3, 3 * s * (1 - s) ** 2, 3 * s**2 * (1 - s), s**3)
    handles = (start, first, second, stop)
    curve: _Points = sum(
        (weight * handle[:, None] for weight, handle in zip(weights, handles, strict=True)),
        start=np.zeros((corners, steps, 2)),
    )
    return curve.reshape(-1, 2)


def free_form(
    size: tuple[int, int], times: Sequence[int], rng: np.random.Generator, *, moving: bool
) -> Outlines:
    """Draw a free-form shape of the paper on frames of `size` (height, width).

    `times` are the frame numbers in the video, so that the shape's speed does not depend on the
    selected frames. The shape covers a twentieth to a quarter of the picture.
    """
    height, width = size
    shape = contour(rng, corners=int(rng.integers(5, 10)), roughness=rng.uniform(0.2, 0.7))
    area = 0.5 * abs(_cross(shape, np.roll(shape, -1, 0)).sum())
    aspect = np.exp(rng.uniform(-0.5, 0.5))
    scale = np.sqrt(rng.uniform(0.04, 0.2) * height * width / area)
    shape = shape * scale * np.array([aspect, 1 / aspect])
    path = _path(size, times, rng, speed=0.012 if moving else 0.0)
    return Outlines(size, len(times), (shape + path[:, None],))


def blobs(size: tuple[int, int], times: Sequence[int], rng: np.random.Generator) -> Outlines:
    """Draw one to three blobs, similar to objects, that move, rotate and change their shape."""
    clock = np.asarray(times, np.float64)
    polygons = []
    for _ in range(int(rng.integers(1, 4))):
        corners = int(rng.integers(6, 12))
        seed, roughness = int(rng.integers(2**31)), rng.uniform(0.1, 0.6)
        first = contour(np.random.default_rng(seed), corners=corners, roughness=roughness)
        other = contour(np.random.default_rng(seed), corners=corners, roughness=roughness * 0.5)
        radius = rng.uniform(0.06, 0.2) * min(size) * np.array([rng.uniform(0.5, 1.2), 1.2])
        spin, pace = rng.normal(0, 0.03), rng.uniform(0.1, 0.6)
        path = _path(size, times, rng, speed=0.015)
        share = (0.5 + 0.5 * np.sin(pace * clock))[:, None, None]
        shapes = (share * first + (1 - share) * other) * radius
        polygons.append(_turn(shapes, spin * clock) + path[:, None])
    return Outlines(size, len(times), tuple(polygons))


def rectangles(size: tuple[int, int], times: Sequence[int], rng: np.random.Generator) -> Outlines:
    """Draw one or two static rectangles, similar to logos."""
    boxes = []
    for _ in range(int(rng.integers(1, 3))):
        high = int(size[0] * rng.uniform(0.1, 0.35))
        wide = int(size[1] * rng.uniform(0.1, 0.35))
        top = int(rng.integers(0, size[0] - high + 1))
        left = int(rng.integers(0, size[1] - wide + 1))
        boxes.append((left, top, wide, high))
    return _rest(size, len(times), boxes)


def text_bars(size: tuple[int, int], times: Sequence[int], rng: np.random.Generator) -> Outlines:
    """Draw one or two lines of strokes near the border, like subtitles; some are full bars."""
    boxes = []
    high = max(int(size[0] * rng.uniform(0.06, 0.13)), 5)
    full = rng.random() < 0.3
    for line in range(int(rng.integers(1, 3))):
        length = int(size[1] * rng.uniform(0.3, 0.9))
        left = (size[1] - length) // 2
        below = size[0] - (line + 1) * int(high * 1.4) - int(rng.integers(2, 8))
        top = max(below if rng.random() < 0.8 else line * int(high * 1.4) + 3, 0)
        if full:
            boxes.append((left, top, length, high))
            continue
        place = left
        while place < left + length:
            step = max(int(high * rng.uniform(0.3, 0.8)), 2)
            ink = max(int(step * rng.uniform(0.6, 0.95)), 1)
            low = top if rng.random() < 0.5 else top + high // 3
            boxes.append((place, low, ink, top + high - low))
            place += step + (high // 2 if rng.random() < 0.15 else 0)
    return _rest(size, len(times), boxes)


def paper(size: tuple[int, int], times: Sequence[int], rng: np.random.Generator) -> Outlines:
    """Draw the paper's training holes: one free-form shape, static half of the time."""
    return free_form(size, times, rng, moving=rng.random() < 0.5)


def mixed(size: tuple[int, int], times: Sequence[int], rng: np.random.Generator) -> Outlines:
    """Draw the recipes' training holes: static and moving free-form shapes, blobs, logos, text."""
    kinds: list[Callable[[], Outlines]] = [
        lambda: free_form(size, times, rng, moving=False),
        lambda: free_form(size, times, rng, moving=True),
        lambda: blobs(size, times, rng),
        lambda: rectangles(size, times, rng),
        lambda: text_bars(size, times, rng),
    ]
    return kinds[int(rng.choice(len(kinds), p=[0.34, 0.34, 0.18, 0.07, 0.07]))]()


def _cross(a: _Points, b: _Points) -> _Points:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _path(
    size: tuple[int, int], times: Sequence[int], rng: np.random.Generator, *, speed: float
) -> _Points:
    """Draw centres x, y at `times`: a straight path with a slow swing, reflected at the border.

    `speed` is the typical distance per frame, as a fraction of the picture's height.
    """
    height, width = size
    start = rng.uniform(0.15, 0.85, 2) * (width, height)
    clock = np.asarray(times, np.float64)[:, None]
    velocity = rng.normal(0, speed * height, 2)
    swing = rng.normal(0, 6 * speed * height, 2)
    way = start + velocity * clock + swing * np.sin(clock * rng.uniform(0.05, 0.3, 2))
    span = 2 * np.array([width, height], np.float64)
    way = way % span
    return np.asarray(np.minimum(way, span - way))


def _turn(shapes: Polygon, angles: _Points) -> Polygon:
    """Rotate each frame's shape by its angle in radians."""
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = shapes[..., 0], shapes[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], -1)


def _rest(
    size: tuple[int, int], count: int, boxes: Sequence[tuple[int, int, int, int]]
) -> Outlines:
    """Static rectangles: left, top, width, height."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    polygons = [np.array([x, y]) + corners * np.array([wide, high]) for x, y, wide, high in boxes]
    return Outlines(size, count, tuple(np.repeat(each[None], count, 0) for each in polygons))


Masks = npt.NDArray[np.bool_]
"""Rasterise to masks, bool `(t, h, w)`, True = hole."""


def draw_free_form(
    size: tuple[int, int], times: Sequence[int], rng: np.random.Generator, *, moving: bool
) -> Masks:
    """Draw a free-form shape of the paper on frames of `size` (height, width); see `outlines`."""
    return free_form(size, times, rng, moving=moving).draw().numpy()
