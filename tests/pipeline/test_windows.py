from __future__ import annotations

import numpy as np
import pytest
import torch

from cleanplate.model import SttnNetwork
from cleanplate.pipeline import WindowFiller, windows
from cleanplate.pipeline.schedule import schedule_windows
from cleanplate.types import Size

pytestmark = pytest.mark.usefixtures("one_thread")


def test_holes_are_the_networks_and_the_rest_is_the_sources(pan, still_mask, painter) -> None:
    frames = pan(frames=7)
    holes = still_mask(frames)
    filled = WindowFiller(painter).fill(list(frames), list(holes))
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled[holes], 127.5)
    np.testing.assert_array_equal(filled[~holes], frames[~holes])


def test_the_network_never_sees_what_a_hole_shows(pan, still_mask, painter) -> None:
    frames = pan(frames=7)
    holes = still_mask(frames)
    WindowFiller(painter).fill(list(frames), list(holes))
    for shown, masks in painter.seen:
        assert shown.shape[2] == 3
        assert masks.shape[2] == 1
        assert not shown[(masks > 0).expand_as(shown)].any()
        assert shown.min() >= -1
        assert shown.max() <= 1


def test_the_crossfade_does_not_depend_on_the_order(pan, still_mask, tiny, monkeypatch) -> None:
    frames = pan(frames=19)
    holes = still_mask(frames)
    filler = WindowFiller(tiny)
    once = filler.fill(list(frames), list(holes))
    monkeypatch.setattr(windows, "schedule_windows", lambda n: [*schedule_windows(n)][::-1])
    again = filler.fill(list(frames), list(holes))
    np.testing.assert_allclose(once, again, atol=1e-3)


def test_windows_without_a_hole_are_skipped(pan, still_mask, painter) -> None:
    frames = pan(frames=40)
    holes = still_mask(frames)
    holes[6:] = False
    filled = WindowFiller(painter).fill(list(frames), list(holes))
    assert len(painter.seen) == 3
    np.testing.assert_array_equal(filled[6:], frames[6:])


def test_shared_features_change_nothing(pan, still_mask, tiny: SttnNetwork) -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny

        def forward(self, frames: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.inner(frames, masks)
            return made

    frames = pan(frames=13)
    holes = still_mask(frames)
    shared = WindowFiller(tiny).fill(list(frames), list(holes))
    apart = WindowFiller(Plain()).fill(list(frames), list(holes))
    np.testing.assert_allclose(shared, apart, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_of_other_precision(pan, still_mask, tiny, dtype: torch.dtype) -> None:
    frames = pan(frames=4)
    filled = WindowFiller(tiny, dtype=dtype).fill(list(frames), list(still_mask(frames)))
    assert filled.dtype == np.float32
    assert np.isfinite(filled).all()
    assert filled.min() >= 0
    assert filled.max() <= 255


def test_the_region_is_the_paper_s_size_or_all(still_mask) -> None:
    size = Size(1000, 700)
    hole = np.zeros(size.shape, np.bool_)
    hole[300:340, 500:550] = True
    region = WindowFiller(torch.nn.Identity()).region([hole], size)
    assert region is not None
    assert region.box.size == Size(432, 240)
    whole = WindowFiller(torch.nn.Identity(), blend="released").region([hole], size)
    assert whole is not None
    assert whole.box.size == whole.work == size
