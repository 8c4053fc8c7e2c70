"""Text with no time to stand: short captions, words one after another, text that is typed."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from cleanplate.errors import MaskError
from cleanplate.masks.onsets import Onsets
from cleanplate.masks.text import find_text
from cleanplate.types import Box

from .subtitles import Style, draw_subtitle

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (320, 180)


class BrightDetector:
    """Finds what is white, as one line; single letters are no text to it."""

    def detect(self, frame: np.ndarray) -> list[Box]:
        x, y, width, height = cv2.boundingRect((frame.min(axis=2) > 235).astype(np.uint8))
        return [Box(x - 2, y - 2, width + 4, height + 4)] if width > 1.5 * height > 0 else []


def draw(scene: np.ndarray, spans: list[tuple[str, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Each text in its frames; and the pixels of letters and outlines."""
    frames, covers = scene.copy(), np.zeros(scene.shape[:3], bool)
    for text, start, stop in spans:
        colour, share = draw_subtitle(SIZE, Style(text, height=0.13, outline=0.012))
        mixed = frames[start:stop] * (1 - share) + colour * share
        frames[start:stop] = np.rint(mixed).astype(np.uint8)
        covers[start:stop] = share[..., 0] > 0.5
    return frames, covers


def find(tmp_path, frames: np.ndarray) -> np.ndarray:
    """Masks of all frames."""
    for index, frame in enumerate(frames):
        assert cv2.imwrite(str(tmp_path / f"{index:03d}.png"), frame[..., ::-1])
    try:
        found = find_text(tmp_path, detector=BrightDetector())
    except MaskError:
        return np.zeros(frames.shape[:3], bool)
    return np.stack([found.mask(index, Fraction(index, 24)) for index in range(len(frames))])


@pytest.fixture
def scene(pan) -> np.ndarray:
    return (pan(frames=48, size=SIZE, step=(1.5, 0.5)) * 0.7).astype(np.uint8)


def assert_covered(masks: np.ndarray, covers: np.ndarray) -> None:
    for index, (mask, letters) in enumerate(zip(masks, covers, strict=True)):
        assert (mask & letters).sum() >= 0.98 * letters.sum(), f"frame {index}"
        assert mask.any() == letters.any(), f"frame {index}"


@pytest.mark.parametrize("start", [13, 14, 15])
def test_a_caption_of_four_frames_between_two_looks(tmp_path, scene, start):
    frames, covers = draw(scene, [("Look at that", start, start + 4)])
    assert_covered(find(tmp_path, frames), covers)


def test_letters_between_two_words_in_a_band(tmp_path, scene):
    spans = [("WE SHOULD", 6, 17), ("I", 17, 21), ("A", 21, 26), ("HAVE LEFT", 26, 40)]
    frames, covers = draw(scene, spans)
    assert_covered(find(tmp_path, frames), covers)


def test_onsets_name_the_frame_and_the_rows(scene):
    frames, covers = draw(scene[:12], [("Look at that", 5, 9)])
    onsets = Onsets()
    for index, frame in enumerate(frames):
        onsets.push(index, frame)
    ((index, rows), *_) = onsets.choose({})
    assert 5 <= index < 9
    shown = np.flatnonzero(covers[5].any(axis=1))
    assert rows.start <= shown[-1]
    assert rows.stop >= shown[0]


def test_onsets_choose_nothing_where_nothing_appears(scene):
    onsets = Onsets()
    for index, frame in enumerate(scene[:12]):
        onsets.push(index, frame)
    assert onsets.choose({}) == []
