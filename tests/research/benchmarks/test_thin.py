from __future__ import annotations

import numpy as np

from cleanplate.research.benchmarks.thin import draw_caption, measure_thin


def test_a_caption_is_drawn_across_what_moves(pan) -> None:
    clip = pan(frames=4, size=(320, 180), step=(0, 0))
    clip[1::2, 120:140] += 40
    masks = draw_caption(clip)
    rows = np.flatnonzero(masks.any((0, 2)))
    assert 90 < rows.min() < 130 < rows.max()
    assert (masks == masks[:1]).all()


def test_a_camera_that_moves_shows_what_letters_hide(pan) -> None:
    ours, plain = measure_thin(pan(frames=10, size=(160, 120), step=(2, 0)))
    assert ours > plain + 3
