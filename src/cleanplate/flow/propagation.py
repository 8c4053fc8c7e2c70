"""Fill holes with what other frames saw: estimate flow, complete it, trace, weigh what is found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow.candidates import Candidates, Weighing, blend_candidates
from cleanplate.flow.estimate import DisFlow, FlowEstimator
from cleanplate.flow.motion import Completed, complete_flow, measure_inconsistency
from cleanplate.flow.seams import compare_surroundings, find_rim
from cleanplate.flow.sizes import enlarge, shrink, shrink_mask
from cleanplate.flow.spatial import fill_spatially, measure_variety
from cleanplate.flow.trace import count_before, gather, trace

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_RIM = 4
"""Pixels around a hole whose flow is not trusted: DIS compares patches of 8 pixels."""


@dataclass(frozen=True)
class _Flows:
    """Completed flow between neighbours and its inconsistency, forwards and backwards in time.

    `ahead[t]` leads from frame t to t + 1, `behind[t]` from t + 1 to t.
    """

    ahead: list[Field]
    behind: list[Field]
    doubt_ahead: list[Field]
    doubt_behind: list[Field]

    @classmethod
    def checked(cls, ahead: list[Field], behind: list[Field]) -> _Flows:
        pairs = list(zip(ahead, behind, strict=True))
        return cls(
            ahead,
            behind,
            [measure_inconsistency(there, back) for there, back in pairs],
            [measure_inconsistency(back, there) for there, back in pairs],
        )

    @classmethod
    def trusted(cls, ahead: list[Field], behind: list[Field]) -> _Flows:
        """Without inconsistency: of a motion model, which is not judged by it."""
        none = [np.zeros(field.shape[:2], np.float32) for field in ahead[:1]] * len(ahead)
        return cls(ahead, behind, none, list(none))

    def between(self, t: int, u: int) -> tuple[Field, Field]:
        if u > t:
            return self.ahead[t], self.doubt_ahead[t]
        return self.behind[u], self.doubt_behind[u]

    def joined(self, other: _Flows) -> _Flows:
        return _Flows(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    def without(self, pairs: int) -> _Flows:
        return _Flows(*(column[pairs:] for column in vars(self).values()))


@dataclass(frozen=True)
class Motion:
    """How the frames of a shot move: each completed flow, and the picture's own motion alone."""

    flows: _Flows
    model: _Flows

    def __len__(self) -> int:
        """Number of pairs of neighbours."""
        return len(self.flows.ahead)

    def without(self, frames: int) -> Motion:
        """The motion of what is left when the first `frames` are dropped."""
        return Motion(self.flows.without(frames), self.model.without(frames))

    def joined(self, other: Motion) -> Motion:
        """This motion, then `other`."""
        return Motion(self.flows.joined(other.flows), self.model.joined(other.model))

    @classmethod
    def none(cls) -> Motion:
        """Of no pair."""
        return cls(_Flows([], [], [], []), _Flows([], [], [], []))


@dataclass(frozen=True)
class Propagated:
    """Filled frames of a shot.

    `frames`: the wanted ones, uint8 RGB (h, w, 3); known pixels are the source's. `guessed` (h, w)
    in [0, 1]: the share of the spatial guess in each pixel, 0 where other frames say it all, 1
    where none does. `motion`: of all frames, to go on with.
    """

    frames: list[Frame]
    guessed: list[Field]
    motion: Motion


def propagate(
    frames: Sequence[Frame],
    masks: Sequence[Mask],
    *,
    wanted: range | None = None,
    motion: Motion | None = None,
    work: tuple[int, int] | None = None,
    estimator: FlowEstimator | None = None,
    rule: Weighing | None = None,
) -> Propagated:
    """Fill the holes of one shot from its other frames.

    Flow is estimated twice: between spatially filled frames, and again between the frames that the
    first flow filled, which gives it something to hold on to.

    Args:
        frames: uint8 RGB (h, w, 3); what they show inside holes is never looked at.
        masks: bool (h, w), True = hole.
        wanted: the frames to fill; all by default. The others only give.
        motion: what an earlier call found for the first frames, which is then not estimated again.
        work: (height, width) at which flow is estimated; colours are sampled at full resolution.
        estimator: of flow; DIS by default.
        rule: how candidates are weighed.
    """
    estimator, rule = estimator or DisFlow(), rule or Weighing()
    motion = motion or Motion.none()
    full = masks[0].shape
    work = work or full
    wanted = range(len(frames)) if wanted is None else wanted
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        holes = [shrink_mask(mask, work) for mask in masks]
        small = list(pool.map(lambda f, h: fill_spatially(shrink(f, work), h), frames, holes))
        new = range(len(motion), len(frames))
        if len(new) > 1:
            rough = _estimate(small, holes, holes, new, estimator, pool, _RIM)
            known = motion.flows.joined(rough.flows)
            draft, guessed = _fill(small, holes, small, [known], new, rule, pool)
            small_filled = [*small[: new.start], *draft]
            unknown = [*holes[: new.start], *(share > 0.5 for share in guessed)]
            fine = _estimate(small_filled, holes, unknown, new, estimator, pool, _RIM // 2)
            motion = motion.joined(fine)
        guesses = [enlarge(picture, full) for picture in small]
        fields = [motion.flows, motion.model]
        clean = list(pool.map(_covered, frames, masks, guesses))
        filled, guessed = _fill(clean, masks, guesses, fields, wanted, rule, pool)
    return Propagated(filled, guessed, motion)


def _estimate(
    pictures: Sequence[Frame],
    holes: Sequence[Mask],
    unknown: Sequence[Mask],
    among: range,
    estimator: FlowEstimator,
    pool: ThreadPoolExecutor,
    rim: int,
) -> Motion:
    """Flow between neighbours `among` the pictures, completed inside `holes`."""
    prepared = dict(
        zip(among, pool.map(estimator.prepare, [pictures[t] for t in among]), strict=True)
    )
    wide = {t: _grow(holes[t], _RIM) for t in among}
    blind = {t: _grow(unknown[t], rim) for t in among}

    def complete(t: int) -> tuple[Completed, Completed]:
        ahead = estimator.flow(prepared[t], prepared[t + 1])
        behind = estimator.flow(prepared[t + 1], prepared[t])
        return (
            complete_flow(ahead, behind, wide[t], blind[t], blind[t + 1]),
            complete_flow(behind, ahead, wide[t + 1], blind[t + 1], blind[t]),
        )

    pairs = list(pool.map(complete, among[:-1]))
    return Motion(
        _Flows.checked([a.flow for a, _ in pairs], [b.flow for _, b in pairs]),
        _Flows.trusted([a.model for a, _ in pairs], [b.model for _, b in pairs]),
    )


def _fill(
    frames: Sequence[Frame],
    masks: Sequence[Mask],
    guesses: Sequence[Frame],
    fields: Sequence[_Flows],
    wanted: range,
    rule: Weighing,
    pool: ThreadPoolExecutor,
) -> tuple[list[Frame], list[Field]]:
    """Trace along every field in both directions, and blend what was found with the guesses."""
    jobs = [(field, step) for field in fields for step in (1, -1)]
    traces = list(pool.map(lambda job: trace(masks, job[0].between, job[1], wanted), jobs))
    colours = list(pool.map(lambda found: gather(frames, found, cv2.INTER_CUBIC), traces))
    rim = find_rim(frames, masks, wanted)
    seams = list(pool.map(lambda found: compare_surroundings(frames, masks, found, rim), traces))
    first = count_before(masks, wanted)
    scale = masks[0].shape[1] / fields[0].ahead[0].shape[1] if fields[0].ahead else 1.0

    def finish(t: int) -> tuple[Frame, Field]:
        frame, mask, at = frames[t], masks[t], wanted.index(t)
        part = slice(first[at], first[at + 1])
        guessed = np.zeros(mask.shape, np.float32)
        if not mask.any():
            return frame, guessed
        pairs = [
            Candidates.pick(
                traces[k : k + 2], colours[k : k + 2], seams[k : k + 2], part, follows_model=k > 0
            )
            for k in range(0, len(traces), 2)
        ]
        guess = guesses[t][mask].astype(np.float32)
        variety = measure_variety(frame, mask)[mask]
        values, share = blend_candidates(pairs, guess, mask, variety, scale=scale, rule=rule)
        filled = frame.copy()
        filled[mask] = np.rint(values).clip(0, 255).astype(np.uint8)
        guessed[mask] = share
        return filled, guessed

    done = list(pool.map(finish, wanted))
    return [frame for frame, _ in done], [share for _, share in done]


def _grow(mask: Mask, pixels: int) -> Mask:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _covered(frame: Frame, mask: Mask, guess: Frame) -> Frame:
    """`frame` with the guess in its hole: sampling beside a hole must not see what it shows."""
    return np.where(mask[..., None], guess, frame) if mask.any() else frame
