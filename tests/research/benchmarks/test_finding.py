"""Overlays that are drawn on clips, and the measure of masks against them."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

pytest.importorskip("PIL")

from cleanplate.research.benchmarks.finding import measure_masks
from cleanplate.research.benchmarks.overlays import LOGOS, overlay


def test_a_frame_counts_if_nearly_all_of_its_letters_are_covered():
    covers = np.zeros((3, 10, 20), bool)
    covers[:2, 2:7, :] = True
    masks = covers.copy()
    masks[1, 2, :3] = False  # 97 % remain
    masks[2, 0, 0] = True
    score = measure_masks(masks, covers)
    assert (score.masked, len(score.covered)) == (1, 2)
    assert (score.wrong, score.free) == (1, 1)
    assert score.ratio == pytest.approx(197 / 200)


def test_an_overlay_marks_the_pixels_that_it_hides():
    clip = np.full((2, 4, 6, 3), 100, np.uint8)
    layer = np.zeros((4, 6, 4), np.float32)
    layer[1, 2] = 255, 255, 255, 1
    made = overlay(clip, iter([None, layer]))
    assert np.argwhere(made.covers).tolist() == [[1, 1, 2]]
    assert (made.frames[0] == 100).all()
    assert made.frames[1, 1, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["pulsing", "coming and going"])
def test_logos_that_change_do_so(kind):
    random = np.random.default_rng(1)
    try:
        layers = list(islice(LOGOS[kind]((120, 200), 10, random), 30))
    except OSError:
        pytest.skip("the fonts are not installed")
    heights = {0.0 if one is None else round(float(one[..., 3].max()), 2) for one in layers}
    assert len(heights) > 1
