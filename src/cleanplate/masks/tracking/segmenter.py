"""The seam at which a segmentation model of one's own plugs in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Mask


class Frames(Protocol):
    """Frames of one shape, uint8 RGB (h, w, 3), to be read in any order."""

    shape: tuple[int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a segmenter says about one frame."""

    index: int
    mask: Mask
    """bool (h, w) of the frames' shape; empty where the object is not seen."""
    confidence: float
    """0 (not seen) to 1."""


class Segmenter(Protocol):
    """Finds an object: first inside a box, then in frame after frame."""

    looks: int
    """How often it looks at each frame: how many `Found` come for it."""

    def segment(self, frames: Frames, index: int, box: Mask) -> Mask:
        """The object inside `box`, bool (h, w), on frame `index`."""

    def follow(self, frames: Frames, mask: Mask, indices: Sequence[int]) -> Iterator[Found]:
        """Where the object is that `mask` shows on frame `indices[0]`, in the frames after it.

        `indices` are neighbouring frames in one direction of time; a `Found` comes for each but
        the first, in their order. Who looks again gives more, which take the place of those before;
        then the first may be among them.
        """
