"""Find letterbox bars and pillars of a shot, and fill holes inside them.

A bar does not move, and what moves beside it must not be sampled across its edge. So the picture
inside the bars is filled as a picture of its own, and a bar from its own rows or columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import overlap, within
from cleanplate.types import Box

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LetterboxTuning:
    """When rows and columns at the picture's border count as a bar."""

    tolerance: int = 6
    """Levels by which a pixel of a bar may differ from the bar's colour: coding noise."""
    outliers: float = 0.02
    """Fraction of a row's known pixels that may differ by more: ringing beside a caption."""
    contrast: int = 16
    """Levels by which the picture must differ from the bar at its edge, in one frame at least.

    Without an edge the row is a smooth part of the picture, such as a clear sky.
    """
    edge: float = 0.5
    """Fraction of the pixels along the edge that must differ so much."""
    ramp: int = 2
    """Rows of the bar at the edge into which coding may carry the picture."""
    noisy: float = 0.2
    """Fraction of the pixels of a bar's last rows that may differ so much."""
    least: int = 4
    """Rows of a bar, at least."""


_TUNING = LetterboxTuning()


def find_picture(views: Sequence[tuple[Frame, Mask]], tuning: LetterboxTuning = _TUNING) -> Box:
    """The part of a shot inside its bars: all of it where there are none.

    Args:
        views: some frames of one shot, uint8 RGB (h, w, 3), and which of their pixels (h, w) are
            known, bool; others are not looked at.
    """
    height, width = views[0][1].shape
    top = _count_rows(views, tuning)
    bottom = _count_rows([(frame[::-1], known[::-1]) for frame, known in views], tuning)
    # Pillars are looked for between the bars: above and below every column is the bar's.
    rows = slice(top, height - bottom)
    turned = [(frame[rows].swapaxes(0, 1), known[rows].T) for frame, known in views]
    left = _count_rows(turned, tuning)
    right = _count_rows([(frame[::-1], known[::-1]) for frame, known in turned], tuning)
    if top + bottom >= height or left + right >= width:
        return Box(0, 0, width, height)
    return Box(left, top, width - left - right, height - top - bottom)


def _count_rows(views: Sequence[tuple[Frame, Mask]], tuning: LetterboxTuning) -> int:
    """Rows of a bar at the top of all `views`, pictures (h, w, 3) and their known pixels (h, w)."""
    height = views[0][1].shape[0]
    outer = [frame[0][known[0]] for frame, known in views]
    if not sum(map(len, outer)):
        return 0
    colour = np.median(np.concatenate(outer), axis=0)
    rows = 0
    while rows < height and all(_is_plain(view, rows, colour, tuning) for view in views):
        rows += 1
    if not tuning.least <= rows < height:
        return 0
    beyond = slice(rows, rows + 1 + tuning.ramp)
    edges = [_measure_edge(frame[beyond], known[beyond], colour, tuning) for frame, known in views]
    if max(edges) < tuning.edge:
        return 0
    # Coding noise of the picture reaches into the bar: such rows are the bar's all the same.
    while rows < beyond.stop - 1 and all(
        _leaves(view, rows, colour, tuning.contrast) < tuning.noisy for view in views
    ):
        rows += 1
    return rows


def _is_plain(
    view: tuple[Frame, Mask], row: int, colour: npt.NDArray[np.float64], tuning: LetterboxTuning
) -> bool:
    """Whether the known pixels of a row have the bar's colour; so do none at all."""
    return _leaves(view, row, colour, tuning.tolerance) <= tuning.outliers


def _leaves(
    view: tuple[Frame, Mask], row: int, colour: npt.NDArray[np.float64], levels: int
) -> float:
    """Fraction of the known pixels of a row that are more than `levels` from the bar's colour."""
    known = view[1][row]
    apart = np.abs(view[0][row][known] - colour).max(axis=1, initial=0)
    return int(np.count_nonzero(apart > levels)) / max(len(apart), 1)


def _measure_edge(
    rows: Frame, known: Mask, colour: npt.NDArray[np.float64], tuning: LetterboxTuning
) -> float:
    """Fraction of the columns of `rows` (r, w, 3) that leave the bar's colour at a known pixel."""
    apart = np.abs(rows - colour).max(axis=2) * known
    columns = int(np.count_nonzero(known.any(axis=0)))
    return int(np.count_nonzero(apart.max(axis=0) > tuning.contrast)) / max(columns, 1)


def fill_bars(frame: Frame, hole: Mask, picture: Box, box: Box) -> tuple[Frame, Mask]:
    """Fill what `box` of a frame shows of the bars around `picture`, and mark it.

    Each row of a bar, or column of a pillar, takes the median of its known pixels in the same
    frame, so that the blurred edge of a bar goes on through the hole.

    Args:
        frame: uint8 RGB (h, w, 3).
        hole: bool (h, w), True = hole.
        picture: the part inside the bars.
        box: the part of the frame that is returned.

    Returns:
        The part (box.height, box.width, 3), and the pixels of it that lie in a bar.
    """
    filled, in_bar = frame[box.slices].copy(), np.ones(box.size.shape, np.bool_)
    common = overlap(picture, box)
    if common is not None:
        in_bar[within(common, box).slices] = False
    across, down = picture.slices[::-1]
    for y in range(box.y, box.y + box.height):
        if not down.start <= y < down.stop:
            filled[y - box.y] = _find_median(frame[y], ~hole[y])
    for x in range(box.x, box.x + box.width):
        if not across.start <= x < across.stop:
            part = overlap(Box(x, down.start, 1, picture.height), box)
            if part is not None:
                filled[within(part, box).slices] = _find_median(frame[down, x], ~hole[down, x])
    return filled, in_bar


def _find_median(line: Frame, known: npt.NDArray[np.bool_]) -> Frame:
    """Median colour of the known pixels of a `line` (n, 3); of all where none is known."""
    median = np.median(line[known] if known.any() else line, axis=0)
    return np.asarray(np.rint(median), np.uint8)
