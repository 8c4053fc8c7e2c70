"""Put pictures that a user gave over what a span was filled with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cleanplate.motion.propagation import spread_over
from cleanplate.plates import Codes, GivenPlates, Provenance
from cleanplate.removal.regions import Entry, Frame
from cleanplate.removal.shots import Memories

_PAINTED = 0.5
"""Share of a given picture from which a pixel counts as painted."""


def paint_over(
    plates: GivenPlates,
    memories: Memories | None,
    first: int,
    entries: Sequence[Entry],
    fills: Sequence[Frame],
    codes: Sequence[Codes],
    threads: int,
) -> None:
    """Paint over the `fills` (h, w, 3) of `entries`' boxes in place; mark it in `codes` (h, w).

    Args:
        plates: what was given.
        memories: know the shot of a frame.
        first: number of the first entry's frame.
        entries: consecutive frames with their holes.
        fills: what fills the box of each.
        codes: origin of each pixel of it.
        threads: that work at the same time.
    """

    def paint(k: int) -> None:
        box, touched = entries[k].box, entries[k].touched
        if box is None or touched is None or not touched.any():
            return
        frame = entries[k].frame
        hole = np.zeros(frame.shape[:2], np.bool_)
        hole[box.slices] = touched
        number = first + k
        pixels, share = plates.paint(number, shots[k], frame, hole, fills[k][touched])
        fills[k][touched] = pixels
        codes[k][touched] = np.where(
            share > _PAINTED, np.uint8(Provenance.PAINTED), codes[k][touched]
        )

    shots = [
        None if memories is None else memories.find_shot(first + k) for k in range(len(entries))
    ]
    wanted = [k for k, shot in enumerate(shots) if plates.choose(first + k, shot)]
    with spread_over(threads) as spread:
        for _ in spread(paint, wanted):
            pass
