from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from cleanplate.network import SttnNetwork, load, save
from cleanplate.network.light import LightConfig, LightNetwork
from cleanplate.network.matching import complete, smooth_fill, warp
from cleanplate.network.weights import EMBEDDED

TINY = LightConfig(matching=8, widths=(8, 12, 16), heads=2, blocks=1)


@pytest.fixture
def light() -> LightNetwork:
    torch.manual_seed(0)
    return LightNetwork(TINY).eval()


def textured(height: int, width: int, rng: torch.Generator) -> Tensor:
    """A random picture with detail at several scales, `(3, h, w)` in [-1, 1]."""
    layers = [
        torch.nn.functional.interpolate(
            torch.rand(1, 3, height // step + 2, width // step + 2, generator=rng) * 2 - 1,
            size=(height, width),
            mode="bilinear",
        )
        for step in (4, 16)
    ]
    return (layers[0] * 0.4 + layers[1] * 0.6)[0]


@pytest.mark.parametrize("size", [(16, 16), (37, 53), (5, 90), (64, 48)])
@pytest.mark.parametrize("t", [1, 2, 4])
def test_any_size_gives_finite_frames_in_range(
    light: LightNetwork, rng: torch.Generator, size: tuple[int, int], t: int
) -> None:
    frames = torch.rand(2, t, 3, *size, generator=rng) * 2 - 1
    masks = (torch.rand(2, t, 1, *size, generator=rng) > 0.6).float()
    filled = light(frames * (1 - masks), masks)
    assert filled.shape == frames.shape
    assert filled.isfinite().all()
    assert filled.abs().max() <= 1
    assert torch.equal(filled * (1 - masks), frames * (1 - masks))


def test_everything_hidden_gives_finite_frames(light: LightNetwork) -> None:
    masks = torch.ones(1, 3, 1, 32, 32)
    assert light(torch.zeros(1, 3, 3, 32, 32), masks).isfinite().all()


def test_pixels_in_holes_do_not_matter(light: LightNetwork, rng: torch.Generator) -> None:
    frames = torch.rand(1, 3, 3, 32, 48, generator=rng) * 2 - 1
    masks = torch.zeros(1, 3, 1, 32, 48)
    masks[..., 8:24, 12:30] = 1
    assert torch.equal(light(frames, masks), light(frames * (1 - masks), masks))


def test_encode_transform_decode_are_forward(light: LightNetwork, rng: torch.Generator) -> None:
    frames = torch.rand(1, 3, 3, 40, 50, generator=rng) * 2 - 1
    masks = torch.zeros(1, 3, 1, 40, 50)
    masks[..., 8:24, 12:30] = 1
    apart = light.decode(light.transform(light.encode(frames * (1 - masks), masks)), (40, 50))
    assert torch.equal(apart, light(frames * (1 - masks), masks))


def test_references_are_copied_from_and_not_filled(
    light: LightNetwork, rng: torch.Generator
) -> None:
    frames = torch.rand(2, 5, 3, 32, 48, generator=rng) * 2 - 1
    masks = (torch.rand(2, 5, 1, 32, 48, generator=rng) > 0.7).float()
    filled = light(frames * (1 - masks), masks, targets=2)
    assert filled.shape == (2, 2, 3, 32, 48)
    frames[:, 4] *= -1
    assert not torch.equal(light(frames * (1 - masks), masks, targets=2), filled)


def test_half_precision_finds_the_same_places(light: LightNetwork, rng: torch.Generator) -> None:
    frames = torch.rand(1, 3, 3, 64, 96, generator=rng) * 2 - 1
    masks = torch.zeros(1, 3, 1, 64, 96)
    masks[:, 1, :, 20:40, 30:60] = 1
    single = light(frames * (1 - masks), masks)
    half = light.to(torch.bfloat16)(
        (frames * (1 - masks)).to(torch.bfloat16), masks.to(torch.bfloat16)
    )
    assert half.dtype == torch.bfloat16
    assert (half.float() - single).abs().mean() < 0.02


def test_clips_of_a_batch_do_not_mix(light: LightNetwork, rng: torch.Generator) -> None:
    frames = torch.rand(2, 3, 3, 32, 48, generator=rng) * 2 - 1
    masks = (torch.rand(2, 3, 1, 32, 48, generator=rng) > 0.7).float()
    both = light(frames * (1 - masks), masks)
    alone = light((frames * (1 - masks))[1:], masks[1:])
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=0)


def test_default_finds_what_another_frame_shows(rng: torch.Generator) -> None:
    """The camera moves 16 pixels a frame; the embedded weights know where the hole's content is."""
    if not EMBEDDED.exists():
        pytest.skip("this build has no embedded weights")
    light = load("default")
    assert isinstance(light, LightNetwork)
    wide = textured(96, 176, rng)
    frames = torch.stack([wide[:, :, 16 * k : 16 * k + 128] for k in range(3)])[None]
    masks = torch.zeros(1, 3, 1, 96, 128)
    masks[0, 1, :, 32:64, 48:80] = 1
    with torch.no_grad():
        result = light.forward_training(frames * (1 - masks), masks)
    assert result.matches is not None
    pairs = list(zip(result.matches.targets.tolist(), result.matches.sources.tolist(), strict=True))
    flow = result.matches.flows[2][pairs.index((1, 0))][:, 4:8, 6:10]
    assert abs(flow[0].mean() - 16) < 2
    assert abs(flow[1].mean()) < 2


def test_smooth_fill_keeps_known_pixels_and_planes(rng: torch.Generator) -> None:
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 24:40, 24:40] = 1
    filled = smooth_fill(ramp * (1 - masks), masks)
    assert torch.equal(filled * (1 - masks), ramp * (1 - masks))
    assert (filled - ramp).abs().max() < 0.15


def test_warp_fetches_from_where_flow_points(rng: torch.Generator) -> None:
    images = torch.rand(1, 2, 12, 16, generator=rng)
    flow = torch.zeros(1, 2, 12, 16)
    flow[:, 0], flow[:, 1] = 3, -2
    fetched = warp(images, flow)
    torch.testing.assert_close(fetched[..., 2:, :13], images[..., :10, 3:], atol=1e-5, rtol=0)
    assert fetched[..., :2, :].abs().max() < 1e-5


def test_complete_goes_on_smoothly_into_holes() -> None:
    flow = torch.full((1, 2, 8, 8), 1.5)
    known = torch.ones(1, 1, 8, 8)
    known[..., 3:5, 3:5] = 0
    flow[..., 3:5, 3:5] = 99
    completed = complete(flow, known, torch.ones(1, 1, 8, 8))
    assert (completed[..., 3:5, 3:5] - 1.5).abs().max() < 0.2


@pytest.mark.parametrize(
    "values", [{"widths": (8, 8)}, {"heads": 3}, {"architecture": "sttn"}, {"matching": 0}]
)
def test_bad_configs_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        LightConfig(**values)  # type: ignore[arg-type]


def test_saved_and_loaded_is_the_same(light: LightNetwork, tmp_path: Path) -> None:
    save(light, tmp_path / "light.safetensors")
    loaded = load(tmp_path / "light.safetensors")
    assert loaded.config == TINY
    for name, tensor in light.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_is_eight_times_cheaper_than_sttn() -> None:
    """Multiply-adds a frame at the same size and number of frames, counted, not estimated."""

    def count(network: torch.nn.Module, device: str) -> int:
        with torch.device(device):
            # Holes everywhere: where there are few, the light network does less.
            frames, masks = torch.zeros(1, 5, 3, 120, 216), torch.ones(1, 5, 1, 120, 216)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network.to(device).eval()(frames, masks)
        return int(counter.get_total_flops())

    light, sttn = LightNetwork(), SttnNetwork()
    assert sum(value.numel() for value in light.parameters()) * 2 < 12e6
    assert count(light, "cpu") * 8 < count(sttn, "meta")


def test_copies_are_mixed_around_the_holes_only_and_the_same() -> None:
    torch.manual_seed(4)
    network = LightNetwork(TINY).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn(value.shape))
    masks = torch.zeros(1, 4, 1, 96, 160)
    masks[:, :2, :, 8:20, 100:130] = 1
    frames = (torch.rand(1, 4, 3, 96, 160) * 2 - 1) * (1 - masks)
    with torch.inference_mode():
        features = network.encode(frames, masks)
        matches = network.match(features, 2)
        assert matches is not None
        first = features.first(2)
        around = network.mix(first, features, matches)
        whole = network.mix.train()(first, features, matches)
    torch.testing.assert_close(around.frames, whole.frames, atol=1e-4, rtol=0)
    torch.testing.assert_close(around.coverage, whole.coverage, atol=1e-4, rtol=0)
    assert around.coverage.max() > 0
