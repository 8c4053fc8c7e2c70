"""From a click to a region."""

import numpy as np
import pytest

from cleanplate.errors import MaskError
from cleanplate.page.marks import segment_click


def draw_disc(size=(320, 200), centre=(200, 90), radius=30):
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    disc = np.hypot(columns - centre[0], rows - centre[1]) < radius
    noise = np.random.default_rng(0).integers(0, 30, (height, width, 3))
    colours = np.where(disc[..., None], [200, 40, 40], [60, 130, 90])
    return (colours + noise).astype(np.uint8), disc


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("scale", [1, 3])
def test_a_click_takes_the_whole_thing_and_nothing_else(scale):
    picture, disc = draw_disc()
    picture, disc = (np.kron(one, np.ones((scale, scale, 1), np.uint8)) for one in
                     (picture, disc[..., None]))  # fmt: skip
    mask = segment_click(picture, 205 * scale, 85 * scale)
    assert mask.dtype == np.bool_
    assert overlap(mask, disc[..., 0].astype(bool)) > 0.9


def test_the_same_click_gives_the_same_mask():
    picture, _ = draw_disc()
    assert (segment_click(picture, 200, 90) == segment_click(picture, 200, 90)).all()


def test_a_plain_picture_and_a_tiny_one_do_no_harm():
    for shape in ((50, 60, 3), (1, 1, 3), (2, 90, 3)):
        mask = segment_click(np.full(shape, 90, np.uint8), 0, 0)
        assert mask.shape == shape[:2]


@pytest.mark.parametrize("point", [(-1, 5), (320, 5), (5, 200), (float("nan"), 5)])
def test_a_click_outside_is_refused(point):
    with pytest.raises(MaskError, match="is outside the picture, which is 320x200"):
        segment_click(draw_disc()[0], *point)
