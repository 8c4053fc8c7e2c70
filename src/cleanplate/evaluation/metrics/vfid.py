"""VFID: the Fréchet distance between the features of made and of true videos (Wang et al. 2018).

A sample is a sequence: its features are the mean over time and space of I3D's `Mixed_5c`, of RGB
frames in [0, 1]. The field leaves the network in training mode, so that each clip is normalised by
itself (`vfid`); `vfid_eval` uses the statistics learnt. The two must not be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange

from cleanplate.evaluation.metrics.frechet import measure_frechet_distance
from cleanplate.evaluation.metrics.i3d import I3d
from cleanplate.evaluation.metrics.metric import Features, Frame, Mask

LARGEST = 200 * 432 * 240
"""Pixels of the frames that go through the network at once, which takes about 2 GB.

At the field's 432x240 more than any sequence of its data sets has."""
SHORTEST = 16
"""Frames that go through the network at once, however large they are."""
LEAST_SIDE = 64
"""Pixels; below, too little is left of a frame for its statistics."""

Row = npt.NDArray[np.float64]


class Describer:
    """Turns clips into features; remembers those of clips that come again, as the truth does."""

    def __init__(self, network: I3d, batch_statistics: bool) -> None:
        self._network = network
        self._batch_statistics = batch_statistics
        self._known: dict[str, Row] = {}

    def describe(self, frames: Sequence[Frame]) -> Row:
        """Features (1024,) of one clip of uint8 RGB frames (h, w, 3)."""
        clip = np.stack(frames)
        key = f"{clip.shape} {hashlib.sha256(clip.data).hexdigest()}"
        if key not in self._known:
            self._known[key] = self._compute(clip)
        return self._known[key]

    @torch.inference_mode()
    def _compute(self, clip: npt.NDArray[np.uint8]) -> Row:
        device = next(self._network.parameters()).device
        values = rearrange(torch.from_numpy(clip).to(device), "t h w c -> 1 c t h w")
        self._network.use_batch_statistics(self._batch_statistics)
        features = self._network(values.float() / 255)
        return np.asarray(features[0].double().cpu().numpy(), np.float64)


class Vfid:
    """Collects one sequence's features; `pool_features` gives the distance over all of them.

    A sequence larger than LARGEST is described in parts, whose features are averaged by length, so
    that memory stays bounded.
    """

    def __init__(self, name: str, describer: Describer) -> None:
        self.name = name
        self.gap: str | None = None
        self._describer = describer
        self._made: list[Frame] = []
        self._true: list[Frame] = []
        self._parts: list[tuple[int, Row, Row]] = []

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add; None: a frame has no value of its own."""
        if min(mask.shape) < LEAST_SIDE:
            self.gap = f"frames are smaller than {LEAST_SIDE}x{LEAST_SIDE} pixels"
        elif truth is not None:
            self._made.append(made.copy())
            self._true.append(truth.copy())
            if len(self._made) >= max(LARGEST // mask.size, SHORTEST):
                self._describe()
        return None

    def result(self) -> float | None:
        """None: one sequence has no value."""
        return None

    def features(self) -> Features | None:
        """Features (1, 1024) of the sequence so far; None without frames."""
        self._describe()
        if not self._parts:
            return None
        frames, made, true = zip(*self._parts, strict=True)
        return Features(
            np.average(made, axis=0, weights=frames)[None],
            np.average(true, axis=0, weights=frames)[None],
        )

    def _describe(self) -> None:
        if self._made:
            made, true = map(self._describer.describe, (self._made, self._true))
            self._parts.append((len(self._made), made, true))
            self._made, self._true = [], []


def pool_features(sequences: Sequence[Features]) -> float | None:
    """Fréchet distance over the features of all sequences; None for fewer than two."""
    if len(sequences) < 2:
        return None
    made = np.concatenate([features.made for features in sequences])
    true = np.concatenate([features.true for features in sequences])
    return measure_frechet_distance(made, true)
