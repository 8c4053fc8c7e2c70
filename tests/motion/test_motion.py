from __future__ import annotations

import numpy as np
import pytest

from cleanplate.motion.flow import (
    Flow,
    Samples,
    complete_flow,
    fit_motion,
    grid,
    measure_inconsistency,
    take_samples,
)

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
    there, fro = Flow(broken), Flow(broken_back)
    model = fit_motion(take_samples(there, fro, mask, mask), SHAPE)
    completed = complete_flow(there, fro, mask, mask, mask, model).vectors
    assert np.abs(completed - flow)[mask].max() < 0.15
    np.testing.assert_array_equal(completed[~mask], flow[~mask])
    assert np.abs(model.at(*grid(*SHAPE)) - flow).max() < 0.15


def test_a_part_of_a_flow_is_completed_in_its_place() -> None:
    flow, back = affine(((1.02, 0.0), (0.0, 1.02)), (2.0, 1.0))
    mask = hole()
    model = fit_motion(take_samples(Flow(flow), Flow(back), mask, mask), SHAPE)
    part = np.s_[10:54, 22:80]
    broken, broken_back = flow.copy(), back.copy()
    broken[mask] = broken_back[mask] = (7, -9)
    there, fro = Flow(broken[part], 22, 10), Flow(broken_back[part], 22, 10)
    completed = complete_flow(there, fro, mask, mask, mask, model)
    assert (completed.x, completed.y) == (22, 10)
    assert np.abs(completed.vectors - flow[part]).max() < 0.15


def test_samples_of_a_smaller_picture_stand_in_for_a_larger_one() -> None:
    flow, back = affine(((1.02, 0.0), (0.0, 1.02)), (2.0, 1.0))
    nothing = np.zeros(SHAPE, np.bool_)
    samples = take_samples(Flow(flow), Flow(back), nothing, nothing)
    large = samples.enlarged(2.0, 0.5)
    model = fit_motion(large, (128, 192))
    x, y = np.float32([60]), np.float32([40])
    expected = 2 * flow[20, 30]
    np.testing.assert_allclose(model.at(x, y)[0], expected, atol=0.05)
    far = large.outside(Flow(np.zeros((128, 96, 2), np.float32)))
    assert len(far.x)
    assert far.x.min() >= 96


def test_the_pictures_own_motion_ignores_a_moving_thing() -> None:
    flow, _ = affine(((1.0, 0.0), (0.0, 1.0)), (2.0, 0.0))
    flow[10:30, 10:40] = (-8, 3)
    x, y = (axis.ravel() for axis in grid(*SHAPE))
    samples = Samples(flow.reshape(-1, 2), x, y, np.ones(x.shape, np.float32))
    model = fit_motion(samples, SHAPE)
    assert np.abs(model.at(x, y) - (2, 0)).max() < 0.2


def test_inconsistency_is_zero_where_the_ways_agree() -> None:
    flow, back = affine(((1.02, 0.0), (0.0, 1.02)), (1.0, 0.5))
    found = measure_inconsistency(Flow(flow), Flow(back))
    assert found[8:-8, 8:-8].max() < 1e-3
    back[30:40, 50:60] += 4
    assert measure_inconsistency(Flow(flow), Flow(back))[32:38, 52:57].min() > 10
