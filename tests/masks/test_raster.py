from __future__ import annotations

import numpy as np
import pytest

from cleanplate.research.holes import Polygon, contour, fill_polygons

SIZE = (40, 56)


def wind(polygon: Polygon) -> np.ndarray:
    """Winding numbers of the pixels' middles from summed angles, for one frame: slow and plain."""
    corners = np.rint(polygon * 16) / 16
    grid = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), -1) + 0.5
    way = corners[None, None] - grid[:, :, None]
    angles = np.arctan2(way[..., 1], way[..., 0])
    turns = np.angle(np.exp(1j * (np.roll(angles, -1, 2) - angles)))
    return np.rint(turns.sum(2) / (2 * np.pi))


@pytest.mark.parametrize("seed", range(6))
def test_a_pixel_is_inside_when_its_middle_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = contour(rng, corners=7, roughness=0.6) * 15
    polygon = np.stack([shape + np.array([28, 20]), shape + np.array([50, 3])])
    drawn = fill_polygons([polygon], SIZE, 2).numpy()
    for frame, corners in zip(drawn, polygon, strict=True):
        expected = wind(corners) != 0
        assert (frame != expected).sum() <= 2  # middles that lie on an edge
        assert frame.any()


def box(left: float, top: float, wide: float, high: float) -> Polygon:
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float64)
    return (corners + np.array([left, top]))[None]


def test_a_rectangle_is_exact() -> None:
    expected = np.zeros((1, *SIZE), bool)
    expected[:, 5:12, 7:20] = True
    assert np.array_equal(fill_polygons([box(7, 5, 13, 7)], SIZE, 1).numpy(), expected)


def test_overlapping_polygons_are_united_whichever_way_they_turn() -> None:
    one, other = box(4, 4, 20, 20), box(14, 10, 20, 20)
    united = fill_polygons([one, other], SIZE, 1)
    assert np.array_equal(fill_polygons([one, other[:, ::-1]], SIZE, 1), united)
    apart = fill_polygons([one], SIZE, 1) | fill_polygons([other], SIZE, 1)
    assert np.array_equal(united, apart)


def test_polygons_may_leave_the_picture() -> None:
    assert fill_polygons([box(-9, -9, 500, 500)], SIZE, 1).all()
    assert not fill_polygons([box(-30, 5, 20, 5)], SIZE, 1).any()
    assert not fill_polygons([box(5, 100, 20, 5)], SIZE, 1).any()
    half = fill_polygons([box(30, -10, 100, 30)], SIZE, 1)[0]
    assert half[:20, 30:].all()
    assert half.sum() == 20 * 26


def test_nothing_is_drawn_without_polygons() -> None:
    assert not fill_polygons([], SIZE, 3).any()
