"""The colour of an overlay, which most videos hold at half the size."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.types import Box

Plane = npt.NDArray[np.float32]


def fit_colours(
    seen: Plane, behind: Plane, weight: Plane, transparency: Plane, box: Box
) -> tuple[Plane, Plane]:
    """Transparency (2, h, w) of luma and colour, and the added colour (2, p).

    Most videos hold colour at half the size: whichever explains the samples better is taken.
    """
    choices = []
    for keep in (transparency, halve_and_enlarge(transparency, box)):
        flat = keep.ravel()[:, None]
        rest = seen[..., 1:] - flat * behind[..., 1:]
        total = np.maximum(weight.sum(axis=0), 1e-3)[:, None]
        added = (weight[..., None] * rest).sum(axis=0) / total
        residual = (weight[..., None] * (rest - added) ** 2).sum()
        choices.append((float(residual), keep, added))
    _, keep, added = min(choices, key=lambda one: one[0])
    return np.stack([transparency, keep]), np.asarray(added.T, np.float32)


def halve_and_enlarge(plane: Plane, box: Box) -> Plane:
    """Store `plane` (h, w), a `box` of a picture, at half the size as 4:2:0 does, and enlarge it.

    Samples lie between two lines, and at the left of two columns.
    """
    height, width = plane.shape
    left, top = box.x % 2, box.y % 2
    right, bottom = (left + width) % 2, (top + height) % 2
    padded = cv2.copyMakeBorder(plane, top, bottom, left, right, cv2.BORDER_REPLICATE)
    high, wide = padded.shape
    half = cv2.resize(padded, (wide // 2, high // 2), interpolation=cv2.INTER_AREA)
    lines = cv2.resize(half, (wide // 2, high), interpolation=cv2.INTER_LINEAR)
    whole = np.repeat(lines, 2, axis=1)
    whole[:, 1:-1:2] = (lines[:, :-1] + lines[:, 1:]) / 2
    return np.asarray(whole[top : top + height, left : left + width], np.float32)
