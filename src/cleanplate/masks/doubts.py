"""Signs that a file given as a mask is not the mask that was meant; all are notes, not errors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_NEARLY_ALL = 0.9
"""Share of the picture from which a mask is more likely inverted than meant."""
_BLACK, _WHITE = 32, 223
"""Values of a mask's soft edges, or of a lossy file, lie between these, and few other ones do."""
_GREY, _LEVELS = 0.25, 64
"""Share of such pixels, and how many different values, from which it is likely a photograph."""

SAMPLES = 5


def spread(count: int, most: int = SAMPLES) -> list[int]:
    """At most `most` of `count` frames, by number: the first, the last, and between them."""
    steps = max(1, min(most, count) - 1)
    return sorted({round(step * (count - 1) / steps) for step in range(steps + 1)})


def describe_doubts(
    name: str, samples: Iterable[npt.NDArray[np.uint8]], threshold: int, *, inverted: bool
) -> list[str]:
    """Notes on a mask called `name`, by some of its frames: values `(h, w)`, 0..255.

    Values above `threshold` are marked, or with `inverted` all others.
    """
    counts = np.zeros(256, np.int64)
    looked = 0
    for values in samples:
        counts += np.bincount(values.ravel(), minlength=256)
        looked += 1
    share = counts[threshold + 1 :].sum() / max(1, counts.sum())
    share = 1 - share if inverted else share
    between = counts[_BLACK:_WHITE]
    grey, levels = between.sum() / max(1, counts.sum()), int(np.count_nonzero(between))
    where = "" if looked == 1 else f" in the {looked} frames that were looked at"
    if grey > _GREY and levels >= _LEVELS:
        return [
            f"mask {name} looks like a photograph: {_percent(grey)} of its pixels are neither"
            f" nearly black nor nearly white ({levels} levels between){where};"
            f" {_percent(share)} of the picture is marked at the threshold {threshold}"
        ]
    if share > _NEARLY_ALL:
        remedy = (
            "if it was right without it, leave `invert=True` out"
            if inverted
            else "if black is what to remove, use `invert=True`"
        )
        inverse = ", inverted," if inverted else ""
        return [f"mask {name}{inverse} marks {_percent(share)} of the picture{where}; {remedy}"]
    return []


def _percent(share: float) -> str:
    """Rounded down, so that a pixel that is left open shows."""
    return f"{int(share * 1000) / 10:g} %"
