from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cleanplate.removal.regions import Region, find_region
from cleanplate.types import Box, Size


def mask_of(size: Size, *boxes: Box) -> np.ndarray:
    mask = np.zeros(size.shape, np.bool_)
    for box in boxes:
        mask[box.slices] = True
    return mask


def test_no_hole_has_no_region() -> None:
    size = Size(20, 10)
    masks = [mask_of(size)] * 3
    assert find_region(masks, size, margin=0.5, least=Size(1, 1), pixels=1000) is None


def test_a_small_hole_in_a_large_frame_costs_little() -> None:
    size = Size(3840, 2160)
    masks = [mask_of(size, Box(3700, 20, 60, 40)), mask_of(size, Box(3650, 30, 60, 40))]
    region = find_region(masks, size, margin=0.5, least=Size(432, 240), pixels=432 * 240)
    assert region is not None
    assert region.box.size == Size(432, 240)
    assert region.work == region.box.size
    assert region.box.x + region.box.width == 3840
    assert region.box.y == 0


def test_a_large_hole_is_worked_on_scaled_down() -> None:
    size = Size(1920, 1080)
    masks = [mask_of(size, Box(200, 100, 1500, 900))]
    region = find_region(masks, size, margin=0.5, least=Size(432, 240), pixels=432 * 240)
    assert region is not None
    assert region.box == Box(0, 0, 1920, 1080)
    assert abs(region.work.width * region.work.height - 432 * 240) < 2000
    assert abs(region.work.width / region.work.height - 1920 / 1080) < 0.02


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    corner=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    share=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    least=st.integers(1, 120),
    pixels=st.integers(1, 5000),
)
def test_a_region_holds_the_hole_and_stays_inside(
    width: int,
    height: int,
    corner: tuple[float, float],
    share: tuple[float, float],
    least: int,
    pixels: int,
) -> None:
    size = Size(width, height)
    hole = Box(
        int(corner[0] * width),
        int(corner[1] * height),
        max(1, int(share[0] * width)),
        max(1, int(share[1] * height)),
    ).clipped(size)
    assert hole is not None
    mask = mask_of(size, hole)
    region = find_region([mask], size, margin=0.5, least=Size(least, least), pixels=pixels)
    assert region is not None
    assert region.box.clipped(size) == region.box
    assert mask[region.box.slices].sum() == mask.sum()
    assert region.box.width >= min(least, width)
    assert 1 <= region.work.width <= region.box.width
    assert 1 <= region.work.height <= region.box.height


def test_a_region_is_kept_while_it_holds_what_is_wanted_with_little_more() -> None:
    region = Region(Box(10, 10, 60, 40), Size(60, 40))
    assert region.serves(region)
    assert region.serves(Region(Box(12, 14, 50, 36), Size(50, 36)))
    assert not region.serves(Region(Box(5, 10, 60, 40), Size(60, 40)))
    assert not region.serves(Region(Box(20, 20, 20, 20), Size(20, 20)))
