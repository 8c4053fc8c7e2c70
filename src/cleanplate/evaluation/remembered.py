"""Flow that is asked for again and again: all methods and masks of a sequence share its truth."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cleanplate.flow import DisFlow, FlowEstimator

_BUDGET = 256 * 2**20
"""Bytes of flow that are kept: about 150 frames at 432x240. What is beyond is estimated anew."""


class _Prepared(NamedTuple):
    digest: bytes
    image: Any


class RememberedFlow(FlowEstimator):
    """Gives the flow between two pictures that it has seen before without estimating it again."""

    def __init__(self, estimator: FlowEstimator, budget: int = _BUDGET) -> None:
        self._estimator = estimator
        self._left = budget
        self._known: dict[tuple[bytes, bytes], npt.NDArray[np.float32]] = {}

    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:
        """See FlowEstimator.prepare; pictures are told apart by what they show."""
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        return _Prepared(digest, self._estimator.prepare(image))

    def flow(self, source: Any, target: Any) -> npt.NDArray[np.float32]:
        """See FlowEstimator.flow; the array must not be changed."""
        key = (source.digest, target.digest)
        if key in self._known:
            return self._known[key]
        found = self._estimator.flow(source.image, target.image)
        found.flags.writeable = False
        if found.nbytes <= self._left:
            self._known[key] = found
            self._left -= found.nbytes
        return found


class SequenceFlow:
    """One memory for each sequence in turn; the one before is forgotten."""

    def __init__(self) -> None:
        self._sequence: str | None = None
        self._flow: FlowEstimator = DisFlow()

    def choose(self, sequence: str, *, has_truth: bool) -> FlowEstimator:
        """The estimator for a sequence; without a truth no two methods share anything."""
        if not has_truth:
            return DisFlow()
        if sequence != self._sequence:
            self._sequence, self._flow = sequence, RememberedFlow(DisFlow())
        return self._flow
