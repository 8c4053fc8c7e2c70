from __future__ import annotations

import numpy as np
import pytest

from cleanplate.flow.motion import complete_flow, fit_motion, grid, measure_inconsistency

SHAPE = (64, 96)


def affine(matrix: tuple[tuple[float, float], tuple[float, float]], shift: tuple[float, float]):
    """Flow of p → A (p - c) + c + shift, and of its inverse."""
    x, y = grid(*SHAPE)
    centred = np.stack([x - SHAPE[1] / 2, y - SHAPE[0] / 2], -1).astype(np.float64)
    there = np.array(matrix)
    back = np.linalg.inv(there)
    flow = centred @ there.T + shift - centred
    reverse = (centred - shift) @ back.T - centred
    return flow.astype(np.float32), reverse.astype(np.float32)


def hole() -> np.ndarray:
    mask = np.zeros(SHAPE, np.bool_)
    mask[20:44, 34:66] = True
    return mask


@pytest.mark.parametrize(
    ("matrix", "shift"),
    [
        (((1.0, 0.0), (0.0, 1.0)), (2.5, -1.0)),
        (((1.04, 0.0), (0.0, 1.04)), (0.0, 0.0)),
        (((0.999, -0.04), (0.04, 0.999)), (1.0, 1.0)),
        (((1.02, 0.03), (-0.01, 0.98)), (-3.0, 2.0)),
    ],
    ids=["pan", "zoom", "turn", "shear"],
)
def test_affine_motion_goes_on_inside_the_hole(matrix, shift) -> None:
    flow, back = affine(matrix, shift)
    mask = hole()
    broken, broken_back = flow.copy(), back.copy()
    broken[mask] = broken_back[mask] = (7, -9)
    completed = complete_flow(broken, broken_back, mask, mask, mask)
    assert np.abs(completed.flow - flow)[mask].max() < 0.15
    np.testing.assert_array_equal(completed.flow[~mask], flow[~mask])
    assert np.abs(completed.model - flow).max() < 0.15


def test_the_pictures_own_motion_ignores_a_moving_thing() -> None:
    flow, _ = affine(((1.0, 0.0), (0.0, 1.0)), (2.0, 0.0))
    flow[10:30, 10:40] = (-8, 3)
    model = fit_motion(flow, np.ones(SHAPE, np.float32))
    assert np.abs(model - (2, 0)).max() < 0.2


def test_inconsistency_is_zero_where_the_ways_agree() -> None:
    flow, back = affine(((1.02, 0.0), (0.0, 1.02)), (1.0, 0.5))
    found = measure_inconsistency(flow, back)
    assert found[8:-8, 8:-8].max() < 1e-3
    back[30:40, 50:60] += 4
    assert measure_inconsistency(flow, back)[32:38, 52:57].min() > 10
