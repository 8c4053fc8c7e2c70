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
from cleanplate.flow.trace import gather, trace

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_RIM = 4
"""Pixels around a hole whose flow is not trusted: DIS compares patches of 8 pixels."""


@dataclass(frozen=True)
class Propagated:
    """Filled frames of a shot.

    `frames`: uint8 RGB (h, w, 3); known pixels are the source's. `guessed` (h, w) in [0, 1]: the share
    of the spatial guess in each pixel, 0 where other frames say it all, 1 where none does.
    """

    frames: list[Frame]
    guessed: list[Field]


@dataclass(frozen=True)
class _Flows:
    """Completed flow between neighbours: `ahead[t]` from t to t + 1, `behind[t]` from t + 1 to t."""

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

    def between(self, t: int, u: int) -> tuple[Field, Field]:
        if u > t:
            return self.ahead[t], self.doubt_ahead[t]
        return self.behind[u], self.doubt_behind[u]


def propagate(
    frames: Sequence[Frame],
    masks: Sequence[Mask],
    *,
    work: tuple[int, int] | None = None,
    estimator: FlowEstimator | None = None,
    rule: Weighing | None = None,
) -> Propagated:
    """Fill the holes of one shot from its other frames.

    `frames` uint8 RGB (h, w, 3) and `masks` bool (h, w), True = hole; what a frame shows inside its
    hole is never looked at. `work` is the (height, width) at which flow is estimated; colours are
    sampled at full resolution. Flow is estimated twice: between spatially filled frames, and again
    between the frames that the first flow filled, which gives it something to hold on to.
    """
    estimator, rule = estimator or DisFlow(), rule or Weighing()
    full = masks[0].shape
    work = work or full
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        holes = [shrink_mask(mask, work) for mask in masks]
        small = list(pool.map(lambda f, h: fill_spatially(shrink(f, work), h), frames, holes))
        flows, _ = _estimate(small, holes, holes, _RIM, estimator, pool)
        draft = _fill(small, holes, small, [flows], rule, pool)
        unknown = [share > 0.5 for share in draft.guessed]
        both = _estimate(draft.frames, holes, unknown, _RIM // 2, estimator, pool)
        guesses = [enlarge(picture, full) for picture in small]
        return _fill(frames, masks, guesses, list(both), rule, pool)


def _estimate(
    pictures: Sequence[Frame],
    holes: Sequence[Mask],
    unknown: Sequence[Mask],
    rim: int,
    estimator: FlowEstimator,
    pool: ThreadPoolExecutor,
) -> tuple[_Flows, _Flows]:
    """Flow between neighbours, completed inside `holes`, and the picture's own motion alone."""
    prepared = list(pool.map(estimator.prepare, pictures))
    wide = [_grow(hole, _RIM) for hole in holes]
    blind = [_grow(mask, rim) for mask in unknown]

    def complete(t: int) -> tuple[Completed, Completed]:
        ahead = estimator.flow(prepared[t], prepared[t + 1])
        behind = estimator.flow(prepared[t + 1], prepared[t])
        return (
            complete_flow(ahead, behind, wide[t], blind[t], blind[t + 1]),
            complete_flow(behind, ahead, wide[t + 1], blind[t + 1], blind[t]),
        )

    pairs = list(pool.map(complete, range(len(pictures) - 1)))
    own = _Flows.checked([a.flow for a, _ in pairs], [b.flow for _, b in pairs])
    model = _Flows.checked([a.model for a, _ in pairs], [b.model for _, b in pairs])
    return own, model


def _fill(
    frames: Sequence[Frame],
    masks: Sequence[Mask],
    guesses: Sequence[Frame],
    fields: Sequence[_Flows],
    rule: Weighing,
    pool: ThreadPoolExecutor,
) -> Propagated:
    """Trace along every field in both directions, and blend what was found with the guesses."""
    jobs = [(field, step) for field in fields for step in (1, -1)]
    traces = list(pool.map(lambda job: trace(masks, job[0].between, job[1]), jobs))
    colours = list(pool.map(lambda found: gather(frames, found, cv2.INTER_LINEAR), traces))
    rim = find_rim(frames, masks)
    seams = list(pool.map(lambda found: compare_surroundings(frames, masks, found, rim), traces))
    first = np.concatenate([[0], np.cumsum([np.count_nonzero(mask) for mask in masks])])
    scale = masks[0].shape[1] / fields[0].ahead[0].shape[1] if fields[0].ahead else 1.0

    def finish(t: int) -> tuple[Frame, Field]:
        frame, mask, part = frames[t], masks[t], slice(first[t], first[t + 1])
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
        values, share = blend_candidates(
            pairs, guess, mask, variety, scale=scale, rule=rule
        )
        filled = frame.copy()
        filled[mask] = np.rint(values).clip(0, 255).astype(np.uint8)
        guessed[mask] = share
        return filled, guessed

    done = list(pool.map(finish, range(len(frames))))
    return Propagated([frame for frame, _ in done], [share for _, share in done])


def _grow(mask: Mask, pixels: int) -> Mask:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)
