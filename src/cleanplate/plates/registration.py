"""Register two frames of one shot that may lie far apart in time.

A homography from feature matches outside the holes aligns what is far away or flat, and dense
residual flow the rest; inside holes it is interpolated from around them. The residual around a hole
tells how well a source will fit there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, pull_push, shrink, shrink_mask, widen
from cleanplate.motion.flow import DisFlow, grid, square_length
from cleanplate.motion.trace import look_up

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]
Axis = npt.NDArray[Any]
"""Coordinates, float32 or float64."""


@dataclass(frozen=True)
class RegistrationTuning:
    """Constants of registration; lengths in pixels and levels of the reduced pictures."""

    longest: int = 320
    """Longest side of a reduced picture: registration costs the same at 240p and 4K."""
    rim: int = 3
    """Distance from a hole within which pixels are not compared: shadows and soft edges."""
    features: int = 600
    """Most SIFT features of a picture (Lowe 2004)."""
    contrast: float = 0.02
    """Least contrast of a feature: half of OpenCV's default, as backgrounds are often plain."""
    ratio: float = 0.75
    """Largest ratio of the best to the second-best descriptor distance (Lowe 2004, section 7.1)."""
    reach: float = 2.0
    """Distance up to which a match is an inlier of a homography."""
    inliers: int = 12
    """Fewest inliers of a homography."""
    spacing: int = 8
    """Pixels between points of a flow that a homography is fitted to."""
    one_plane: float = 0.6
    """Fraction of such points that must be inliers."""
    zoom: float = 3.0
    """Largest change of area that a homography may make, either way."""
    still: float = 0.9
    """Fraction by which a homography's difference must be smaller than that of no motion: a camera
    at rest must not tremble."""
    at_rest: float = 3.0
    """Median difference in levels below which no motion is assumed without a search."""
    overlap: float = 0.05
    """Least fraction of a picture that both frames must show outside their holes."""
    step: float = 6.0
    """Longest residual motion: beyond, flow has locked onto something else."""
    outlier: float = 30.0
    """Difference in levels from which two pixels do not show the same surface."""
    misfit: float = 60.0
    """Median difference in levels from which two frames are not taken to show the same place: a
    sunset in a time-lapse makes 50."""
    alike: float = 0.3
    """Least correlation of the detail of two pictures of the same place. Between frames of shots
    it was 0.4 and more, and up to 0.2 where a homography was wrong."""
    chance: float = 0.9
    """Fraction of it that must not be reached at displaced places: it was 0.3 to 0.85."""
    displaced: tuple[int, ...] = (3, 6)
    """Displacements for that: about the width of fine texture."""
    detail: float = 6.0
    """Standard deviation of the blur that correlation subtracts from a picture."""
    common: float = 0.25
    """Overlap that two pictures must have to be correlated, as a fraction of the largest."""
    worst: float = 3000.0
    """Cap of the squared residual, so that single outliers do not dominate."""


_TUNING = RegistrationTuning()
_FLOW = DisFlow("fast")
_FEW = np.s_[::2, ::2]
"""A quarter of the pixels: they compare two pictures as well as all of them."""


def reduce_points(
    x: Axis, y: Axis, whole: tuple[int, ...], small: tuple[int, ...]
) -> tuple[Axis, Axis]:
    """Where points of a picture of shape `whole` (h, w) lie in it at the reduced shape `small`."""
    down, across = (np.float32(one / other) for one, other in zip(whole, small, strict=True))
    half = np.float32(0.5)  # a pixel's middle stays in the middle
    return (x + half) / across - half, (y + half) / down - half


def enlarge_points(
    x: Axis, y: Axis, whole: tuple[int, ...], small: tuple[int, ...]
) -> tuple[Axis, Axis]:
    """The inverse of `reduce_points`."""
    down, across = (np.float32(one / other) for one, other in zip(whole, small, strict=True))
    half = np.float32(0.5)
    return (x + half) * across - half, (y + half) * down - half


def _smooth_over(colours: Frame, hole: Mask) -> Frame:
    """Replace what the hole (h, w) shows: no feature and no flow near it is of the object."""
    box = bound(hole)
    if box is None:
        return colours
    part = widen(box, 1, hole.shape).slices
    smooth = pull_push(colours[part].astype(np.float32), (~hole[part]).astype(np.float32))
    colours = colours.copy()
    colours[hole] = np.rint(smooth[hole[part]])
    return colours


@dataclass(frozen=True)
class SmallPicture:
    """A frame at reduced size, as it is registered.

    `colours` (h', w', 3) uint8; `known` (h', w'): outside the dilated hole; `shape`: (h, w) of the
    whole frame.
    """

    colours: Frame
    known: Mask
    shape: tuple[int, int]

    @classmethod
    def of(cls, frame: Frame, hole: Mask) -> SmallPicture:
        """Reduce a frame (h, w, 3) and its hole (h, w)."""
        height, width = hole.shape
        scale = min(1.0, _TUNING.longest / max(height, width))
        shape = max(1, round(height * scale)), max(1, round(width * scale))
        hidden = shrink_mask(hole, shape).view(np.uint8)
        side = 2 * _TUNING.rim + 1
        wide = cv2.dilate(hidden, np.ones((side, side), np.uint8))
        colours = _smooth_over(shrink(frame, shape), np.asarray(hidden != 0))
        return cls(colours, np.asarray(wide == 0), (height, width))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the reduced picture."""
        return self.known.shape

    @cached_property
    def gray(self) -> Frame:
        """As flow and features are computed on it."""
        return np.asarray(cv2.cvtColor(self.colours, cv2.COLOR_RGB2GRAY), np.uint8)

    @cached_property
    def hidden(self) -> Frame:
        """255 where nothing is known."""
        return np.where(self.known, np.uint8(0), np.uint8(255))

    @cached_property
    def detail(self) -> Field:
        """Differences of `gray` (h', w') from its surroundings; 0 in and at the hole."""
        known = self.known.astype(np.float32)
        gray = self.gray.astype(np.float32)
        weight = cv2.GaussianBlur(known, (0, 0), _TUNING.detail)
        mean = cv2.GaussianBlur(gray * known, (0, 0), _TUNING.detail)
        return np.asarray(known * (gray - mean / np.maximum(weight, np.float32(1e-3))), np.float32)

    @cached_property
    def features(self) -> tuple[Field, Frame]:
        """Places (n, 2) and descriptors (n, 128) of the features outside the hole."""
        sift = cv2.SIFT.create(_TUNING.features, contrastThreshold=_TUNING.contrast)
        points, descriptors = sift.detectAndCompute(self.gray, cv2.bitwise_not(self.hidden))
        if descriptors is None:
            return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
        places = np.array([point.pt for point in points], np.float32)
        return places, descriptors.astype(np.uint8)  # whole numbers up to 255


@dataclass(frozen=True)
class Registration:
    """Where the pixels of one frame lie in another.

    At the reduced size (h', w'): `x` and `y`, the place in the other reduced picture; `light` (h',
    w', 3), what to add to the other's colours; `error` (h', w'), the squared difference in levels²
    that remains, carried into the hole; both None where they were not asked for. `misfit`: median
    of the difference outside the holes, in levels.
    """

    x: Field
    y: Field
    misfit: float
    shape: tuple[int, int]
    light: Field | None = None
    error: Field | None = None

    def locate(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Where points (k) of the frame lie in the other one."""
        found = self._look_up(np.dstack([self.x, self.y]), x, y)
        return enlarge_points(found[:, 0], found[:, 1], self.shape, self.x.shape)

    def measure(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Light (k, 3) and error (k) at points (k) of the frame."""
        if self.light is None or self.error is None:
            raise ValueError("light and error were not measured")
        return self._look_up(self.light, x, y), self._look_up(self.error, x, y)

    def _look_up(self, plane: Field, x: Field, y: Field) -> Field:
        at = reduce_points(x, y, self.shape, self.x.shape)
        return np.asarray(look_up(plane, *at), np.float32)


def register(
    one: SmallPicture,
    other: SmallPicture,
    *,
    measure: bool = False,
    start: Matrix | None = None,
) -> Registration | None:
    """Register `one` with `other`; None where they do not seem to show the same place.

    `measure`: compare light as well. `start`: a homography (3, 3) to begin with, which saves the
    search where it is right. Raises ValueError when the pictures differ in size.
    """
    if one.shape != other.shape:
        raise ValueError(f"pictures of {one.shape} and {other.shape} cannot be registered")
    if start is None or not _shows_same(one, other, *_move(one, start)):
        start = align(one, other)
    found = None if start is None else _refine(one, other, *_move(one, start))
    if found is None or not measure:
        return found
    seen, known = _warp(one, other, found.x, found.y)
    light, error = carry_in(one.colours.astype(np.float32) - seen, known)
    return replace(found, light=light, error=error)


def carry_in(apart: Field, known: Mask) -> tuple[Field, Field]:
    """Light (h, w, 3) and squared error (h, w) from a difference `apart` (h, w, 3).

    Both are measured where pixels are `known` (h, w) and carried from there into the rest. What
    differs too much shows another surface and tells nothing about light.
    """
    middle = np.median(apart[known], axis=0) if known.any() else np.zeros(3, np.float32)
    same = known & (np.abs(apart - middle).mean(axis=2) < _TUNING.outlier)
    light = cv2.GaussianBlur(pull_push(apart, same.astype(np.float32)), (0, 0), 4)
    left = np.minimum(square_length(apart - light) / 3, np.float32(_TUNING.worst))
    error = pull_push(left[..., None], known.astype(np.float32))[..., 0]
    error = cv2.GaussianBlur(error, (0, 0), 6)
    return np.asarray(light, np.float32), np.asarray(error, np.float32)


def stay(picture: SmallPicture) -> Registration:
    """Register a picture with itself."""
    x, y = grid(*picture.size)
    none = np.zeros(picture.size, np.float32)
    light = np.zeros((*picture.size, 3), np.float32)
    return Registration(x, y, 0.0, picture.shape, light, none)


def align(one: SmallPicture, other: SmallPicture) -> Matrix | None:
    """The homography (3, 3) from `one` to `other`, the identity for a camera at rest.

    None where the two do not seem to show the same place.
    """
    own = grid(*one.size)
    rest = _difference(one, other, *own)
    is_still = rest is not None and rest < _TUNING.at_rest
    if is_still and _shows_same(one, other, *own):
        return np.eye(3)
    for search in (_match, _correlate):
        matrix = search(one, other)
        if matrix is None:
            continue
        fit = _difference(one, other, *_move(one, matrix))
        if fit is None or (rest is not None and fit > _TUNING.still * rest):
            matrix = np.eye(3)
        if _shows_same(one, other, *_move(one, matrix)):
            return matrix
    # A flat wall shows no detail to compare; it is the same wherever it lies.
    return np.eye(3) if is_still else None


def follow(one: SmallPicture, other: SmallPicture) -> Matrix | None:
    """The homography (3, 3) from `one` to `other`, taken a few frames apart, by dense flow.

    Four times faster than `align`. None where the flow is not that of one plane.
    """
    x, y = grid(*one.size)
    rest = _difference(one, other, x, y)
    if rest is not None and rest < _TUNING.at_rest:
        return np.eye(3)
    moved = np.dstack([x, y]) + _FLOW.flow(one.gray, other.gray)
    few = np.s_[:: _TUNING.spacing, :: _TUNING.spacing]
    there_x, there_y = (np.ascontiguousarray(moved[few][..., k]) for k in (0, 1))
    hidden = cv2.remap(other.hidden, there_x, there_y, cv2.INTER_LINEAR, borderValue=(255,))
    both = one.known[few] & (hidden == 0)
    source, target = np.dstack([x, y])[few][both], moved[few][both]
    if len(source) < _TUNING.inliers:
        return None
    matrix, inliers = _fit(source, target)
    if matrix is None or np.count_nonzero(inliers) < _TUNING.one_plane * len(source):
        return None
    return matrix if _is_plausible(matrix, one.size) else None


def _move(picture: SmallPicture, matrix: Matrix) -> tuple[Field, Field]:
    """Where a homography puts the pixels of a reduced picture."""
    points = np.stack(grid(*picture.size), axis=-1).reshape(1, -1, 2)
    moved = cv2.perspectiveTransform(points, matrix).reshape(*picture.size, 2)
    x, y = (np.ascontiguousarray(moved[..., k], np.float32) for k in (0, 1))
    return x, y


def _fit(source: Field, target: Field) -> tuple[Matrix | None, Mask]:
    """The homography that most pairs of points (n, 2) agree on, and which (n, 1) do."""
    matrix, inliers = cv2.findHomography(
        source, target, cv2.USAC_MAGSAC, _TUNING.reach, maxIters=2000, confidence=0.999
    )
    return matrix, inliers


def _match(one: SmallPicture, other: SmallPicture) -> Matrix | None:
    """The homography that most feature matches agree on."""
    (from_, first), (to, second) = one.features, other.features
    if min(len(from_), len(to)) < _TUNING.inliers:
        return None
    nearest, is_clear = _find_nearest(first, second)
    if np.count_nonzero(is_clear) < _TUNING.inliers:
        return None
    matrix, inliers = _fit(from_[is_clear], to[nearest[is_clear]])
    if matrix is None or np.count_nonzero(inliers) < _TUNING.inliers:
        return None
    return matrix if _is_plausible(matrix, one.size) else None


def _correlate(one: SmallPicture, other: SmallPicture) -> Matrix:
    """The translation of best masked correlation: for plain pictures without features.

    Normalized cross-correlation over what both pictures show, for all translations at once by
    Fourier transforms (Padfield 2012, Masked Object Registration in the Fourier Domain).
    """
    shape = [cv2.getOptimalDFTSize(2 * side - 1) for side in one.size]

    def correlate(first: Field, second: Field) -> npt.NDArray[np.float64]:
        product = np.conj(np.fft.rfft2(first, shape)) * np.fft.rfft2(second, shape)
        return np.fft.irfft2(product, shape)

    known, there = (picture.known.astype(np.float32) for picture in (one, other))
    count = np.maximum(correlate(known, there), 1.0)
    # Sums over the overlap, which differs for each translation.
    sums = correlate(one.detail, there), correlate(known, other.detail)
    squares = correlate(one.detail**2, there), correlate(known, other.detail**2)
    common = correlate(one.detail, other.detail) - sums[0] * sums[1] / count
    spread = [square - total**2 / count for square, total in zip(squares, sums, strict=True)]
    score = common / np.sqrt(np.maximum(spread[0], 1.0) * np.maximum(spread[1], 1.0))
    # Over a small overlap chance alone correlates well.
    score[count < _TUNING.common * count.max()] = -np.inf
    down, right = np.unravel_index(score.argmax(), score.shape)
    # Negative translations wrap round.
    across = right - shape[1] if right > shape[1] // 2 else right
    down = down - shape[0] if down > shape[0] // 2 else down
    return np.array([[1, 0, across], [0, 1, down], [0, 0, 1]], np.float64)


def _find_nearest(first: Frame, second: Frame) -> tuple[Indices, Mask]:
    """The descriptor of `second` nearest to each of `first` (n, 128), and if it is clearly so.

    All products and sums are whole numbers below 2²⁴, so float32 computes them exactly, in any
    order and with any number of threads.
    """
    one, other = first.astype(np.float32), second.astype(np.float32)
    apart = square_length(one)[:, None] + square_length(other) - 2 * (one @ other.T)
    nearest = apart.argmin(axis=1)
    rows = np.arange(len(one))
    least = apart[rows, nearest]
    apart[rows, nearest] = np.inf
    return nearest, least < np.float32(_TUNING.ratio**2) * apart.min(axis=1)


def _is_plausible(matrix: Matrix, size: tuple[int, int]) -> bool:
    """Whether a homography keeps the picture's outline convex and roughly its area."""
    height, width = size
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
    depth = corners[0] @ matrix[2, :2].astype(np.float32) + np.float32(matrix[2, 2])
    if not (depth > 0).all():
        return False
    moved = cv2.perspectiveTransform(corners, matrix)[0]
    area = cv2.contourArea(moved) / (width * height)
    return bool(cv2.isContourConvex(moved) and 1 / _TUNING.zoom < area < _TUNING.zoom)


def _refine(one: SmallPicture, other: SmallPicture, x: Field, y: Field) -> Registration | None:
    """Add residual flow outside the holes and carry it into them, if that fits better.

    None where too much differs.
    """
    seen, known = _warp(one, other, x, y)
    target = cv2.cvtColor(np.rint(seen).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    target = np.where(known, target, one.gray)
    there, back = _FLOW.flow(one.gray, target), _FLOW.flow(target, one.gray)
    own_x, own_y = grid(*one.size)
    met = cv2.remap(back, own_x + there[..., 0], own_y + there[..., 1], cv2.INTER_LINEAR)
    # Forward-backward consistency tells occlusions and things of their own motion apart.
    inside = square_length(there) < _TUNING.step**2
    trust = np.where(known & inside, 1 / (1 + 4 * square_length(there + met)), 0)
    trust = cv2.erode(trust.astype(np.float32), np.ones((3, 3), np.uint8))
    moved = pull_push(there, trust)
    moved = np.where(known[..., None], moved, cv2.GaussianBlur(moved, (0, 0), 3))
    at_x, at_y = own_x + moved[..., 0], own_y + moved[..., 1]
    fine = [
        np.asarray(cv2.remap(axis, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        for axis in (x, y)
    ]
    before, after = _difference(one, other, x, y), _difference(one, other, *fine)
    if after is not None and (before is None or after < before):
        (x, y), before = fine, after
    if before is None or before > _TUNING.misfit:
        return None
    return Registration(x, y, before, one.shape)


def _shows_same(one: SmallPicture, other: SmallPicture, x: Field, y: Field) -> bool:
    """Whether the frames' detail correlates at these places, and more than at displaced ones.

    Two pictures of the same plain wall differ little wherever they are put on each other, and in a
    change of light those of the same place differ much.
    """
    score = _compare_detail(one, other, x, y)
    if score is None or score < _TUNING.alike:
        return False
    for by in _TUNING.displaced:
        for right, down in ((by, 0), (-by, 0), (0, by), (0, -by)):
            chance = _compare_detail(one, other, x, y, right, down)
            if chance is not None and chance > _TUNING.chance * score:
                return False
    return True


def _compare_detail(
    one: SmallPicture, other: SmallPicture, x: Field, y: Field, right: int = 0, down: int = 0
) -> float | None:
    """Normalized cross-correlation of the detail in [-1, 1]; None with too little overlap.

    `right`, `down`: pixels by which the places in the other picture are displaced.
    """
    from cleanplate.plates.patches import correlate_few  # loads Numba

    overlap, score = correlate_few(
        one.detail, one.known, other.detail, other.known, x, y, right, down
    )
    return None if overlap < _TUNING.overlap else score


def _difference(one: SmallPicture, other: SmallPicture, x: Field, y: Field) -> float | None:
    """Median difference in levels, up to a change of light; None with too little overlap."""
    known, x, y = _find_overlap(one, other, x, y)
    if known.mean() < _TUNING.overlap:
        return None
    seen = cv2.remap(other.colours, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart = one.colours[_FEW][known].astype(np.float32) - seen[known]
    return float(np.median(np.abs(apart - np.median(apart, axis=0)).mean(axis=1)))


def _find_overlap(
    one: SmallPicture, other: SmallPicture, x: Field, y: Field
) -> tuple[Mask, Field, Field]:
    """Where both pictures are known, and the places in the other one, of every fourth pixel."""
    x, y = np.ascontiguousarray(x[_FEW]), np.ascontiguousarray(y[_FEW])
    hidden = cv2.remap(other.hidden, x, y, cv2.INTER_LINEAR, borderValue=(255,))
    return one.known[_FEW] & (hidden == 0), x, y


def _warp(one: SmallPicture, other: SmallPicture, x: Field, y: Field) -> tuple[Field, Mask]:
    """Colours of `other` at the pixels of `one`, and where both are known."""
    seen = cv2.remap(other.colours, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    hidden = cv2.remap(other.hidden, x, y, cv2.INTER_LINEAR, borderValue=(255,))
    return seen.astype(np.float32), one.known & (hidden == 0)
