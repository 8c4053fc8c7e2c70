import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cleanplate.masks import dilate, dilate_cross, feather

masks = hnp.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30)))


@settings(max_examples=60, deadline=None)
@given(masks, st.integers(0, 40))
def test_dilate_is_the_exact_disc(mask, pixels):
    near = ndimage.distance_transform_edt(~mask) <= pixels if mask.any() else mask
    grown = dilate(mask, pixels)
    assert grown.dtype == bool
    assert (grown == near).all()


@pytest.mark.parametrize("pixels", [25, 65, 200, 325])
def test_dilate_is_exact_for_big_radii(pixels):
    mask = np.zeros((420, 500), bool)
    mask[3, 5] = mask[200, 140] = True
    assert (dilate(mask, pixels) == (ndimage.distance_transform_edt(~mask) <= pixels)).all()


@settings(max_examples=30, deadline=None)
@given(masks, st.integers(0, 5))
def test_dilate_cross_is_the_paper_protocol(mask, times):
    expected = ndimage.binary_dilation(mask, iterations=times) if times else mask
    assert (dilate_cross(mask, times) == expected).all()


@settings(max_examples=60, deadline=None)
@given(masks, st.integers(0, 20))
def test_feather_is_one_inside_and_zero_beyond(mask, pixels):
    alpha = feather(mask, pixels)
    assert alpha.dtype == np.float32
    assert (alpha[mask] == 1).all()
    assert alpha.min() >= 0
    assert (alpha[~mask] < 1).all()
    assert ((alpha > 0) == dilate(mask, pixels)).all()


def test_feather_falls_with_the_distance():
    mask = np.zeros((1, 30), bool)
    mask[0, 0] = True
    alpha = feather(mask, 9)[0]
    assert (np.diff(alpha[:11]) < 0).all()
    assert not alpha[10:].any()
    assert alpha[5] == pytest.approx(0.5)


def test_arguments_are_not_changed_and_results_are_fresh():
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    for result in (dilate(mask, 0), dilate(mask, 1), dilate_cross(mask, 0), dilate_cross(mask, 1)):
        assert not np.shares_memory(result, mask)
    assert mask.sum() == 1


@pytest.mark.parametrize("change", [dilate, dilate_cross, feather])
def test_negative_amounts_are_refused(change):
    with pytest.raises(ValueError, match="negative"):
        change(np.zeros((3, 3), bool), -1)
