"""Boxes that say little: over the rim, one pixel, flat colour, on a cut, round a thing at rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.masks.tracking import TrackPrompt, track

FRAMES, HEIGHT, WIDTH = 8, 48, 64


@pytest.fixture
def write(tmp_path: Path) -> Callable[[np.ndarray], Path]:
    """Write frames (t, h, w, 3) as a folder of images."""

    def make(frames: np.ndarray) -> Path:
        for index, frame in enumerate(frames):
            cv2.imwrite(str(tmp_path / f"{index:02d}.png"), frame)
        return tmp_path

    return make


def texture(seed: int) -> np.ndarray:
    """A textured picture (h, w, 3)."""
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3)).astype(np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def flat() -> np.ndarray:
    """A clip of one colour."""
    return np.full((FRAMES, HEIGHT, WIDTH, 3), 90, np.uint8)


def cut() -> np.ndarray:
    """A clip whose second half shows another place."""
    return np.stack([texture(1 + (index >= FRAMES // 2)) for index in range(FRAMES)])


def at_rest() -> np.ndarray:
    """A bright thing that stands still before a texture."""
    frames = np.stack([texture(3)] * FRAMES)
    frames[:, 16:32, 24:40] = (30, 200, 240)
    return frames


@pytest.mark.parametrize("make", [flat, cut, at_rest])
@pytest.mark.parametrize("box", ["24,16,16,16", "30,20,1,1", "50,40,60,60", "-6,-6,20,20"])
def test_any_box_gives_a_mask_of_each_frame(
    make: Callable[[], np.ndarray], box: str, write: Callable[[np.ndarray], Path]
) -> None:
    tracked = track(write(make()), [TrackPrompt.parse(box)])
    assert len(tracked) == FRAMES
    assert tracked.mask(0).any(), "the frame that was marked shows the object"
    for index, confidence in enumerate(tracked.confidence):
        assert 0 <= confidence <= 1
        assert tracked.mask(index).mean() < 0.9, "a box never floods the picture"


def test_a_thing_at_rest_stays_covered(write: Callable[[np.ndarray], Path]) -> None:
    tracked = track(write(at_rest()), [TrackPrompt.parse("24,16,16,16")])
    covered = [tracked.mask(index)[16:32, 24:40].mean() for index in range(FRAMES)]
    assert min(covered) > 0.95


def test_what_a_cut_takes_away_is_named(write: Callable[[np.ndarray], Path]) -> None:
    frames = cut()
    frames[: FRAMES // 2, 16:32, 24:40] = (30, 200, 240)
    tracked = track(write(frames), [TrackPrompt.parse("24,16,16,16")])
    doubtful = {index for index, value in enumerate(tracked.confidence) if value < 0.5}
    assert set(range(FRAMES // 2, FRAMES)) <= doubtful
    assert tracked.unsure()
