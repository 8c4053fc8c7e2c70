from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from cleanplate.errors import CleanplateError
from cleanplate.network.light import LightConfig, LightNetwork
from cleanplate.network.runner import SttnClip
from cleanplate.removal import windows
from cleanplate.removal.networks import schedule_windows
from cleanplate.removal.windows import WindowFiller
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
    monkeypatch.setattr(windows, "schedule_windows", lambda n, **_: [*schedule_windows(n)][::-1])
    again = filler.fill(list(frames), list(holes))
    np.testing.assert_allclose(once, again, atol=1e-3)


def test_windows_without_a_hole_are_skipped(pan, still_mask, painter) -> None:
    frames = pan(frames=40)
    holes = still_mask(frames)
    holes[6:] = False
    filled = WindowFiller(painter).fill(list(frames), list(holes))
    assert len(painter.seen) == 3
    np.testing.assert_array_equal(filled[6:], frames[6:])


class Plain(torch.nn.Module):
    """A network whose parts nobody knows."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, frames: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.inner(frames, masks)
        return made


@pytest.fixture
def light() -> LightNetwork:
    """The light network; without attention, as that looks at the frames to fill only."""
    torch.manual_seed(0)
    config = LightConfig(matching=8, widths=(8, 12, 16), heads=2, blocks=0)
    network = LightNetwork(config).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn(value.shape))
    return network


@pytest.mark.parametrize("name", ["tiny", "light"])
def test_shared_features_change_nothing(pan, still_mask, request, name: str) -> None:
    network = request.getfixturevalue(name)
    frames = pan(frames=13)
    holes = still_mask(frames)
    holes[4] = False
    shared = WindowFiller(network).fill(list(frames), list(holes))
    apart = WindowFiller(Plain(network)).fill(list(frames), list(holes))
    np.testing.assert_allclose(shared, apart, atol=1e-2)


def test_only_what_is_wanted_and_has_a_hole_is_made(
    pan, still_mask, light: LightNetwork, monkeypatch
) -> None:
    frames = pan(frames=23)
    holes = still_mask(frames)
    holes[9] = False
    looked, made = [], []
    encode, transform = light.encode, light.transform

    def count_encoded(images: torch.Tensor, masks: torch.Tensor) -> object:
        looked.append(images.shape[1])
        return encode(images, masks)

    def count_made(features: object, targets: int) -> object:
        made.append(targets)
        return transform(features, targets)

    monkeypatch.setattr(light, "encode", count_encoded)
    monkeypatch.setattr(light, "transform", count_made)
    WindowFiller(light).fill(list(frames), list(holes), range(8, 12))
    assert looked == [23]
    # Windows around 5 (8 and 10 of 0..10), 10 (all three of 5..15) and 15 (10 and 11 of 10..20).
    assert made == [2, 3, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_of_other_precision(pan, still_mask, tiny, dtype: torch.dtype) -> None:
    frames = pan(frames=4)
    filled = WindowFiller(tiny, dtype=dtype).fill(list(frames), list(still_mask(frames)))
    assert filled.dtype == np.float32
    assert np.isfinite(filled).all()
    assert filled.min() >= 0
    assert filled.max() <= 255


class Cramped(torch.nn.Module):
    """A network on a device that has memory for a few frames only."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, []

    def forward(self, frames: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        if frames.shape[1] > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.seen.append(frames.shape[1])
        return torch.zeros_like(frames)


def test_where_memory_runs_out_fewer_frames_are_asked_for(pan, still_mask) -> None:
    frames = pan(frames=14)
    holes = still_mask(frames)
    network = Cramped(most=4).eval()
    filler = WindowFiller(network)
    assert filler.notes == ()
    filled = filler.fill(list(frames), list(holes))
    np.testing.assert_allclose(filled[holes], 127.5)
    # 6 frames of the first window did not fit, 3 did; then 11 frames of the second: in threes.
    assert max(network.seen) == 3
    assert filler.notes == ("memory ran out on cpu: the network got 3 frames at a time",)


def test_without_memory_for_two_frames_it_says_what_to_do(pan, still_mask) -> None:
    frames = pan(frames=7)
    with pytest.raises(CleanplateError, match="too little memory for 2 frames"):
        WindowFiller(Cramped(most=1)).fill(list(frames), list(still_mask(frames)))


@pytest.mark.parametrize("name", ["tiny", "light"])
def test_the_caller_s_network_stays_as_it_is(pan, still_mask, request, name: str) -> None:
    network = request.getfixturevalue(name)
    frames = pan(frames=3)
    WindowFiller(network, dtype=torch.bfloat16).fill(list(frames), list(still_mask(frames)))
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_what_no_later_window_needs_is_forgotten(pan, still_mask, tiny, monkeypatch) -> None:
    frames, forgotten = pan(frames=23), []
    forget = SttnClip.forget

    def note(clip: SttnClip, gone: Iterable[int]) -> None:
        forgotten.append([*gone])
        forget(clip, forgotten[-1])

    monkeypatch.setattr(SttnClip, "forget", note)
    WindowFiller(tiny).fill(list(frames), list(still_mask(frames)))
    # References are 0, 10 and 20; each other frame goes when the second window with it is done.
    assert [sorted(part) for part in forgotten[:3]] == [[], [1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert sorted(frame for part in forgotten for frame in part) == list(range(23))


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
