"""Masks that are most likely not what was meant get a note with the figures."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from cleanplate.masks import BoxMask, Union, list_doubts, open_mask
from cleanplate.masks.source import describe_doubts, spread
from cleanplate.types import Box, Size

from .conftest import FakeInfo

INFO = FakeInfo(Size(80, 50), 0, 9)


def marked(share: float, *, value: int = 255) -> np.ndarray:
    pixels = np.zeros(50 * 80, np.uint8)
    pixels[: round(share * pixels.size)] = value
    return pixels.reshape(50, 80)


def doubts(path, **options) -> list[str]:
    source = open_mask(path, **options)
    source.prepare(INFO)
    found = list_doubts(source)
    source.close()
    return found


@pytest.mark.parametrize(
    ("count", "frames"),
    [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (5, [0, 1, 2, 3, 4]), (101, [0, 25, 50, 75, 100])],
)
def test_the_first_the_last_and_some_between_are_looked_at(count, frames):
    assert spread(count) == frames


@pytest.mark.parametrize(
    ("share", "invert", "words"),
    [
        (0.98, False, "marks 98 % of the picture; if black is what to remove, use `invert=True`"),
        (0.999, False, "marks 99.9 % of the picture;"),
        (1.0, False, "marks 100 % of the picture;"),
        (0.85, False, None),
        (0.02, False, None),
        (0.98, True, None),
        (0.02, True, "inverted, marks 98 % of the picture; if it was right without it, leave"),
    ],
)
def test_nearly_all_is_most_likely_inverted(write, share, invert, words):
    notes = doubts(write("m.png", marked(share)), invert=invert)
    assert len(notes) == (words is not None)
    assert all(words in note and "m.png" in note for note in notes)


def photograph(dark: int = 0) -> np.ndarray:
    y, x = np.mgrid[:50, :80]
    pixels = np.stack([x * 3, y * 5, (x + y) * 2], -1)
    pixels[:dark] = 0
    return pixels.astype(np.uint8)


@pytest.mark.parametrize(("suffix", "dark"), [(".png", 0), (".jpg", 0), (".png", 25)])
def test_a_photograph(write, suffix, dark):
    (note,) = doubts(write(f"m{suffix}", photograph(dark)))
    assert "looks like a photograph" in note
    assert "% of the picture is marked at the threshold 127" in note


def test_masks_with_soft_edges_grey_labels_or_losses_are_no_photographs(write):
    disc = cv2.circle(np.zeros((50, 80), np.uint8), (40, 25), 15, 255, -1)
    soft = cv2.GaussianBlur(disc, (0, 0), 2)
    labels = marked(0.6, value=200) - marked(0.3, value=100)
    for name, pixels in (("soft.png", soft), ("soft.jpg", soft), ("labels.png", labels)):
        assert doubts(write(name, pixels)) == []


def test_colours_and_alpha_are_looked_at_as_they_are_read(write):
    red = np.zeros((50, 80, 3), np.uint8)
    red[:10, :10, 2] = 255
    assert doubts(write("red.png", red)) == []
    painted = np.dstack([photograph(), marked(0.1)])
    assert doubts(write("alpha.png", painted)) == []


def test_a_folder_is_looked_at_in_five_places(write, tmp_path):
    for number in range(9):
        share = 0.97 if number in (0, 2, 4, 6, 8) else 0.1
        write(f"m/{number}.png", marked(share))
    (note,) = doubts(tmp_path / "m")
    assert "marks 97 % of the picture in the 5 sampled frames;" in note


def test_the_doubts_of_all_sources_are_told(write):
    many = Union(
        [
            open_mask(write("a.png", marked(0.99))),
            BoxMask([Box(0, 0, 80, 50)]),
            open_mask(write("b.png", photograph())),
        ]
    )
    many.prepare(INFO)
    first, second = list_doubts(many)
    assert "a.png marks 99 %" in first
    assert "b.png looks like" in second


def test_the_share_is_rounded_down():
    pixels = np.full((100, 100), 255, np.uint8)
    pixels[0, 0] = 0
    (note,) = describe_doubts("m", [pixels], 127, inverted=False)
    assert "99.9 %" in note


def test_a_scaled_mask_is_told(write):
    info = FakeInfo(Size(80, 50), sample_aspect_ratio=Fraction(8, 5))
    source = open_mask(write("wide.png", np.zeros((50, 128), np.uint8)))
    source.prepare(info)
    (note,) = list_doubts(source)
    assert "is 128x50 and is scaled: the video is 80x50 with pixels of 8:5, shown as 128x50" in note
