"""Holes for training and evaluation: free-form shapes, blobs, rectangles and lines of text.

The free-form shapes follow the paper (Zeng et al. 2020, section 4.1): a Bezier contour round a
circle, at rest or moving. Everything is drawn from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

Masks = npt.NDArray[np.bool_]
"""bool `(t, h, w)`, True = hole."""
_Points = npt.NDArray[np.float64]


def contour(
    rng: np.random.Generator, *, corners: int, roughness: float, steps: int = 12
) -> _Points:
    """A closed cubic Bezier contour round the unit circle, `(corners * steps, 2)` as x, y.

    `roughness` 0 gives the circle, 1 lets corners fall to its centre.
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
) -> Masks:
    """One free-form shape of the paper on frames of `size` (height, width).

    `times` are the frames' numbers in their video: the shape's speed does not depend on which
    frames were picked. The shape covers a twentieth to a quarter of the picture.
    """
    height, width = size
    shape = contour(rng, corners=int(rng.integers(5, 10)), roughness=rng.uniform(0.2, 0.7))
    area = 0.5 * abs(_cross(shape, np.roll(shape, -1, 0)).sum())
    aspect = np.exp(rng.uniform(-0.5, 0.5))
    scale = np.sqrt(rng.uniform(0.04, 0.2) * height * width / area)
    shape = shape * scale * np.array([aspect, 1 / aspect])
    path = _path(size, times, rng, speed=0.012 if moving else 0.0)
    return _draw_polygon(size, shape, path, np.zeros(len(times)))


def blobs(
    size: tuple[int, int], times: Sequence[int], rng: np.random.Generator, *, moving: bool = True
) -> Masks:
    """One to three objects-like blobs that move, turn and change their shape."""
    masks = np.zeros((len(times), *size), bool)
    for _ in range(int(rng.integers(1, 4))):
        corners = int(rng.integers(6, 12))
        seed, roughness = int(rng.integers(2**31)), rng.uniform(0.1, 0.6)
        first = contour(np.random.default_rng(seed), corners=corners, roughness=roughness)
        other = contour(np.random.default_rng(seed), corners=corners, roughness=roughness * 0.5)
        radius = rng.uniform(0.06, 0.2) * min(size) * np.array([rng.uniform(0.5, 1.2), 1.2])
        spin, pace = (rng.normal(0, 0.03), rng.uniform(0.1, 0.6)) if moving else (0.0, 0.0)
        path = _path(size, times, rng, speed=0.015 if moving else 0.0)
        for index, time in enumerate(times):
            share = 0.5 + 0.5 * np.sin(pace * time)
            shape = (share * first + (1 - share) * other) * radius
            masks[index] |= _draw_polygon(size, shape, path[index : index + 1], [spin * time])[0]
    return masks


def rectangles(size: tuple[int, int], times: Sequence[int], rng: np.random.Generator) -> Masks:
    """One or two rectangles at rest, like logos."""
    masks = np.zeros((len(times), *size), bool)
    for _ in range(int(rng.integers(1, 3))):
        high = int(size[0] * rng.uniform(0.1, 0.35))
        wide = int(size[1] * rng.uniform(0.1, 0.35))
        top = int(rng.integers(0, size[0] - high + 1))
        left = int(rng.integers(0, size[1] - wide + 1))
        masks[:, top : top + high, left : left + wide] = True
    return masks


def text_bars(size: tuple[int, int], times: Sequence[int], rng: np.random.Generator) -> Masks:
    """One or two lines of letter-like strokes near the rim, like subtitles; some are a full bar."""
    masks = np.zeros((len(times), *size), bool)
    high = max(int(size[0] * rng.uniform(0.06, 0.13)), 5)
    full = rng.random() < 0.3
    for line in range(int(rng.integers(1, 3))):
        length = int(size[1] * rng.uniform(0.3, 0.9))
        left = (size[1] - length) // 2
        below = size[0] - (line + 1) * int(high * 1.4) - int(rng.integers(2, 8))
        top = max(below if rng.random() < 0.8 else line * int(high * 1.4) + 3, 0)
        if full:
            masks[:, top : top + high, left : left + length] = True
            continue
        place = left
        while place < left + length:
            step = max(int(high * rng.uniform(0.3, 0.8)), 2)
            ink = max(int(step * rng.uniform(0.6, 0.95)), 1)
            low = top if rng.random() < 0.5 else top + high // 3
            masks[:, low : top + high, place : place + ink] = True
            place += step + (high // 2 if rng.random() < 0.15 else 0)
    return masks


def mixed(size: tuple[int, int], times: Sequence[int], rng: np.random.Generator) -> Masks:
    """What training uses: free-form half at rest and half moving, blobs, rectangles, text."""
    kinds: list[Callable[[], Masks]] = [
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
    """Centres x, y at `times`; straight with a slow swing, reflected at the rim.

    `speed` is the typical way per frame as a share of the picture's height.
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


def _draw_polygon(
    size: tuple[int, int], shape: _Points, path: _Points, angles: Sequence[float] | _Points
) -> Masks:
    """Fill `shape` moved to each centre of `path` and turned by each angle (radians)."""
    masks = np.zeros((len(path), *size), np.uint8)
    for mask, centre, angle in zip(masks, path, angles, strict=True):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = np.rint((shape @ turn.T + centre) * 16).astype(np.int32)
        cv2.fillPoly(mask, [points], 1, shift=4)
    return masks.astype(bool)
