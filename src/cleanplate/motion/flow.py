"""Optical flow: estimate it, measure its forward-backward consistency, complete it inside holes."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, pull_push, widen


@dataclass(frozen=True)
class FlowTuning:
    """Constants of flow estimation, its confidence and its completion inside holes."""

    still: float = 1e-12
    """Pixels of motion that count as none: squares of smaller numbers underflow."""
    least_trust: float = 0.02
    """Confidence of an inconsistent vector: it counts only where nothing better is near."""
    hopeless: float = -8.0
    """Lower bound of a confidence's exponent: far below `least_trust`, it only avoids underflow."""
    sample_step: int = 8
    """Largest distance in pixels between two samples of a flow for the motion model."""
    samples_per_row: int = 54
    """Samples wanted in a row: in small pictures they lie closer together than `sample_step`."""
    farthest: float = 1.0
    """Distance from the centre, in picture sizes, at which a motion model is clamped; a border is
    at 0.5."""
    rank: float = 1e-10
    """Fraction of the largest singular value below which the samples do not determine a term."""
    margin: int = 24
    """Pixels around a hole, plus half its longer side, whose flow completes it."""


_TUNING = FlowTuning()


class FlowEstimator(ABC):
    """Estimates dense motion between two images of one size."""

    @abstractmethod
    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:
        """Turn an RGB image (h, w, 3) into what `flow` compares; used for both neighbours."""

    @abstractmethod
    def flow(self, source: Any, target: Any) -> npt.NDArray[np.float32]:
        """Motion (h, w, 2) in pixels, x then y: p in `source` is at p + flow(p) in `target`."""


class DisFlow(FlowEstimator):
    """Dense inverse search (Kroeger et al., ECCV 2016) as OpenCV has it.

    The only user of `cv2.DISOpticalFlow`: that reads beyond its memory, and crashes the process,
    where a picture is smaller than a patch at its finest scale. Such pictures are extended.

    `stride`: pixels between its patches of 8, by default the preset's.
    """

    def __init__(self, preset: str = "medium", stride: int | None = None) -> None:
        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._preset, self._stride = presets[preset], stride
        self._threads = threading.local()

    def prepare(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Gray image (h, w)."""
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)

    def flow(self, source: Any, target: Any) -> npt.NDArray[np.float32]:
        """See FlowEstimator.flow; of two gray images (h, w)."""
        dis = self._open()
        least = dis.getPatchSize() << dis.getFinestScale()
        height, width = source.shape
        missing = max(0, least - height), max(0, least - width)
        if any(missing):
            source, target = (_extend(image, *missing) for image in (source, target))
        flow = np.asarray(dis.calc(source, target, None), np.float32)[:height, :width]
        # Over flat areas the motion fades to 1e-25 and less.
        flow[np.abs(flow) < _TUNING.still] = 0
        return flow

    def _open(self) -> cv2.DISOpticalFlow:
        """The algorithm of this thread: it keeps buffers and is not reentrant."""
        if not hasattr(self._threads, "dis"):
            self._threads.dis = cv2.DISOpticalFlow.create(self._preset)
            self._threads.finest = self._threads.dis.getFinestScale()
            if self._stride is not None:
                self._threads.dis.setPatchStride(self._stride)
        dis: cv2.DISOpticalFlow = self._threads.dis
        dis.setFinestScale(self._threads.finest)  # a small picture lowers it for all that follow
        return dis


def _extend(image: npt.NDArray[np.uint8], below: int, beside: int) -> npt.NDArray[np.uint8]:
    """`image` with its last line and column repeated."""
    return np.pad(image, ((0, below), (0, beside)), mode="edge")


Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Slices = tuple[slice, slice]


@lru_cache(maxsize=4)
def grid(height: int, width: int) -> tuple[Field, Field]:
    """Coordinates x and y of every pixel, each (height, width); shared, not to be changed."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x, y


def square_length(vectors: Field) -> Field:
    """Sum of squares along the last axis; numpy's own sum is slow over so short an axis."""
    return np.asarray(np.einsum("...c,...c->...", vectors, vectors), np.float32)


@dataclass(frozen=True)
class Flow:
    """Motion `vectors` (h, w, 2) in pixels of a part of a picture.

    `x`, `y`: where the first of them lies in the picture.
    """

    vectors: Field
    x: int = 0
    y: int = 0

    @property
    def window(self) -> Slices:
        """That part of the picture."""
        height, width = self.vectors.shape[:2]
        return slice(self.y, self.y + height), slice(self.x, self.x + width)

    def coordinates(self, part: Slices) -> tuple[Field, Field]:
        """Where the vectors `part` lie in the picture: x and y."""
        x, y = grid(*self.vectors.shape[:2])
        return x[part] + np.float32(self.x), y[part] + np.float32(self.y)

    def at(self, x: Field, y: Field) -> Field:
        """Vectors at points of the picture; beyond the part, those of its border."""
        x, y = x - np.float32(self.x), y - np.float32(self.y)
        found = cv2.remap(self.vectors, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)


def measure_inconsistency(flow: Flow, back: Flow, part: Slices = np.s_[:, :]) -> Field:
    """Squared length (h, w) of going along `flow` and returning along `back`, in pixels².

    0 where the two agree (Sundaram et al., ECCV 2010, equation 5, left side). Of the vectors
    `part` of `flow` only.
    """
    x, y = flow.coordinates(part)
    vectors = flow.vectors[part]
    return square_length(vectors + back.at(x + vectors[..., 0], y + vectors[..., 1]))


@dataclass(frozen=True)
class PictureMotion:
    """How a picture of (height, width) `shape` moves as a whole: a quadratic motion model.

    `weights` (6, 2) in pixels, of the terms x, y, 1, x², xy, y² of positions from -0.5 to 0.5.
    """

    weights: Field
    shape: tuple[int, int]

    @property
    def width(self) -> int:
        """Of the picture in whose pixels it is."""
        return self.shape[1]

    @property
    def farthest(self) -> float:
        """Where positions are clamped, see `at`."""
        return _TUNING.farthest

    @property
    def reach(self) -> float:
        """See Way.reach: a bound for all of the picture."""
        most = np.abs(self.weights) * np.array(
            [[0.5], [0.5], [1], [0.25], [0.25], [0.25]], np.float32
        )
        return float(np.linalg.norm(most.sum(0)))

    def at(self, x: Field, y: Field) -> Field:
        """Motion (..., 2) at points x, y of the picture.

        Clamp positions at `FlowTuning.farthest`: far outside, where the quadratic terms were never
        fitted, a point that is moved repeatedly would run away to infinity.
        """
        far = np.float32(self.farthest)
        across = (x / np.float32(self.width) - 0.5).clip(-far, far)
        down = (y / np.float32(self.shape[0]) - 0.5).clip(-far, far)
        basis = _quadratic(across, down)
        return np.asarray(basis @ self.weights, np.float32)

    def follow(self, x: Field, y: Field) -> Field:
        """Motion and doubt (k, 3) at points; a model is not doubted."""
        moved = self.at(x, y)
        return np.concatenate([moved, np.zeros((len(x), 1), np.float32)], axis=1)


@dataclass(frozen=True)
class Samples:
    """Some `vectors` (k, 2) of a flow, where they are, and how much each counts."""

    vectors: Field
    x: Field
    y: Field
    weight: Field

    def outside(self, flow: Flow) -> Samples:
        """Those that `flow` does not cover."""
        height, width = flow.vectors.shape[:2]
        keep = (self.x < flow.x) | (self.x >= flow.x + width)
        keep |= (self.y < flow.y) | (self.y >= flow.y + height)
        return Samples(self.vectors[keep], self.x[keep], self.y[keep], self.weight[keep])

    def enlarged(self, ratio: float, weight: float) -> Samples:
        """In a picture `ratio` times as large, each with `weight` times its weight."""
        by, half = np.float32(ratio), np.float32(0.5)
        x, y = ((axis + half) * by - half for axis in (self.x, self.y))
        return Samples(self.vectors * by, x, y, self.weight * np.float32(weight))

    def joined(self, other: Samples) -> Samples:
        """These and those."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Samples(*(np.concatenate(pair) for pair in pairs))


def take_samples(flow: Flow, back: Flow, unknown: Mask, unknown_there: Mask) -> Samples:
    """Vectors of `flow` on a grid, weighed by how well they agree with the way `back`.

    `unknown` (h, w) marks where the picture shows nothing real, `unknown_there` the same in the
    picture it leads to.
    """
    step = max(1, min(_TUNING.sample_step, round(unknown.shape[1] / _TUNING.samples_per_row)))
    height, width = flow.vectors.shape[:2]
    part = _every(step, height), _every(step, width)
    trust, lost = _measure_trust(flow, back, unknown_there, part)
    trust[lost | unknown[flow.window][part]] = 0
    x, y = (axis.ravel() for axis in flow.coordinates(part))
    return Samples(flow.vectors[part].reshape(-1, 2), x, y, trust.ravel())


def _every(step: int, length: int) -> slice:
    """Every `step`th of `length` places, at least the middle one."""
    return slice(min(step // 2, (length - 1) // 2), None, step)


def fit_motion(samples: Samples, shape: tuple[int, int], *, rounds: int = 6) -> PictureMotion:
    """Fit the motion of a whole picture of (height, width) `shape` robustly.

    Moving things are outliers and are weighted down (Geman–McClure, iterated least squares). Terms
    that the samples do not determine, as in a picture a few pixels high, are left out.
    """
    x, y = samples.x / np.float32(shape[1]) - 0.5, samples.y / np.float32(shape[0]) - 0.5
    basis, values = _quadratic(x, y).astype(np.float64), samples.vectors.astype(np.float64)
    trust = samples.weight.astype(np.float64) + 1e-6
    robust = np.ones_like(trust)
    for _ in range(rounds):
        weighted = basis * (trust * robust)[:, None]
        model = np.linalg.lstsq(weighted.T @ basis, weighted.T @ values, rcond=_TUNING.rank)[0]
        error = np.linalg.norm(values - basis @ model, axis=1)
        # Up to half of the samples may be outliers: scale by the median; 0.1 pixels are noise.
        scale = 1.5 * max(_weighted_median(error, trust), 0.1)
        robust = 1 / (1 + (error / scale) ** 2) ** 2
    return PictureMotion(model.astype(np.float32), shape)


def complete_flow(
    flow: Flow,
    back: Flow,
    hole: Mask,
    unknown: Mask,
    unknown_there: Mask,
    model: PictureMotion,
) -> Flow:
    """Replace `flow` inside `hole` (h, w) by a completion from where it can be trusted.

    `unknown` marks where the pictures behind `flow` show nothing real, `unknown_there` the same in
    the picture it leads to. What the surroundings move differently from the whole picture's
    `model` is completed smoothly and added to it, so that a zoom or a rotation goes on inside the
    hole; surroundings that move on their own count less. All masks are of the whole picture.
    """
    inside = hole[flow.window]
    box = bound(inside)
    if box is None:
        return flow
    part = widen(box, _TUNING.margin + max(box.width, box.height) // 2, inside.shape).slices
    trust, lost = _measure_trust(flow, back, unknown_there, part)
    # A vector that leads into a hole or out of the picture cannot be checked: nearly no confidence.
    trust[lost] = _TUNING.least_trust / 4
    trust[unknown[flow.window][part]] = 0
    # Complete the residual to the camera's motion only: a membrane would flatten a zoom.
    usual = model.at(*flow.coordinates(part))
    own = flow.vectors[part] - usual
    # Surroundings that move on their own are likely foreground, not what the hole covers.
    trust /= 1 + square_length(own) / 9
    vectors = flow.vectors.copy()
    vectors[part][inside[part]] = (usual + pull_push(own, trust))[inside[part]]
    return Flow(vectors, flow.x, flow.y)


def _measure_trust(flow: Flow, back: Flow, unknown_there: Mask, part: Slices) -> tuple[Field, Mask]:
    """How well the vectors `part` agree with the way back, (0, 1], and which lead to nothing."""
    vectors = np.ascontiguousarray(flow.vectors[part])
    x, y = flow.coordinates(part)
    to_x, to_y = x + vectors[..., 0], y + vectors[..., 1]
    there = back.at(to_x, to_y)
    size = square_length(vectors) + square_length(there)
    gap = square_length(vectors + there)
    # Forward-backward consistency, with a tolerance that grows with the motion (Sundaram et al.).
    fit = np.maximum(-gap / (0.5 + 0.02 * size), np.float32(_TUNING.hopeless))
    trust = np.maximum(np.exp(fit), np.float32(_TUNING.least_trust))
    height, width = unknown_there.shape
    lost = cv2.remap(unknown_there.view(np.uint8), to_x, to_y, cv2.INTER_NEAREST) > 0
    lost |= (to_x < 0) | (to_y < 0) | (to_x > width - 1) | (to_y > height - 1)
    return trust, lost


def _quadratic(x: Field, y: Field) -> Field:
    basis = np.empty((*x.shape, 6), np.float32)
    for index, term in enumerate((x, y, 1, x * x, x * y, y * y)):
        basis[..., index] = term
    return basis


def _weighted_median(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])
