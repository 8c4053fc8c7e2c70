"""Choose frames between two looks that show something sharp which neither of the looks shows.

A detector of text is slow, so it looks at a few frames a second; text that stands for less is
missed. But letters have many strong edges that appear at once. Where the density of edges in a
small cell jumps, and both looks miss it, the detector looks again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OnsetTuning:
    """Constants of the choice. Densities of edges are mean differences of neighbours, in levels."""

    cell: int = 8
    """Side of a cell in pixels: about the width of a letter."""
    jump: float = 10.0
    """Minimum rise of the density."""
    ratio: float = 1.6
    """The same as a factor."""
    cells: int = 4
    """Minimum number of cells that rise: a letter covers as many."""
    looks: int = 3
    """Maximum number of frames chosen between two looks."""


_TUNING = OnsetTuning()


class Onsets:
    """Densities of edges of the frames since the last look."""

    def __init__(self) -> None:
        self._last: Field | None = None
        self._risen: Mask | None = None
        self._between: dict[int, tuple[Field, Mask]] = {}
        self._look: Field | None = None

    def push(self, index: int, frame: Frame) -> None:
        """Add the next frame."""
        density = measure_density(frame)
        if self._last is not None:
            rises = _exceeds(density, _around(self._last))
            self._risen = rises if self._risen is None else self._risen | rises
            self._between[index] = density, self._risen.copy()
        self._last = density
        if self._look is None:
            self._look = density

    def choose(self, known: dict[int, Mask]) -> list[tuple[int, slice]]:
        """Choose frames pushed since the last call; the last one counts as looked at.

        Returns their numbers, the one with most unseen edges first, and the rows of these edges.
        `known` marks the pixels `(h, w)` of text found in them so far.
        """
        if self._last is None or self._look is None:
            return []
        seen = np.maximum(_around(self._look), _around(self._last))
        chosen: list[tuple[int, slice]] = []
        while len(chosen) < _TUNING.looks:
            unseen = {
                index: _forget(_exceeds(density, seen) & risen, known.get(index))
                for index, (density, risen) in self._between.items()
            }
            best = max(unseen, key=lambda index: int(unseen[index].sum()), default=None)
            if best is None or unseen[best].sum() < _TUNING.cells:
                break
            rows = np.flatnonzero(unseen[best].any(axis=1)) * _TUNING.cell
            chosen.append((best, slice(int(rows[0]), int(rows[-1]) + _TUNING.cell)))
            seen = np.maximum(seen, _around(self._between[best][0]))
        self._look, self._risen, self._between = self._last, None, {}
        return chosen


def measure_density(frame: Frame) -> Field:
    """Measure the mean difference of neighbouring pixels in each cell, in levels."""
    gray = np.ascontiguousarray(frame[..., 1])
    height, width = (max(1, side // _TUNING.cell) for side in gray.shape)
    across = cv2.absdiff(gray[:-1, 1:], gray[:-1, :-1])
    down = cv2.absdiff(gray[1:, :-1], gray[:-1, :-1])
    edges = cv2.max(across, down)
    return np.asarray(cv2.resize(edges, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _around(density: Field) -> Field:
    """The highest density in a cell and its neighbours: motion carries edges into the next cell."""
    return np.asarray(cv2.dilate(density, np.ones((3, 3), np.uint8)), np.float32)


def _exceeds(density: Field, other: Field) -> Mask:
    return np.asarray((density > other + _TUNING.jump) & (density > _TUNING.ratio * other))


def _forget(cells: Mask, known: Mask | None) -> Mask:
    """Leave out cells of known text."""
    if known is None:
        return cells
    height, width = cells.shape
    covered = cv2.resize(known.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cells & (covered < 0.25))
