"""Which pixel of the frame before shows the same thing: what metrics over time compare along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.evaluation.metrics.metric import Frame, Mask
from cleanplate.flow import FlowEstimator

Field = npt.NDArray[np.float32]


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
        self._prepared: Any = None
        self._latest: Correspondence | None = None

    def follow(self, index: int, picture: Frame) -> Correspondence | None:
        """From frame `index`, which shows `picture`, to the one before; None for the first.

        Frames are asked for in order; asking again for the latest costs nothing.
        """
        if index == self._index:
            return self._latest
        now, before = self._estimator.prepare(picture), self._prepared
        self._latest = None
        if before is not None:
            back, forth = self._estimator.flow(now, before), self._estimator.flow(before, now)
            self._latest = find_correspondence(back, forth)
        self._index, self._prepared = index, now
        return self._latest


def find_correspondence(back: Field, forth: Field) -> Correspondence:
    """Correspondence from the flow `back` (h, w, 2) to the frame before, and `forth` from it.

    A pixel is not visible where it leaves the picture, where the two flows disagree (occlusion),
    or at an edge of motion, where flow is a blend of two motions. Limits are those of Ruder et al.
    (2016, equations 5 and 6; after Sundaram et al. 2010), which Lai et al. (2018) use.
    """
    height, width = back.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x += back[..., 0]
    y += back[..., 1]
    returned = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    length = _square(back)
    visible = _square(back + returned) <= 0.01 * (length + _square(returned)) + 0.5
    visible &= _measure_edges(back) <= 0.01 * length + 0.002
    visible &= (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return Correspondence(x, y, np.asarray(visible, np.bool_))


def _square(flow: Field) -> Field:
    return np.asarray(np.einsum("hwc,hwc->hw", flow, flow), np.float32)


def _measure_edges(flow: Field) -> Field:
    """Squared gradient of both components (h, w), by differences to the right and below."""
    edges = np.zeros(flow.shape[:2], np.float32)
    edges[:, :-1] += _square(flow[:, 1:] - flow[:, :-1])
    edges[:-1] += _square(flow[1:] - flow[:-1])
    return edges
