"""Parts of a clip as frames and as times."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cleanplate.masks.tracking import LostSpan


def choose_part(times: list[Fraction], first: int, last: int) -> tuple[float | None, float | None]:
    """Convert frames to `start` and `end` well inside them: rounding must not matter.

    None is the start or the end of the clip.
    """
    start = end = None
    if first > 0:
        after = times[first + 1] if first + 1 < len(times) else 2 * times[first] - times[first - 1]
        start = float(times[first] + (after - times[first]) / 4)
    if last + 1 < len(times):
        end = float(times[last] + (times[last + 1] - times[last]) * Fraction(3, 4))
    return start, end


def list_frame_runs(flags: list[bool]) -> list[tuple[int, int]]:
    """List the first and last index of each run of True."""
    edges = np.flatnonzero(np.diff([False, *flags, False]))
    return [(int(start), int(end) - 1) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def find_frames(span: LostSpan, times: list[Fraction]) -> tuple[int, int]:
    """Convert a span of time to its first and last frame."""
    return bisect_left(times, span.start), max(bisect_left(times, span.end) - 1, 0)
