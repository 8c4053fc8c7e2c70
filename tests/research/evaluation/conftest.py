"""What the tests of evaluation share: a small data set on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.research.evaluation.clips import Case, Clip


def write_images(folder: Path, images: np.ndarray) -> Path:
    """RGB frames (t, h, w, 3) or masks (t, h, w) as PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        pixels = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image[..., ::-1]
        assert cv2.imwrite(str(folder / f"{index:05d}.png"), pixels)
    return folder


@pytest.fixture
def write() -> Callable[[Path, np.ndarray], Path]:
    return write_images


@pytest.fixture
def frames(pan: Callable[..., np.ndarray]) -> np.ndarray:
    """Five frames of a pan, (5, 72, 80, 3)."""
    return pan(frames=5, size=(80, 72), step=(2, 0))


@pytest.fixture
def masks() -> np.ndarray:
    """A rectangle at rest in all frames but the last, bool (5, 72, 80)."""
    marked = np.zeros((5, 72, 80), np.bool_)
    marked[:4, 20:36, 30:50] = True
    return marked


@pytest.fixture
def make_data(
    tmp_path: Path, frames: np.ndarray, masks: np.ndarray
) -> Callable[[Sequence[str]], Path]:
    """A data set of the `folder` layout: each sequence with masks `still` and `moving`."""

    def make(names: Sequence[str] = ("one", "two")) -> Path:
        for number, name in enumerate(names):
            shown = np.roll(frames, 3 * number, axis=2)
            moving = np.stack([np.roll(masks[0], 4 * t, axis=1) for t in range(5)])
            write_images(tmp_path / "data" / name / "frames", shown)
            write_images(tmp_path / "data" / name / "still", masks)
            write_images(tmp_path / "data" / name / "moving", moving)
        return tmp_path / "data"

    return make


@pytest.fixture
def make_clip_of(tmp_path: Path) -> Callable[[np.ndarray, np.ndarray], Clip]:
    """A clip of frames and masks given as arrays."""

    def make(shown: np.ndarray, marked: np.ndarray) -> Clip:
        frames = write_images(tmp_path / "clip" / "frames", shown)
        masks = write_images(tmp_path / "clip" / "hole", marked)
        return Clip(Case("clip", "hole", frames, masks, frames))

    return make
