"""What training reads: a named run of frames, wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
"""uint8 RGB `(h, w, 3)`."""
Frames = npt.NDArray[np.uint8]
"""uint8 RGB `(t, h, w, 3)`."""


class Clip(Protocol):
    """A run of frames of one size."""

    @property
    def name(self) -> str:
        """Unique in its data set."""

    @property
    def group(self) -> str:
        """Clips of one group show the same source and must not be split between train and test."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]:
        """All frames in order, one in memory at a time; raises InputError as `read` does."""

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`; raises InputError that names an unreadable file."""
