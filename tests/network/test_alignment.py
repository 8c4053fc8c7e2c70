from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from einops import rearrange

from cleanplate.network.alignment import align, fit_motion
from cleanplate.network.light import LightNetwork
from cleanplate.network.matching import Features, Matches

pytestmark = pytest.mark.usefixtures("one_thread")


def _look(frames: np.ndarray, holes: np.ndarray) -> Features:
    pictures = rearrange(torch.from_numpy(frames), "t h w c -> 1 t c h w").float() / 127.5 - 1
    masks = rearrange(torch.from_numpy(holes), "t h w -> 1 t 1 h w").float()
    with torch.inference_mode():
        return LightNetwork().eval().encode(pictures * (1 - masks), masks)


def _guess(flow: torch.Tensor) -> Matches:
    return Matches(torch.tensor([0]), torch.tensor([1]), (flow, flow, flow), flow, None)


@pytest.mark.parametrize("step", [(1.6, 0.7), (-1.3, 2.1)])
def test_a_pan_is_found_to_a_fraction_of_a_pixel_inside_the_hole_too(
    pan: Callable[..., np.ndarray], step: tuple[float, float]
) -> None:
    frames = pan(frames=2, size=(192, 128), step=step)
    holes = np.zeros((2, 128, 192), bool)
    holes[0, 40:90, 60:120] = True
    found = align(_look(frames, holes), _guess(torch.zeros(1, 2, 16, 24))).flows[2]
    # What is at p in the first frame is at p - step in the second.
    inside = found[0, :, 5:11, 8:15] + torch.tensor(step)[:, None, None]
    assert inside.abs().mean() < 0.1


def test_what_matches_is_left_alone(pan: Callable[..., np.ndarray]) -> None:
    frames = pan(frames=2, size=(96, 64), step=(0, 0))
    found = align(_look(frames, np.zeros((2, 64, 96), bool)), _guess(torch.zeros(1, 2, 8, 12)))
    assert found.flows[2].abs().max() < 0.02


def test_the_gradient_is_that_of_the_places_before(pan: Callable[..., np.ndarray]) -> None:
    features = _look(pan(frames=2), np.zeros((2, 64, 96), bool))
    flow = torch.zeros(1, 2, 8, 12, requires_grad=True)
    align(features, _guess(flow)).flows[2].sum().backward()
    assert flow.grad is not None
    torch.testing.assert_close(flow.grad, torch.ones_like(flow))


def test_a_motion_is_fitted_through_outliers() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 30), indexing="ij")
    truth = torch.stack([3 + 2 * x - y + x * y, 1 - x + 0.5 * y * y])[None]
    flow = truth.clone()
    flow[..., 5:12, 8:16] += 9
    fitted = fit_motion(flow, torch.ones(1, 1, 20, 30))
    assert (fitted - truth).abs().max() < 0.15


def test_without_any_weight_the_motion_is_none() -> None:
    fitted = fit_motion(torch.full((1, 2, 6, 6), 5.0), torch.zeros(1, 1, 6, 6))
    assert fitted.abs().max() < 1e-3
