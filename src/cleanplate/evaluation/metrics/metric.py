"""What a metric is: it sees the frames of one sequence in order and gives one number at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Metric(Protocol):
    """Measures one sequence; a fresh one is made for each."""

    @property
    def name(self) -> str:
        """The column's name, such as `psnr`."""
        ...

    @property
    def gap(self) -> str | None:
        """Why nothing is measured, such as weights that were not given; None if something is."""
        ...

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """Take the next frame of the sequence.

        Args:
            made: the composited result, uint8 RGB (h, w, 3): known pixels are the truth's.
            truth: what should be there, of the same size; None where nobody knows.
            mask: bool (h, w), True = hole.

        Returns:
            This frame's value for a curve over time, in the unit of `result`; None where there is
            none: no hole, a frame that is not sampled, or nothing to compare with.
        """
        ...

    def result(self) -> float | None:
        """The value of the sequence so far; None where there is nothing to measure."""
        ...


@dataclass(frozen=True)
class Features:
    """What a metric over all sequences keeps of one: a row for each sample.

    `made` and `true` are float64 (n, d), n samples (one a sequence) of d features.
    """

    made: npt.NDArray[np.float64]
    true: npt.NDArray[np.float64]


@runtime_checkable
class PooledMetric(Protocol):
    """A metric that is defined over all sequences only: `result` is None for each of them.

    Keep `features()` of every sequence and give them all to `pool`, which depends on nothing else.
    """

    @property
    def name(self) -> str:
        """See Metric.name."""
        ...

    @property
    def gap(self) -> str | None:
        """See Metric.gap."""
        ...

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add."""
        ...

    def result(self) -> float | None:
        """None: one sequence has no value."""
        ...

    def features(self) -> Features | None:
        """What is kept of this sequence, (1, d) each; None where there is nothing."""
        ...


@dataclass(frozen=True)
class Missing:
    """The place of a metric that cannot be measured here, and the reason for the report."""

    name: str
    gap: str | None

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """None."""
        return None

    def result(self) -> float | None:
        """None."""
        return None
