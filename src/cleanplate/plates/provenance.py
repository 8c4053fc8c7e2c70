"""Where each pixel of a finished frame came from."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint8]
"""A `Provenance` for each pixel."""
Shares = npt.NDArray[np.float32]

_MADE_UP = 0.5
"""Share of the guess from which a pixel counts as made up."""


class Provenance(IntEnum):
    """Origin of a pixel."""

    SOURCE = 0
    """The source's own, outside the feathered mask."""
    NEAR = 1
    """Another frame shows it, at most about 30 frames away."""
    FAR = 2
    """Another frame of the shot shows it, further away."""
    MADE_UP = 3
    """No frame shows it: filled from its surroundings or by a network."""
    PAINTED = 4
    """From a picture that the user gave."""
    SOLVED = 5
    """Recovered from what shines through a half-transparent overlay."""


COLOURS = {
    Provenance.SOURCE: (0, 0, 0),
    Provenance.NEAR: (60, 180, 75),
    Provenance.FAR: (240, 200, 40),
    Provenance.MADE_UP: (230, 40, 60),
    Provenance.PAINTED: (60, 110, 230),
    Provenance.SOLVED: (70, 205, 215),
}
"""RGB of each origin in a drawn map: black, green, yellow, red, blue, cyan."""


def label(guessed: Shares, far: Shares) -> Codes:
    """Classify filled pixels by the share of each, in [0, 1], that is a guess or from far frames.

    What is left of 1 is from near frames. The largest share decides between near and far ones.
    """
    is_far = 2 * far > 1 - guessed
    seen = np.where(is_far, np.uint8(Provenance.FAR), np.uint8(Provenance.NEAR))
    return np.where(guessed > _MADE_UP, np.uint8(Provenance.MADE_UP), seen)


def draw_provenance(codes: Codes) -> Frame:
    """Draw a map of origins (h, w) as RGB (h, w, 3)."""
    return np.array([COLOURS[origin] for origin in Provenance], np.uint8)[codes]


def count_provenance(codes: Codes) -> dict[str, float]:
    """Fraction of all pixels of each origin, by its name in lower case."""
    counts = np.bincount(codes.ravel(), minlength=len(Provenance))
    return {
        origin.name.lower(): round(float(counts[origin]) / max(1, codes.size), 6)
        for origin in Provenance
    }
