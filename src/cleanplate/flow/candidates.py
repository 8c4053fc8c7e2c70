"""Weigh what several traces and a spatial guess say about the same hole pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow.motion import square_length
from cleanplate.flow.seams import Seams
from cleanplate.flow.trace import NOWHERE, Traces

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]

_NOISE = 5.0
"""Squared error that even a perfect source has: noise and compression."""

_LIGHT = 100.0
"""Squared step at the rim, in levels², up to which it is taken for a change of light."""


@dataclass(frozen=True)
class Weighing:
    """How the expected squared error of a candidate is told from what is known about it.

    All errors are in levels² and grow with the variety of the surroundings (`variety_floor` is
    added to it). Fitted on the training corpus, not on the evaluation sequences.
    """

    variety_floor: float = 100.0
    by_age: float = 0.01
    """Per frame between a pixel and its source."""
    by_doubt: float = 2.0
    """Per pixel² of inconsistency of the flow on the way, at the size it was estimated."""
    by_age_of_model: float = 0.003
    """Per frame, for traces along the picture's own motion."""
    largest_risk: float = 6.0
    by_disagreement: float = 0.1
    """Times the squared difference of the two directions in time."""
    alone: float = 0.04
    """Per frame, where only one direction found a source."""
    by_seam: float = 2.0
    """Times the squared difference of the surroundings of both places, see `flow.seams`."""
    spatial: float = 0.5
    """For the guess from the frame itself, times the root of the distance to the rim."""
    power: float = 1.5
    consensus: float = 1000.0
    """Squared difference from the mean at which a candidate's weight is halved."""
    rounds: int = 2


@dataclass(frozen=True)
class Candidates:
    """What a forward and a backward trace found for k pixels of one frame.

    `colours` (2, k, 3) in [0, 255], `found` (2, k), `age` (2, k) in frames, `doubt` (2, k) in
    pixels², `step` (2, k) and `offset` (2, k, 3) as in `flow.seams`.
    """

    colours: Values
    found: Mask
    age: Values
    doubt: Values
    step: Values
    offset: Values
    follows_model: bool

    @classmethod
    def pick(
        cls,
        traces: Sequence[Traces],
        colours: Sequence[Values],
        seams: Sequence[Seams],
        part: slice,
        *,
        follows_model: bool,
    ) -> Candidates:
        """The pixels `part` of a forward and a backward trace, their colours and their seams."""
        return cls(
            np.stack([values[part] for values in colours]),
            np.stack([found.source[part] != NOWHERE for found in traces]),
            np.stack([found.age[part] for found in traces]).astype(np.float32),
            np.stack([found.doubt[part] for found in traces]),
            np.stack([seam.step[part] for seam in seams]),
            np.stack([seam.offset[part] for seam in seams]),
            follows_model,
        )

    def matched(self, hole: Mask, scale: float) -> Candidates:
        """The same with colours shifted to meet the rim, where light or exposure changed.

        The difference at the rim is spread into the hole; where it is too large to be light, the
        source shows another thing and the colours stay.
        """
        colours = self.colours.copy()
        for row, step in enumerate(self.step):
            weight = np.asarray(np.nan_to_num(1 / (1 + step / np.float32(_LIGHT))), np.float32)
            for channel in range(3):
                offset = self.offset[row, :, channel]
                colours[row, :, channel] += _smooth_inside(
                    offset, weight, hole, 12 * scale, least=0.02
                )
        return replace(self, colours=colours)

    def expected_error(self, hole: Mask, variety: Values, scale: float, rule: Weighing) -> Values:
        """Expected squared error (2, k) in levels², infinite where nothing was found."""
        if self.follows_model:
            risk = rule.by_age_of_model * self.age
        else:
            risk = rule.by_age * self.age + rule.by_doubt * self.doubt
        error = np.asarray(variety * np.minimum(risk, rule.largest_risk) + _NOISE, np.float32)
        both = np.logical_and(*self.found)
        apart = square_length(self.colours[0] - self.colours[1]) / np.float32(3)
        apart = _smooth_inside(apart, both.astype(np.float32), hole, 3 * scale)
        error += np.where(both, rule.by_disagreement * apart, rule.alone * self.age * variety)
        for row, step in enumerate(self.step):
            compared = np.isfinite(step).astype(np.float32)
            step = np.nan_to_num(step)
            error[row] += rule.by_seam * _smooth_inside(step, compared, hole, 12 * scale)
        return np.where(self.found, error, np.float32(np.inf)).astype(np.float32)


def blend_candidates(
    pairs: Sequence[Candidates],
    guess: Values,
    hole: Mask,
    variety: Values,
    *,
    scale: float,
    rule: Weighing,
) -> tuple[Values, Values]:
    """Colours (k, 3) of the pixels of `hole` (h, w), and the share (k,) of the spatial `guess`.

    Every candidate weighs by its expected error; then those far from the weighted mean lose
    weight, so that what most agree on wins instead of an average of all. `scale` is the number of
    pixels for each one at which flow was estimated.
    """
    inside = np.pad(hole.astype(np.uint8), 1, mode="edge")
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1][hole] / np.float32(scale)
    variety = variety + np.float32(rule.variety_floor)
    pairs = [pair.matched(hole, scale) for pair in pairs]
    errors = [pair.expected_error(hole, variety, scale, rule) for pair in pairs]
    own = variety * rule.spatial * np.sqrt(depth)
    colours = np.concatenate([*(pair.colours for pair in pairs), guess[None]]).astype(np.float32)
    expected = np.concatenate([*errors, own[None]]).astype(np.float32)
    prior = np.asarray(expected ** np.float32(-rule.power), np.float32)
    weight = prior
    for _ in range(rule.rounds):
        far = square_length(colours - _mean(colours, weight)) / 3
        weight = np.asarray(prior / (1 + far / np.float32(rule.consensus)), np.float32)
    return _mean(colours, weight), np.asarray(weight[-1] / weight.sum(0), np.float32)


def _mean(colours: Values, weight: Values) -> Values:
    return np.asarray(np.einsum("nkc,nk->kc", colours, weight / weight.sum(0)), np.float32)


def _smooth_inside(
    values: Values, weight: Values, hole: Mask, sigma: float, least: float = 1e-4
) -> Values:
    """Blur `values` (k,) of the pixels of `hole` by their `weight` (k,) in [0, 1].

    Where the weight around is below `least` the result falls to 0.
    """
    x, y, width, height = cv2.boundingRect(hole.astype(np.uint8))
    part = hole[y : y + height, x : x + width]
    planes = np.zeros((height, width, 2), np.float32)
    planes[part] = np.stack([values * weight, weight], axis=1)
    factor = max(1, int(sigma / 3))  # a wide blur needs no fine grid
    grid = (-(-width // factor), -(-height // factor))
    small = cv2.resize(planes, grid, interpolation=cv2.INTER_AREA) if factor > 1 else planes
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_CONSTANT)
    smooth = cv2.resize(small, (width, height)) if factor > 1 else small
    total, mass = smooth[part].T
    return np.asarray(total / np.maximum(mass, least), np.float32)
