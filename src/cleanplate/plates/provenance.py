"""Where each pixel of a finished frame came from."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint8]
"""A `Provenance` for each pixel."""

_MADE_UP = 0.5
"""Share of the guess from which a pixel counts as made up."""


class Provenance(IntEnum):
    """Origin of a pixel."""

    SOURCE = 0
    """The source's own, outside the feathered mask."""
    RECOVERED = 1
    """Another frame shows it."""
    MADE_UP = 2
    """No frame shows it: filled from its surroundings or by a network."""
    PAINTED = 3
    """From a picture that the user gave."""


COLOURS = {
    Provenance.SOURCE: (0, 0, 0),
    Provenance.RECOVERED: (60, 180, 75),
    Provenance.MADE_UP: (230, 40, 60),
    Provenance.PAINTED: (60, 110, 230),
}
"""RGB of each origin in a drawn map: black, green, red, blue."""


def label(guessed: npt.NDArray[np.float32]) -> Codes:
    """Classify filled pixels by the share of each, in [0, 1], that no other frame showed."""
    return np.where(
        guessed > _MADE_UP, np.uint8(Provenance.MADE_UP), np.uint8(Provenance.RECOVERED)
    )


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
