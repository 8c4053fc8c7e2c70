"""Which pixel of the frame before shows the same thing: what metrics over time compare along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.evaluation.metrics.metric import Frame, Mask
from cleanplate.flow import FlowEstimator
from cleanplate.flow.motion import (
    Flow,
    complete_flow,
    fit_motion,
    grid,
    square_length,
    take_samples,
)

Field = npt.NDArray[np.float32]

_RIM = 4
"""Pixels around a hole whose flow it spoils: dense inverse search compares patches of eight."""


@dataclass(frozen=True)
class Correspondence:
    """Where each pixel of a frame was in the frame before.

    `x`, `y`: float32 (h, w), in pixels of the frame before; `visible`: bool (h, w), True where
    that frame shows it and the motion can be trusted.
    """

    x: Field
    y: Field
    visible: Mask

    def warp(self, before: Frame) -> npt.NDArray[np.uint8]:
        """The frame before (h, w, 3), moved to where things are now; bilinear."""
        warped = cv2.remap(
            before, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(warped, np.uint8)


class Follower:
    """Follows one sequence from frame to frame, once for all metrics that ask.

    Args:
        estimator: the optical flow; dense inverse search unless a learned one is given.
    """

    def __init__(self, estimator: FlowEstimator) -> None:
        self._estimator = estimator
        self._index = -1
        self._before: tuple[Any, Mask | None] | None = None
        self._latest: Correspondence | None = None

    def follow(
        self, index: int, made: Frame, truth: Frame | None, mask: Mask
    ) -> Correspondence | None:
        """From frame `index` to the one before; None for the first.

        Motion is estimated on the truth, so that it is the same for all methods. Where there is
        none, it is estimated on the result, and inside holes completed from around them: a fill
        must not be its own witness. Frames are asked for in order; asking again for the latest
        costs nothing.
        """
        if index == self._index:
            return self._latest
        picture, hole = (made, _widen(mask)) if truth is None else (truth, None)
        before, self._before = self._before, (self._estimator.prepare(picture), hole)
        self._index = index
        self._latest = None if before is None else self._compare(self._before, before)
        return self._latest

    def _compare(
        self, now: tuple[Any, Mask | None], before: tuple[Any, Mask | None]
    ) -> Correspondence:
        back = self._estimator.flow(now[0], before[0])
        forth = self._estimator.flow(before[0], now[0])
        if now[1] is not None and before[1] is not None:
            back, forth = (
                _complete(back, forth, now[1], before[1]),
                _complete(forth, back, before[1], now[1]),
            )
        return find_correspondence(back, forth)


def _complete(flow: Field, back: Field, hole: Mask, hole_there: Mask) -> Field:
    """`flow` (h, w, 2) with a completion inside `hole` in place of what the fill shows."""
    there, fro = Flow(flow), Flow(back)
    model = fit_motion(take_samples(there, fro, hole, hole_there), hole.shape)
    return complete_flow(there, fro, hole, hole, hole_there, model).vectors


def _widen(mask: Mask) -> Mask:
    """The hole with the rim in which a flow of patches still sees it."""
    side = 2 * _RIM + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def find_correspondence(back: Field, forth: Field) -> Correspondence:
    """Correspondence from the flow `back` (h, w, 2) to the frame before, and `forth` from it.

    A pixel is not visible where it leaves the picture, where the two flows disagree (occlusion),
    or at an edge of motion, where flow is a blend of two motions. Limits are those of Ruder et al.
    (2016; the first is that of Sundaram et al. 2010), which Lai et al. (2018) use.
    """
    height, width = back.shape[:2]
    x, y = grid(height, width)
    x, y = x + back[..., 0], y + back[..., 1]
    returned = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    length = square_length(back)
    visible = square_length(back + returned) <= 0.01 * (length + square_length(returned)) + 0.5
    visible &= _measure_edges(back) <= 0.01 * length + 0.002
    visible &= (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return Correspondence(x, y, np.asarray(visible, np.bool_))


def _measure_edges(flow: Field) -> Field:
    """Squared gradient of both components (h, w), by differences to the right and below."""
    edges = np.zeros(flow.shape[:2], np.float32)
    edges[:, :-1] += square_length(flow[:, 1:] - flow[:, :-1])
    edges[:-1] += square_length(flow[1:] - flow[:-1])
    return edges
