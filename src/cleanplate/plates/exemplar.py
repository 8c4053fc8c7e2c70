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


@dataclass(frozen=True)
class ExemplarTuning:
    """Constants of exemplar-based completion."""

    side: int = 7
    """Height and width of a patch in pixels."""
    apart: int = 2
    """Pixels between the centres of neighbouring target patches: overlap averages seams."""
    order: int = 3
    """Sum of frequencies from which on a patch's cosine terms are dropped as fine detail."""
    deepest: float = 150.0
    """Depth in pixels beyond which confidence stays the same: float32 has no smaller weights."""
    depth: float = 3.0
    """Largest depth in pixels of the hole at the coarsest level, which is filled from the rim."""
    least: int = 50
    """Smallest number of known patches to choose from."""
    sources: int = 12_000
    """Most known patches that are compared; an eighth of it where each pixel searches."""
    searched: int = 12_000
    """Hole pixels up to which a level is searched; finer levels only reuse what was found."""
    rounds: int = 8
    """Rounds of search and average on each level but the finest, which takes one."""
    lenience: float = 1.5
    """Factor on the least squared distance up to which a neighbour's source counts as good."""
    turns: int = 2
    """Times the four neighbours are asked in each round."""
    soft: float = 3.0
    """Sigma in pixels of a patch's weight around its centre, in all rounds but the last."""
    crisp: float = 1.5
    """The same in the last round: narrower, so that detail stays sharp."""
    light: float = 12.0
    """Levels by which the light of source and target may differ."""
    smooth: float = 50.0
    """Patch variance in levels² at which the allowed difference of light is halved."""
    fall: float = 1.5
    """Factor by which confidence falls with each pixel from the rim."""
    worst: float = -40.0
    """Lower bound of the exponent of a patch's weight, which avoids underflow."""
    least_margin: int = 40
    """Smallest context around the hole in pixels; otherwise three times its depth."""
    most_margin: int = 300
    """Largest context around the hole in pixels, to bound the work."""

    @property
    def reach(self) -> int:
        """Pixels from the centre of a patch to its border."""
        return self.side // 2


_TUNING = ExemplarTuning()


def complete_by_example(frame: Frame, hole: Mask) -> Field | None:
    """`frame` (h, w, 3) with its `hole` (h, w) filled, in [0, 255]; None where too little is known.

    The same whatever the number of threads.
    """
    box = bound(hole)
    if box is None:
        return None
    depth = float(_measure_depth(hole).max())
    margin = min(max(_TUNING.least_margin, round(3 * depth)), _TUNING.most_margin)
    part = widen(box, margin, hole.shape).slices
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
        least = min(self.hole.shape) >= 2 * _TUNING.side
        return least and len(self.sources(_TUNING.sources)[0]) >= _TUNING.least

    def keep_known(self, mean: Field) -> Field:
        """The picture with what is known in it, and `mean` (h, w, 3) in its hole."""
        return np.where(self.hole[..., None], mean, self.picture)

    @cached_property
    def depth(self) -> Field:
        """Distance (h, w) to the nearest known pixel; the picture's border is no rim."""
        return _measure_depth(self.hole)

    def sureness(self, y: Indices, x: Indices) -> Field:
        """Weight (k,) of what is made up at rows y and columns x: it falls from the rim inwards."""
        depth = np.minimum(self.depth[y, x], np.float32(_TUNING.deepest))
        return np.asarray(np.float32(_TUNING.fall) ** -depth, np.float32)

    @cached_property
    def variety(self) -> Field:
        """Variance (h, w) of each patch, in levels²."""
        size = (_TUNING.side, _TUNING.side)
        mean = cv2.blur(self.picture, size)
        spread = cv2.blur(np.square(self.picture), size) - np.square(mean)
        return np.asarray(spread.mean(2), np.float32)

    @cached_property
    def near_hole(self) -> Mask:
        """Where the centre of a patch that touches the hole lies."""
        around = np.ones((_TUNING.side, _TUNING.side), np.uint8)
        return np.asarray(cv2.dilate(self.hole.view(np.uint8), around) > 0)

    def centres(self, where: Mask) -> tuple[Indices, Indices]:
        """Rows and columns of those places whose patch lies in the picture."""
        y, x = np.nonzero(where[_TUNING.reach : -_TUNING.reach, _TUNING.reach : -_TUNING.reach])
        return y + _TUNING.reach, x + _TUNING.reach

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
        rows = [
            *range(_TUNING.reach, height - _TUNING.reach, _TUNING.apart),
            height - _TUNING.reach - 1,
        ]
        columns = [
            *range(_TUNING.reach, width - _TUNING.reach, _TUNING.apart),
            width - _TUNING.reach - 1,
        ]
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
        if level.depth.max() <= _TUNING.depth:
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
        if np.count_nonzero(level.hole) > _TUNING.searched and places is not None:
            mean = _put_together(level, picture, places, _TUNING.crisp)
        else:
            mean, places = _search(level, picture, places, rounds=1 if finest else _TUNING.rounds)
        picture = level.keep_known(mean)
    return picture + _find_step(level, mean)


def _find_step(level: _Level, mean: Field) -> Field:
    """What to add (h, w, 3) to the `mean` of patches, so that there is no step at the rim.

    The patches go beyond the rim: how they differ from what is known there goes on into the hole,
    unless it is too much to be light.
    """
    apart = level.picture - mean
    share = (level.near_hole & ~level.hole) / (1 + square_length(apart) / (3 * _TUNING.light**2))
    return level.hole[..., None] * pull_push(apart, share.astype(np.float32))


def _fill_from_rim_inwards(level: _Level) -> Field:
    """Each pixel takes that of the known patch whose known surroundings are most like its own."""
    picture, known = level.picture.copy(), ~level.hole
    y, x = level.sources(_TUNING.sources // 8)
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
    padded = np.pad(
        picture, ((_TUNING.reach, _TUNING.reach), (_TUNING.reach, _TUNING.reach), (0, 0))
    )
    return sliding_window_view(padded, (_TUNING.side, _TUNING.side), axis=(0, 1))


def _enlarge_places(places: Indices, shape: tuple[int, int]) -> Indices:
    """Places (h, w, 2) found one level coarser, as row and column here."""
    rows, columns = np.indices(shape)
    places = 2 * places[rows // 2, columns // 2]
    places += np.stack([rows % 2, columns % 2], axis=2)
    limit = np.array(shape) - _TUNING.reach - 1
    return places.clip(_TUNING.reach, limit)


def _search(
    level: _Level, picture: Field, places: Indices | None, *, rounds: int
) -> tuple[Field, Indices]:
    """Let patches look for their like and average them, in turn; begin with the `places` known."""
    from cleanplate.plates import patches

    y, x = level.targets()
    rows, columns = level.sources(_TUNING.sources)
    looks = _describe(level.picture)
    known = np.ascontiguousarray(looks[rows, columns].T)
    sure = level.sureness(y, x)
    if places is not None:
        picture = level.keep_known(_put_together(level, picture, places, _TUNING.soft))
    for left in reversed(range(rounds)):
        wanted = _describe(picture)[y, x]
        apart, nearest = patches.find_nearest(wanted, known)
        found = np.stack([rows, columns], axis=1)[nearest]
        error: Field = np.square(apart)
        found = _agree(level, (y, x), found, wanted, looks, _TUNING.lenience * error)
        fit = np.maximum(-error / (2 * np.percentile(error, 75) + 1e-3), np.float32(_TUNING.worst))
        weight = sure * np.exp(fit) + 1e-8
        mean = _average(
            level, (y, x), found, weight, _TUNING.soft if left else _TUNING.crisp, picture
        )
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
    limit = np.array(level.hole.shape) - _TUNING.reach - 1
    touches = level.near_hole
    found = found.copy()
    for dy, dx in (
        (_TUNING.apart, 0),
        (0, _TUNING.apart),
        (-_TUNING.apart, 0),
        (0, -_TUNING.apart),
    ) * _TUNING.turns:
        inside = (y >= dy) & (x >= dx) & (y - dy < limit[0] + 1) & (x - dx < limit[1] + 1)
        beside = np.where(
            inside, number[(y - dy).clip(0, limit[0]), (x - dx).clip(0, limit[1])], -1
        )
        place = found[beside] + np.array([dy, dx])
        valid = (beside >= 0) & (place >= _TUNING.reach).all(1) & (place <= limit).all(1)
        place = place.clip(_TUNING.reach, limit)
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
    for dy in range(_TUNING.apart):
        for dx in range(_TUNING.apart):
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
    from cleanplate.plates import patches

    means = (cv2.blur(one, (_TUNING.side, _TUNING.side)) for one in (picture, level.picture))
    light = next(means)[targets] - next(means)[found[:, 0], found[:, 1]]
    most = _TUNING.light / (1 + level.variety[found[:, 0], found[:, 1], None] / _TUNING.smooth)
    light = light.clip(-most, most).astype(np.float32)
    height, width = level.hole.shape
    pixels = level.picture.reshape(-1, 3)
    total = np.zeros((height * width, 4), np.float32)
    at = targets[0] * width + targets[1]
    source = found[:, 0] * width + found[:, 1]
    place = np.arange(-_TUNING.reach, _TUNING.reach + 1)
    shares = np.exp(-(place[:, None] ** 2 + place**2) / (2 * sigma**2))
    patches.add_patches(pixels, at, source, weight, light, shares, width, total)
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
    place = (np.arange(_TUNING.side) + 0.5) * np.pi / _TUNING.side
    waves = [
        np.cos(place * k) * np.sqrt((1 if k == 0 else 2) / _TUNING.side)
        for k in range(_TUNING.order)
    ]
    pairs = [(u, v) for v in range(_TUNING.order) for u in range(_TUNING.order - v)]
    return [np.outer(waves[v], waves[u]).astype(np.float32) for u, v in pairs]
