"""Drawn holes for evaluation: the shapes of `outlines` as masks on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cleanplate.masks import outlines

Masks = npt.NDArray[np.bool_]
"""bool `(t, h, w)`, True = hole."""


def free_form(
    size: tuple[int, int], times: Sequence[int], rng: np.random.Generator, *, moving: bool
) -> Masks:
    """One free-form shape of the paper on frames of `size` (height, width); see `outlines`."""
    return outlines.free_form(size, times, rng, moving=moving).draw().numpy()
