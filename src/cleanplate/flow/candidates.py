"""Weigh what several traces and a spatial guess say about the same hole pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow.trace import NOWHERE, Traces

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]

_RIM_DEPTH = 2.2
"""Pixels from the known ones within which a step between the two is a seam."""


@dataclass(frozen=True)
class Weighing:
    """How the expected squared error of a candidate is told from what is known about it.

    All errors are in levels² and grow with the variety of the surroundings (`variety_floor` is
    added to it). Fitted once on the training corpus, see `benchmarks/weighing.py`.
    """

    variety_floor: float = 100.0
    by_age: float = 0.04
    """Per frame between a pixel and its source."""
    by_doubt: float = 5.0
    """Per pixel² of inconsistency of the flow on the way."""
    by_age_of_model: float = 0.003
    """Per frame, for traces along the picture's own motion."""
    largest_risk: float = 6.0
    by_disagreement: float = 0.1
    """Times the squared difference of the two directions in time."""
    alone: float = 0.06
    """Per frame, where only one direction found a source."""
    by_seam: float = 4.0
    """Times the squared step at the hole's rim, as far as the risk says that it may be real."""
    seam_risk: float = 0.3
    """Share of a step at the rim that counts, for each unit of risk (at most all of it)."""
    seam_floor: float = 0.5
    """Steps up to this share of the variety are texture."""
    spatial: float = 0.5
    """For the guess from the frame itself, times the root of the distance to the rim."""
    power: float = 1.5
    consensus: float = 1000.0
    """Squared difference from the mean at which a candidate's weight is halved."""
    rounds: int = 2


@dataclass(frozen=True)
class Candidates:
    """What a forward and a backward trace found for k pixels of one frame.

    `colours` (2, k, 3) in [0, 255], `found` (2, k), `age` (2, k) in frames, `doubt` (2, k) in pixels².
    """

    colours: Values
    found: Mask
    age: Values
    doubt: Values
    follows_model: bool

    @classmethod
    def pick(
        cls,
        traces: Sequence[Traces],
        colours: Sequence[Values],
        part: slice,
        *,
        follows_model: bool,
    ) -> Candidates:
        """The pixels `part` of a forward and a backward trace and of their colours."""
        return cls(
            np.stack([values[part] for values in colours]),
            np.stack([found.source[part] != NOWHERE for found in traces]),
            np.stack([found.age[part] for found in traces]).astype(np.float32),
            np.stack([found.doubt[part] for found in traces]),
            follows_model,
        )

    def expected_error(
        self, guess: Values, hole: Mask, depth: Values, variety: Values, rule: Weighing
    ) -> Values:
        """Expected squared error (2, k) in levels², infinite where nothing was found."""
        if self.follows_model:
            risk = rule.by_age_of_model * self.age
        else:
            risk = rule.by_age * self.age + rule.by_doubt * self.doubt
        both = self.found.all(0)
        apart = ((self.colours[0] - self.colours[1]) ** 2).mean(1)
        apart = _smooth_inside(apart, both, hole, 3.0)
        error = variety * np.minimum(risk, rule.largest_risk) + 5
        step = ((self.colours - guess) ** 2).mean(2)
        at_rim = self.found & (depth < _RIM_DEPTH)
        seam = np.stack([_smooth_inside(*pair, hole, 10.0) for pair in zip(step, at_rim, strict=True)])
        seam = np.maximum(seam - rule.seam_floor * variety, 0)
        error += rule.by_seam * np.minimum(rule.seam_risk * risk, 1) * seam
        error += np.where(both, rule.by_disagreement * apart, rule.alone * self.age * variety)
        return np.where(self.found, error, np.float32(np.inf)).astype(np.float32)


def blend_candidates(
    pairs: list[Candidates], guess: Values, hole: Mask, variety: Values, rule: Weighing
) -> tuple[Values, Values]:
    """Colours (k, 3) of the pixels of `hole` (h, w), and the share (k,) of the spatial `guess`.

    Every candidate weighs by its expected error; then those far from the weighted mean lose
    weight, so that what most agree on wins instead of an average of all.
    """
    inside = hole.astype(np.uint8)
    depth = cv2.distanceTransform(np.pad(inside, 1, mode="edge"), cv2.DIST_L2, 3)[1:-1, 1:-1][hole]
    variety = variety + rule.variety_floor
    errors = [pair.expected_error(guess, hole, depth, variety, rule) for pair in pairs]
    own = variety * rule.spatial * np.sqrt(depth)
    colours = np.concatenate([*(pair.colours for pair in pairs), guess[None]]).astype(np.float32)
    prior = np.concatenate([*errors, own[None]]) ** np.float32(-rule.power)
    weight = prior
    for _ in range(rule.rounds):
        mean = _mean(colours, weight)
        far = ((colours - mean) ** 2).mean(2)
        weight = prior / (1 + far / np.float32(rule.consensus))
    return _mean(colours, weight), np.asarray(weight[-1] / weight.sum(0), np.float32)


def _mean(colours: Values, weight: Values) -> Values:
    return np.asarray(np.einsum("nkc,nk->kc", colours, weight / weight.sum(0)), np.float32)


def _smooth_inside(values: Values, valid: Mask, hole: Mask, sigma: float) -> Values:
    """Blur `values` (k,) of the pixels of `hole` among those that are valid."""
    x, y, width, height = cv2.boundingRect(hole.astype(np.uint8))
    part = hole[y : y + height, x : x + width]
    total, mass = np.zeros((2, height, width), np.float32)
    total[part], mass[part] = values * valid, valid
    total, mass = (cv2.GaussianBlur(plane, (0, 0), sigma) for plane in (total, mass))
    return np.asarray(total[part] / np.maximum(mass[part], 1e-3), np.float32)
