"""Weigh what several traces and a spatial guess say about the same hole pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound
from cleanplate.motion.trace import NOWHERE, Seams, Traces
from cleanplate.types import Box

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CandidateTuning:
    """Constants of a candidate's expected error that hold for every `Weighing`."""

    noise: float = 5.0
    """Squared error in levels² that even a perfect source has: noise and compression."""
    light: float = 100.0
    """Squared colour step at the rim, in levels², at which half of it still counts as a change of
    light."""
    fade: float = 6.0
    """Frames over which a source fades before it is out of reach."""
    thin: float = 3.0
    """Depth in pixels of the flow up to which a hole is thin: what is beside it shows what is in it
    better than anything from far away does."""


_TUNING = CandidateTuning()


@dataclass(frozen=True)
class Weighing:
    """How the expected squared error of a candidate is estimated from what is known about it.

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
    reach: float | None = None
    """Frames from which on a source counts for nothing. A source that some spans hold and others do
    not would make the fill jump between two spans."""
    by_disagreement: float = 0.1
    """Times the squared difference of the two directions in time."""
    alone: float = 0.04
    """Per frame, where only one direction found a source."""
    by_seam: float = 2.0
    """Times the squared difference of the surroundings of both places, see `trace.Seams`."""
    spatial: float = 0.5
    """For the guess from the frame itself, times the root of the distance to the rim."""
    power: float = 1.5
    consensus: float = 1000.0
    """Squared difference from the mean at which a candidate's weight is halved."""
    rounds: int = 2


@dataclass(frozen=True)
class Candidates:
    """What a forward and a backward trace found for k pixels of one frame, m of them at the rim.

    `colours` (2, k, 3) in [0, 255], `found` (2, k), `age` (2, k) in frames, `doubt` (2, k) in
    pixels², `step` (2, m) and `offset` (2, m, 3) as in `trace.Seams`.
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
        rim: slice,
        *,
        follows_model: bool,
    ) -> Candidates:
        """The pixels `part` of a forward and a backward trace, and the pixels `rim` of seams."""
        return cls(
            np.stack([values[part] for values in colours]),
            np.stack([found.source[part] != NOWHERE for found in traces]),
            np.stack([found.age[part] for found in traces]).astype(np.float32),
            np.stack([found.doubt[part] for found in traces]),
            np.stack([seam.step[rim] for seam in seams]),
            np.stack([seam.offset[rim] for seam in seams]),
            follows_model,
        )


class Ground:
    """The hole (h, w) of one frame: spreads what is known of some of its k pixels over all.

    Args:
        hole: the mask.
        rim: numbers (m,) of its pixels near known ones.
        scale: pixels for each one at which flow was estimated.
    """

    def __init__(self, hole: Mask, rim: npt.NDArray[np.int64], scale: float) -> None:
        box = bound(hole)
        assert box is not None
        self._part = np.ascontiguousarray(hole[box.slices])
        self._y, self._x = (axis[rim] for axis in np.nonzero(self._part))
        self._scale = scale
        depth = _measure_depth(hole, box)
        self.depth = np.asarray(depth[self._part] / np.float32(scale), np.float32)
        """Distance (k,) to the nearest known pixel, in pixels of the flow."""

    @property
    def part(self) -> Mask:
        """The box of the hole (h, w)."""
        return self._part

    def spread(self, step: Values, offset: Values) -> Values:
        """From the rim to all: the step, and the offset where that may be light, (h, w, 4).

        The difference at the rim is carried into the hole; where it is too large to be light, the
        source shows another thing and the offset does not count.
        """
        # NaN: no source was found, or it lies next to a hole as well; nothing to compare.
        compared = np.isfinite(step)
        step = np.where(compared, step, np.float32(0))
        light = compared / (1 + step / np.float32(_TUNING.light))
        # Normalised convolution: blur values and their weights alike, then divide.
        columns = [step * compared, compared, *(offset * light[:, None]).T, light]
        sigma = 12 * self._scale
        factor = max(1, int(sigma / 3))  # a wide blur needs no fine grid
        height, width = (-(-side // factor) for side in self._part.shape)
        cell = self._y // factor * width + self._x // factor
        sums = [np.bincount(cell, column, height * width) for column in columns]
        planes = np.stack(sums, axis=1).reshape(height, width, 6).astype(np.float32)
        planes /= factor * factor
        planes = cv2.GaussianBlur(planes, (0, 0), sigma / factor, borderType=cv2.BORDER_CONSTANT)
        means = np.empty((height, width, 4), np.float32)
        means[..., 0] = planes[..., 0] / np.maximum(planes[..., 1], np.float32(1e-4))
        means[..., 1:] = planes[..., 2:5] / np.maximum(planes[..., 5:], np.float32(0.02))
        return np.asarray(cv2.resize(means, (width * factor, height * factor)), np.float32)

    def smooth(self, planes: Values) -> Values:
        """Blur `planes` (h, w, c) a little."""
        sigma = 3 * self._scale
        blurred = cv2.GaussianBlur(planes, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(blurred, np.float32)


def settle_thin(hole: Mask, share: Values, scale: float) -> Values:
    """The `share` (k,) of the guess that is still open to something better: none in thin parts.

    Letters and scratches are that narrow. A plate or patches would not fit in there, least of all
    where something moves behind them. `scale` as in `Ground`.
    """
    box = bound(hole)
    if box is None:
        return share
    reach = _TUNING.thin * scale
    shallow = _measure_depth(hole, box) <= reach
    # A deep part is shallow at its rim as well.
    from_deep = cv2.distanceTransform(shallow.view(np.uint8), cv2.DIST_L2, 3)[hole[box.slices]]
    return np.where(from_deep > 1.5 * reach + 1, np.float32(0), share)


def blend_candidates(
    pairs: Sequence[Candidates], guess: Values, variety: Values, ground: Ground, rule: Weighing
) -> tuple[Values, Values]:
    """Colours (k, 3) of the pixels of a hole, and the share (k,) of the spatial `guess`.

    Every candidate weighs by its expected error; then those far from the weighted mean lose
    weight, so that what most agree on wins instead of an average of all.
    """
    # Errors scale with texture: a misplaced sample costs more there than on a flat area.
    variety = variety + np.float32(rule.variety_floor)
    count = 2 * len(pairs)
    colours = np.empty((count + 1, *guess.shape), np.float32)
    expected = np.empty((count + 1, len(guess)), np.float32)
    for at, pair in zip(range(0, count, 2), pairs, strict=True):
        both = slice(at, at + 2)
        _judge(pair, colours[both], expected[both], variety, ground, rule)
    # The spatial fallback competes as one more candidate; its error grows with the depth.
    colours[-1] = guess
    expected[-1] = variety * np.float32(rule.spatial) * np.sqrt(ground.depth)
    prior = expected ** np.float32(-rule.power)
    mean, weight = agree(colours, prior, rule.consensus, rule.rounds)
    return mean, np.asarray(weight[-1] / weight.sum(0), np.float32)


def agree(colours: Values, prior: Values, consensus: float, rounds: int) -> tuple[Values, Values]:
    """Robust mean (k, c) of n `colours` (n, k, c), and the weights (n, k) it was made with.

    `prior` (n, k) are the weights at first. In each round a colour whose squared difference from
    the mean is `consensus` loses half of it: an average of two surfaces would show as a ghost.
    Where all weights are 0, so is the mean.
    """
    from cleanplate.motion import weighing

    return weighing.agree(
        np.ascontiguousarray(colours, np.float32),
        np.ascontiguousarray(prior, np.float32),
        np.float32(consensus),
        rounds,
    )


def _judge(
    pair: Candidates,
    colours: Values,
    errors: Values,
    variety: Values,
    ground: Ground,
    rule: Weighing,
) -> None:
    """Put the colours (2, k, 3) of a pair, in the light of the hole, and their errors (2, k).

    Expected squared errors in levels², infinite where nothing was found.
    """
    from cleanplate.motion import weighing

    ahead, behind = (ground.spread(*seam) for seam in zip(pair.step, pair.offset, strict=True))
    # Correct each candidate's light first, so that only misplacement counts as disagreement.
    apart = weighing.match_light(ground.part, pair.colours, ahead, behind, pair.found, colours)
    # Forward and backward traces that see the same colour confirm each other; one alone may have
    # hit an occlusion, the more likely the longer it took.
    apart = ground.smooth(apart)
    known = pair.found, pair.age, pair.doubt
    constants = list_constants(rule, follows_model=pair.follows_model)
    weighing.expect_error(ground.part, apart, ahead, behind, *known, variety, constants, errors)


def list_constants(rule: Weighing, *, follows_model: bool) -> Values:
    """What `weighing.expect_error` weighs with (9,)."""
    constants = (
        rule.by_age_of_model if follows_model else rule.by_age,
        0 if follows_model else rule.by_doubt,
        rule.largest_risk,
        _TUNING.noise,
        rule.by_disagreement,
        rule.alone,
        rule.by_seam,
        np.inf if rule.reach is None else rule.reach,
        _TUNING.fade,
    )
    return np.array(constants, np.float32)


def _measure_depth(hole: Mask, box: Box) -> Values:
    """Distance in pixels to the nearest known pixel, of those in the `box` around the `hole`."""
    inside = np.pad(hole[box.slices].view(np.uint8), 1)
    at_border = (
        (box.y == 0, box.y + box.height == hole.shape[0]),
        (box.x == 0, box.x + box.width == hole.shape[1]),
    )
    _repeat_border(inside, at_border)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    # Where nothing is known OpenCV gives the largest float: no distance is longer than this.
    return np.asarray(np.minimum(depth, np.float32(np.hypot(*hole.shape))), np.float32)


def _repeat_border(
    inside: npt.NDArray[np.uint8], at_border: tuple[tuple[bool, bool], tuple[bool, bool]]
) -> None:
    """Let a hole that touches the picture's border go on beyond it: nothing is known there."""
    (top, bottom), (left, right) = at_border
    if top:
        inside[0] = inside[1]
    if bottom:
        inside[-1] = inside[-2]
    if left:
        inside[:, 0] = inside[:, 1]
    if right:
        inside[:, -1] = inside[:, -2]
