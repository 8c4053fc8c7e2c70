"""Fill the hole of one frame with patches of its own surroundings, coarse to fine.

Exemplar-based completion: every patch that touches the hole takes the look of a known one, and
overlapping patches are averaged, in turn, until they agree (Wexler, Shechtman and Irani,
"Space-Time Completion of Video", PAMI 2007). The coarsest picture is filled from the rim inwards
(Criminisi, Perez and Toyama, TIP 2004); from there on the places that were found are carried
down, so that the finest picture is put together of real pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from cleanplate.motion.areas import bound, pull_push, widen
from cleanplate.motion.flow import square_length

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

_SIDE = 7
"""Height and width of a patch in pixels."""
_REACH = _SIDE // 2
_APART = 2
"""Pixels between the centres of the patches that fill the hole."""
_ORDER = 3
"""Patches are compared by those of their cosine terms whose two frequencies add up to less."""
_DEPTH = 3.0
"""Pixels from the rim to the middle of the hole in the coarsest picture, at most."""
_LEAST = 50
"""Known patches that there must be to choose from."""
_MARGIN = 40, 300
"""Pixels around the hole that are looked at: three times its depth, but at least and at most."""
_SOURCES = 12_000
"""Known patches that are compared, at most, and 1,500 where each pixel asks for itself."""
_SEARCHED = 12_000
"""Pixels of a hole up to which patches are searched; finer pictures are put together only."""
_ROUNDS = 8
_LENIENCE, _TURNS = 1.5, 2
"""How many times the least squared distance is as good, and how often neighbours are asked."""
_SOFT, _CRISP = 3.0, 1.5
"""Pixels: how far a patch counts from its centre, and in the last round."""
_LIGHT = 12.0
"""Levels by which light may differ between two places that show the same."""
_SMOOTH = 50.0
"""Variance of a patch, in levels², from which on less light is allowed to differ."""
_FALL = 1.5
"""What is that many times less sure with each pixel from the rim."""
_DEEPEST = 150.0
"""Pixels from the rim from which on all is equally unsure: float32 holds no smaller weights."""
_WORST = -40.0
"""Exponent of a patch that fits so badly that only the least weight is left."""


def complete_by_example(frame: Frame, hole: Mask) -> Field | None:
    """`frame` (h, w, 3) with its `hole` (h, w) filled, in [0, 255]; None where too little is known.

    The same whatever the number of threads.
    """
    box = bound(hole)
    if box is None:
        return None
    depth = float(_measure_depth(hole).max())
    part = widen(box, min(max(_MARGIN[0], round(3 * depth)), _MARGIN[1]), hole.shape).slices
    levels = _build_pyramid(frame[part].astype(np.float32), hole[part].copy())
    if not levels:
        return None
    filled = frame.astype(np.float32)
    filled[part] = _complete(levels)
    return filled


@dataclass(frozen=True)
class _Level:
    """A picture (h, w, 3) of the pyramid and its hole (h, w)."""

    picture: Field
    hole: Mask

    def halved(self) -> _Level:
        """Half the size; only known pixels are averaged."""
        size = ((self.hole.shape[1] + 1) // 2, (self.hole.shape[0] + 1) // 2)
        known = (~self.hole).astype(np.float32)
        share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
        total = cv2.resize(self.picture * known[..., None], size, interpolation=cv2.INTER_AREA)
        mean = total / np.maximum(share, np.float32(1e-6))[..., None]
        return _Level(np.asarray(mean, np.float32), np.asarray(share < 0.5))

    def has_sources(self) -> bool:
        """Whether enough patches are known to choose from."""
        least = min(self.hole.shape) >= 2 * _SIDE
        return least and len(self.sources(_SOURCES)[0]) >= _LEAST

    def keep_known(self, mean: Field) -> Field:
        """The picture with what is known in it, and `mean` (h, w, 3) in its hole."""
        return np.where(self.hole[..., None], mean, self.picture)

    @cached_property
    def depth(self) -> Field:
        """Distance (h, w) to the nearest known pixel; the picture's border is no rim."""
        return _measure_depth(self.hole)

    def sureness(self, y: Indices, x: Indices) -> Field:
        """Weight (k,) of what is made up at rows y and columns x: it falls from the rim inwards."""
        depth = np.minimum(self.depth[y, x], np.float32(_DEEPEST))
        return np.asarray(np.float32(_FALL) ** -depth, np.float32)

    @cached_property
    def variety(self) -> Field:
        """Variance (h, w) of each patch, in levels²."""
        size = (_SIDE, _SIDE)
        mean = cv2.blur(self.picture, size)
        spread = cv2.blur(np.square(self.picture), size) - np.square(mean)
        return np.asarray(spread.mean(2), np.float32)

    @cached_property
    def near_hole(self) -> Mask:
        """Where the centre of a patch that touches the hole lies."""
        around = np.ones((_SIDE, _SIDE), np.uint8)
        return np.asarray(cv2.dilate(self.hole.view(np.uint8), around) > 0)

    def centres(self, where: Mask) -> tuple[Indices, Indices]:
        """Rows and columns of those places whose patch lies in the picture."""
        y, x = np.nonzero(where[_REACH:-_REACH, _REACH:-_REACH])
        return y + _REACH, x + _REACH

    def sources(self, most: int) -> tuple[Indices, Indices]:
        """Centres of known patches, evenly thinned out to about as many as `most`."""
        known = ~self.near_hole
        step = max(1, int(np.ceil(np.sqrt(np.count_nonzero(known) / most))))
        thin = np.zeros_like(known)
        thin[::step, ::step] = known[::step, ::step]
        return self.centres(thin)

    def targets(self) -> tuple[Indices, Indices]:
        """Centres of patches that together cover the hole."""
        height, width = self.hole.shape
        grid = np.zeros_like(self.hole)
        rows = [*range(_REACH, height - _REACH, _APART), height - _REACH - 1]
        columns = [*range(_REACH, width - _REACH, _APART), width - _REACH - 1]
        grid[np.ix_(rows, columns)] = True
        return self.centres(grid & self.near_hole)


def _measure_depth(hole: Mask) -> Field:
    return np.asarray(cv2.distanceTransform(hole.view(np.uint8), cv2.DIST_L2, 3), np.float32)


def _build_pyramid(picture: Field, hole: Mask) -> list[_Level]:
    """Halved until the hole is shallow, the finest first; empty where too little is known."""
    levels = []
    level = _Level(picture, hole)
    while level.has_sources():
        levels.append(level)
        if level.depth.max() <= _DEPTH:
            break
        level = level.halved()
    return levels


def _complete(levels: list[_Level]) -> Field:
    """The finest picture filled."""
    picture = _fill_from_rim_inwards(levels[-1])
    places = None
    for level in reversed(levels):
        finest = level is levels[0]
        if places is not None:
            size = level.hole.shape[::-1]
            large = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
            picture = level.keep_known(np.asarray(large, np.float32))
            places = _enlarge_places(places, level.hole.shape)
        if np.count_nonzero(level.hole) > _SEARCHED and places is not None:
            mean = _put_together(level, picture, places, _CRISP)
        else:
            mean, places = _search(level, picture, places, rounds=1 if finest else _ROUNDS)
        picture = level.keep_known(mean)
    return picture + _find_step(level, mean)


def _find_step(level: _Level, mean: Field) -> Field:
    """What to add (h, w, 3) to the `mean` of patches, so that there is no step at the rim.

    The patches go beyond the rim: how they differ from what is known there goes on into the hole,
    unless it is too much to be light.
    """
    apart = level.picture - mean
    share = (level.near_hole & ~level.hole) / (1 + square_length(apart) / (3 * _LIGHT**2))
    return level.hole[..., None] * pull_push(apart, share.astype(np.float32))


def _fill_from_rim_inwards(level: _Level) -> Field:
    """Each pixel takes that of the known patch whose known surroundings are most like its own."""
    picture, known = level.picture.copy(), ~level.hole
    y, x = level.sources(_SOURCES // 8)
    patches = _take_patches(picture)[y, x]
    while not known.all():
        layer = ~known & (cv2.dilate(known.view(np.uint8), np.ones((3, 3), np.uint8)) > 0)
        rows, columns = np.nonzero(layer)
        wanted = _take_patches(picture)[rows, columns]
        counts = _take_patches(known.astype(np.float32)[..., None])[rows, columns]
        for row, column, want, count in zip(rows, columns, wanted, counts, strict=True):
            apart = np.einsum("kcyx,cyx->k", np.square(patches - want), count)
            best = int(apart.argmin())
            picture[row, column] = level.picture[y[best], x[best]]
        known = known | layer
    return picture


def _take_patches(picture: Field) -> Field:
    """The patch (c, side, side) around each pixel of a picture (h, w, c), nothing beyond it."""
    padded = np.pad(picture, ((_REACH, _REACH), (_REACH, _REACH), (0, 0)))
    return sliding_window_view(padded, (_SIDE, _SIDE), axis=(0, 1))


def _enlarge_places(places: Indices, shape: tuple[int, int]) -> Indices:
    """Places (h, w, 2) found one level coarser, as row and column here."""
    rows, columns = np.indices(shape)
    places = 2 * places[rows // 2, columns // 2]
    places += np.stack([rows % 2, columns % 2], axis=2)
    limit = np.array(shape) - _REACH - 1
    return places.clip(_REACH, limit)


def _search(
    level: _Level, picture: Field, places: Indices | None, *, rounds: int
) -> tuple[Field, Indices]:
    """Let patches look for their like and average them, in turn; begin with the `places` known."""
    y, x = level.targets()
    rows, columns = level.sources(_SOURCES)
    looks = _describe(level.picture)
    known = looks[rows, columns]
    sure = level.sureness(y, x)
    if places is not None:
        picture = level.keep_known(_put_together(level, picture, places, _SOFT))
    for left in reversed(range(rounds)):
        wanted = _describe(picture)[y, x]
        apart, nearest = cv2.batchDistance(wanted, known, cv2.CV_32F, normType=cv2.NORM_L2, K=1)
        found = np.stack([rows, columns], axis=1)[nearest[:, 0]]
        error = np.square(apart[:, 0])
        found = _agree(level, (y, x), found, wanted, looks, _LENIENCE * error)
        fit = np.maximum(-error / (2 * np.percentile(error, 75) + 1e-3), np.float32(_WORST))
        weight = sure * np.exp(fit) + 1e-8
        mean = _average(level, (y, x), found, weight, _SOFT if left else _CRISP, picture)
        picture = level.keep_known(mean)
    return mean, _spread_places(level, (y, x), found)


def _agree(
    level: _Level,
    targets: tuple[Indices, Indices],
    found: Indices,
    wanted: Field,
    looks: Field,
    most: Field,
) -> Indices:
    """Let patches go on where their neighbours are taken from, if that is not too far off.

    `found` (k, 2): the likest places for the looks `wanted` (k, c); `most` (k,): squared distance
    up to which another place is as good. Large pieces of the picture hold together so.
    """
    y, x = targets
    number = np.full(level.hole.shape, -1)
    number[y, x] = np.arange(len(y))
    limit = np.array(level.hole.shape) - _REACH - 1
    touches = level.near_hole
    found = found.copy()
    for dy, dx in ((_APART, 0), (0, _APART), (-_APART, 0), (0, -_APART)) * _TURNS:
        inside = (y >= dy) & (x >= dx) & (y - dy < limit[0] + 1) & (x - dx < limit[1] + 1)
        beside = np.where(
            inside, number[(y - dy).clip(0, limit[0]), (x - dx).clip(0, limit[1])], -1
        )
        place = found[beside] + np.array([dy, dx])
        valid = (beside >= 0) & (place >= _REACH).all(1) & (place <= limit).all(1)
        place = place.clip(_REACH, limit)
        valid &= ~touches[place[:, 0], place[:, 1]]
        error = np.square(wanted - looks[place[:, 0], place[:, 1]]).sum(1)
        take = valid & (error < most)
        found[take] = place[take]
    return found


def _put_together(level: _Level, picture: Field, places: Indices, sigma: float) -> Field:
    """The hole filled with the patches at the `places` (h, w, 2) that were found further up.

    Those that, seen finer, touch the hole count next to nothing.
    """
    y, x = level.targets()
    found = places[y, x]
    sure = level.sureness(y, x)
    touches = level.near_hole[found[:, 0], found[:, 1]]
    known = np.where(touches, np.float32(1e-6), np.float32(1))
    return _average(level, (y, x), found, sure * known, sigma, picture)


def _spread_places(level: _Level, targets: tuple[Indices, Indices], found: Indices) -> Indices:
    """For each pixel (h, w, 2) the place that the target beside it found, moved along."""
    height, width = level.hole.shape
    places = np.zeros((height, width, 2), np.int64)
    y, x = targets
    for dy in range(_APART):
        for dx in range(_APART):
            step = np.array([dy, dx])
            places[(y + dy).clip(0, height - 1), (x + dx).clip(0, width - 1)] = found + step
    return places


def _average(
    level: _Level,
    targets: tuple[Indices, Indices],
    found: Indices,
    weight: Field,
    sigma: float,
    picture: Field,
) -> Field:
    """The mean of the patches `found` (k, 2) for the `targets`, by their `weight`.

    Smooth ones take the light of the `picture` (h, w, 3) so far, so that slow changes of colour go
    on without steps.
    """
    means = (cv2.blur(one, (_SIDE, _SIDE)) for one in (picture, level.picture))
    light = next(means)[targets] - next(means)[found[:, 0], found[:, 1]]
    most = _LIGHT / (1 + level.variety[found[:, 0], found[:, 1], None] / _SMOOTH)
    light = light.clip(-most, most).astype(np.float32)
    height, width = level.hole.shape
    pixels = level.picture.reshape(-1, 3)
    total = np.zeros((height * width, 4), np.float32)
    at = targets[0] * width + targets[1]
    source = found[:, 0] * width + found[:, 1]
    for dy in range(-_REACH, _REACH + 1):
        for dx in range(-_REACH, _REACH + 1):
            step = dy * width + dx
            share = (weight * np.exp(-(dy * dy + dx * dx) / (2 * sigma**2))).astype(np.float32)
            total[at + step, :3] += share[:, None] * (pixels[source + step] + light)
            total[at + step, 3] += share
    mean = total[:, :3] / np.maximum(total[:, 3:], np.float32(1e-36))
    return np.where(total[:, 3:] > 0, mean, pixels).reshape(height, width, 3)


def _describe(picture: Field) -> Field:
    """What the patch around each pixel of `picture` (h, w, 3) looks like, (h, w, 18).

    Its lowest cosine terms in luma and chroma: an orthogonal basis, so that distances are those of
    the patches, less their finest detail.
    """
    planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    terms = [cv2.filter2D(planes, -1, term) for term in _cosine_terms()]
    return np.concatenate(terms, axis=2)


@cache
def _cosine_terms() -> list[Field]:
    """The two-dimensional cosine transform's lowest terms, each (side, side)."""
    place = (np.arange(_SIDE) + 0.5) * np.pi / _SIDE
    waves = [np.cos(place * k) * np.sqrt((1 if k == 0 else 2) / _SIDE) for k in range(_ORDER)]
    pairs = [(u, v) for v in range(_ORDER) for u in range(_ORDER - v)]
    return [np.outer(waves[v], waves[u]).astype(np.float32) for u, v in pairs]
