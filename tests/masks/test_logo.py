"""Static logos: what stays while the picture moves."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.errors import MaskError
from cleanplate.masks.logo import find_logos
from cleanplate.video import probe

SIZE = (256, 144)
PLACE = (slice(12, 42), slice(206, 246))


@pytest.fixture
def save(tmp_path: Path) -> Callable[[np.ndarray], Path]:
    def write(frames: np.ndarray) -> Path:
        folder = tmp_path / "frames"
        folder.mkdir()
        for index, frame in enumerate(frames):
            assert cv2.imwrite(str(folder / f"{index:03d}.png"), frame[..., ::-1])
        return folder

    return write


def paste(frames: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """A disc with a cross in it; the frames with it, and its pixels."""
    height, width = frames.shape[1:3]
    logo = np.zeros((height, width), np.uint8)
    cv2.circle(logo, (226, 27), 14, 255, -1)
    cv2.line(logo, (220, 21), (232, 33), 1, 3)
    cv2.line(logo, (220, 33), (232, 21), 1, 3)
    share = (logo > 0)[..., None] * alpha
    mixed = frames * (1 - share) + (logo[..., None] > 1) * 255.0 * share
    return np.rint(mixed).astype(np.uint8), logo > 0


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_a_logo_over_a_moving_picture(save, pan, alpha):
    frames, truth = paste(pan(frames=40, size=SIZE, step=(3, 1)), alpha)
    found = find_logos(save(frames))
    assert len(found.boxes) == 1
    hole = found.mask(0, Fraction(0))
    assert (hole & truth).sum() >= 0.98 * truth.sum()
    assert hole.sum() < 2.2 * truth.sum()
    assert (found.mask(39, Fraction(0)) == hole).all()


def test_grow(save, pan):
    path = save(paste(pan(frames=24, size=SIZE, step=(3, 1)), 1.0)[0])
    small, large = (find_logos(path, dilate=dilate).mask(0, Fraction(0)) for dilate in (0, 4))
    assert (large >= small).all()
    assert large.sum() > small.sum()


def test_a_still_picture_tells_nothing(save, pan):
    still = np.repeat(pan(frames=1, size=SIZE), 20, axis=0)
    with pytest.raises(MaskError, match=r"hardly moves .* mark the logo with a box"):
        find_logos(save(paste(still, 1.0)[0]))


def test_no_logo(save, pan):
    with pytest.raises(MaskError, match="no logo was found"):
        find_logos(save(pan(frames=24, size=SIZE, step=(3, 1))))


def test_a_straight_edge_is_no_logo(save, pan):
    frames = pan(frames=24, size=SIZE, step=(3, 1))
    frames[:, :20] = 0
    with pytest.raises(MaskError, match="no logo was found"):
        find_logos(save(frames))


def test_too_few_frames(save, pan):
    with pytest.raises(MaskError, match="has only 5 frames"):
        find_logos(save(pan(frames=5, size=SIZE)))


def test_progress_counts_frames(save, pan):
    seen: list[tuple[int, int | None]] = []
    path = save(paste(pan(frames=20, size=SIZE, step=(3, 1)), 1.0)[0])
    find_logos(path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 20) for number in range(1, 21)]


def test_another_video_is_refused(save, pan, make_clip):
    found = find_logos(save(paste(pan(frames=20, size=SIZE, step=(3, 1)), 1.0)[0]))
    with pytest.raises(MaskError, match="but this one is 64x48"):
        found.prepare(probe(make_clip()))


@pytest.mark.parametrize("angle", [0, 30, 45])
def test_a_line_of_letters_at_an_angle(save, pan, angle):
    frames = pan(frames=40, size=(384, 216), step=(3, 1))
    line = np.zeros((216, 384), np.uint8)
    cv2.putText(line, "SAMPLE PREVIEW", (80, 116), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 3)
    turn = cv2.getRotationMatrix2D((192, 108), angle, 1)
    share = cv2.warpAffine(line, turn, (384, 216))[None, ..., None] / 255
    found = find_logos(save(np.rint(frames * (1 - share) + 255 * share).astype(np.uint8)))
    letters = share[0, ..., 0] > 0.5
    hole = found.mask(0, Fraction(0))
    assert (hole & letters).sum() >= 0.98 * letters.sum()
    assert hole.mean() < 0.25
