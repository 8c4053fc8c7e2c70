from __future__ import annotations

import numpy as np
import pytest

from cleanplate.flow import DisFlow


@pytest.mark.parametrize("preset", ["fast", "medium"])
def test_a_translation_is_found(pan, preset: str) -> None:
    one, other = pan(frames=2, step=(3, -2))
    estimator = DisFlow(preset)
    flow = estimator.flow(estimator.prepare(one), estimator.prepare(other))
    assert flow.shape == (64, 96, 2)
    assert flow.dtype == np.float32
    assert np.abs(flow[10:-10, 10:-10] - (-3, 2)).mean() < 0.2


@pytest.mark.parametrize("size", [(9, 1), (90, 11), (200, 13), (12, 40), (320, 15), (1, 1)])
def test_small_pictures_have_a_flow(pan, size: tuple[int, int]) -> None:
    """OpenCV refuses some of these, and crashes at others."""
    one, other = (frame[: size[1], : size[0]] for frame in pan(frames=2, size=(320, 40)))
    estimator = DisFlow()
    flow = estimator.flow(estimator.prepare(one), estimator.prepare(other))
    assert flow.shape == (size[1], size[0], 2)
    assert np.isfinite(flow).all()


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(KeyError):
        DisFlow("best")
