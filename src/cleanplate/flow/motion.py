"""Flow made usable for propagation: how far it can be trusted, and its completion inside holes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow.smooth import pull_push

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_LEAST_TRUST = 0.02
"""Weight of a known but doubtful flow: it counts where nothing better is near."""


@lru_cache(maxsize=4)
def grid(height: int, width: int) -> tuple[Field, Field]:
    """Coordinates x and y of every pixel, each (height, width); shared, not to be changed."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x, y


def square_length(vectors: Field) -> Field:
    """Sum of squares along the last axis; numpy's own sum is slow over so short an axis."""
    return np.asarray(np.einsum("...c,...c->...", vectors, vectors), np.float32)


def measure_inconsistency(flow: Field, back: Field) -> Field:
    """Squared length (h, w) of going along `flow` and returning along `back`, in pixels².

    0 where the two agree (Sundaram et al., ECCV 2010, equation 5, left side).
    """
    x, y = grid(*flow.shape[:2])
    there = cv2.remap(
        back, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return square_length(flow + there)


def fit_motion(flow: Field, weight: Field, *, step: int = 8, rounds: int = 6) -> Field:
    """The picture's own motion: a quadratic motion model (12 parameters) fitted robustly to `flow`.

    Moving things are outliers and are weighted down (Geman–McClure, iterated least squares).
    `weight` (h, w) says which flows count. Returns the model's flow (h, w, 2) at every pixel.
    """
    height, width = weight.shape
    rows = slice(step // 2, None, step)
    x, y = grid(height, width)
    basis = _quadratic(x / width - 0.5, y / height - 0.5)
    samples = basis[rows, rows].reshape(-1, 6).astype(np.float64)
    values = flow[rows, rows].reshape(-1, 2).astype(np.float64)
    trust = weight[rows, rows].ravel().astype(np.float64) + 1e-6
    robust = np.ones_like(trust)
    for _ in range(rounds):
        root = np.sqrt(trust * robust)[:, None]
        model = np.linalg.lstsq(samples * root, values * root, rcond=None)[0]
        error = np.linalg.norm(values - samples @ model, axis=1)
        scale = 1.5 * max(_weighted_median(error, trust), 0.1)
        robust = 1 / (1 + (error / scale) ** 2) ** 2
    return np.asarray(basis @ model.astype(np.float32), np.float32)


@dataclass(frozen=True)
class Completed:
    """A flow (h, w, 2) completed inside holes, and the motion of the picture as a whole."""

    flow: Field
    model: Field


def complete_flow(
    flow: Field, back: Field, hole: Mask, unknown: Mask, unknown_there: Mask
) -> Completed:
    """Replace `flow` (h, w, 2) inside `hole` by a completion from where it can be trusted.

    `unknown` marks where the pictures behind `flow` show nothing real, `unknown_there` the same in
    the picture it leads to. What the surroundings move differently from the whole picture is
    completed smoothly and added to the picture's own motion, so that a zoom or a rotation goes on
    inside the hole; surroundings that move on their own count less.
    """
    height, width = hole.shape
    x, y = grid(height, width)
    to_x, to_y = x + flow[..., 0], y + flow[..., 1]
    size = square_length(flow) + square_length(back)
    trust = np.exp(-measure_inconsistency(flow, back) / (0.5 + 0.02 * size)).astype(np.float32)
    trust = np.maximum(trust, _LEAST_TRUST)
    lost = cv2.remap(unknown_there.astype(np.uint8), to_x, to_y, cv2.INTER_NEAREST) > 0
    lost |= (to_x < 0) | (to_y < 0) | (to_x > width - 1) | (to_y > height - 1)
    trust[lost] = _LEAST_TRUST / 4
    trust[unknown] = 0
    model = fit_motion(flow, np.where(lost, np.float32(0), trust))
    own = flow - model
    trust /= 1 + square_length(own) / 9
    completed = flow.copy()
    completed[hole] = (model + pull_push(own, trust))[hole]
    return Completed(completed, model)


def _quadratic(x: Field, y: Field) -> Field:
    return np.stack([x, y, np.ones_like(x), x * x, x * y, y * y], axis=-1)


def _weighted_median(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])
