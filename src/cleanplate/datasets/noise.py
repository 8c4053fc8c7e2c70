"""Made-up clips: something to measure training with when no footage is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from cleanplate.datasets.clip import Frame, Frames


class NoiseClip:
    """Smooth coloured noise that glides; satisfies `Clip` and takes no disk."""

    def __init__(self, name: str, seed: int, length: int, size: tuple[int, int]) -> None:
        self.name = self.group = name
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (9, 16, 3), np.uint8)
        height, width = size
        wide = cv2.resize(coarse, (width + 2 * length, height), interpolation=cv2.INTER_CUBIC)
        self._frames = np.stack([wide[:, 2 * k : 2 * k + width] for k in range(length)])

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def read(self, indices: Sequence[int]) -> Frames:
        """The frames at `indices`, uint8 RGB `(t, h, w, 3)`."""
        return np.asarray(self._frames[list(indices)])


def make_clips(
    count: int = 8, length: int = 48, size: tuple[int, int] = (256, 448)
) -> list[NoiseClip]:
    """`count` clips of `length` frames of `size` (height, width)."""
    return [NoiseClip(f"noise {seed}", seed, length, size) for seed in range(count)]
