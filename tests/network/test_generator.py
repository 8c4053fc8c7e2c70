from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.network.sttn import attend, exclude_holes

from .reference import generate


def make_clip(
    rng: torch.Generator, t: int, height: int, width: int, b: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    frames = torch.rand(b, t, 3, height, width, generator=rng) * 2 - 1
    masks = torch.zeros(b, t, 1, height, width)
    masks[..., height // 3 :, width // 4 : width // 2 + 1] = 1
    return frames * (1 - masks), masks


def remake(network: SttnNetwork, **changes: object) -> SttnNetwork:
    """The same weights under another config."""
    other = SttnNetwork(dataclasses.replace(network.config, **changes))  # type: ignore[arg-type]
    other.load_state_dict(network.state_dict())
    return other.eval()


@pytest.mark.parametrize("masked", [False, True])
def test_matches_the_plain_reference(
    network: SttnNetwork, rng: torch.Generator, masked: bool
) -> None:
    frames, masks = make_clip(rng, 2, 48, 96)
    network = remake(network, masked=masked)
    with torch.inference_mode():
        expected = generate(
            network.state_dict(), frames[0], masks[0], blocks=2, scales=(1, 3, 6, 12), masked=masked
        )
        torch.testing.assert_close(network(frames, masks)[0], expected, atol=1e-5, rtol=1e-4)


def test_equation_4_changes_the_result(network: SttnNetwork, rng: torch.Generator) -> None:
    frames, masks = make_clip(rng, 2, 48, 48)
    with torch.inference_mode():
        released = network(frames, masks)
        paper = remake(network, masked=True)(frames, masks)
    assert (released - paper).abs().max() > 1e-4


def test_released_attention_does_not_see_masks(network: SttnNetwork, rng: torch.Generator) -> None:
    frames, masks = make_clip(rng, 2, 48, 48)
    with torch.inference_mode():
        torch.testing.assert_close(network(frames, masks), network(frames, 1 - masks))


@settings(deadline=None, max_examples=15)
@given(
    height=st.integers(1, 60), width=st.integers(1, 60), t=st.integers(1, 3), masked=st.booleans()
)
def test_any_size(height: int, width: int, t: int, masked: bool) -> None:
    rng = torch.Generator().manual_seed(height * 61 + width)
    network = SttnNetwork(SttnConfig(channels=4, widths=(2, 2), blocks=1, masked=masked))
    initialise(network, rng)
    frames, masks = make_clip(rng, t, height, width)
    with torch.inference_mode():
        filled = network(frames, masks)
    assert filled.shape == frames.shape
    assert filled.isfinite().all()
    assert filled.abs().max() <= 1


def test_odd_size(network: SttnNetwork, rng: torch.Generator) -> None:
    frames, masks = make_clip(rng, 3, 37, 50, b=2)
    with torch.inference_mode():
        assert network(frames, masks).shape == (2, 3, 3, 37, 50)


def test_clips_of_a_batch_do_not_mix(network: SttnNetwork, rng: torch.Generator) -> None:
    frames, masks = make_clip(rng, 2, 48, 48, b=2)
    network = remake(network, masked=True)
    with torch.inference_mode():
        both = network(frames, masks)
        for clip in range(2):
            one = slice(clip, clip + 1)
            torch.testing.assert_close(network(frames[one], masks[one]), both[one])


def test_frames_see_each_other(network: SttnNetwork, rng: torch.Generator) -> None:
    frames, masks = make_clip(rng, 3, 48, 48)
    other = frames.clone()
    other[:, 2] *= -1
    with torch.inference_mode():
        assert (network(frames, masks)[:, 0] - network(other, masks)[:, 0]).abs().max() > 1e-4


def test_parts_make_the_whole(network: SttnNetwork, rng: torch.Generator) -> None:
    frames, masks = make_clip(rng, 2, 48, 52)
    with torch.inference_mode():
        # Features of single frames can be kept and put together later.
        features = torch.cat([network.encode(frames[:, i : i + 1]) for i in range(2)], 1)
        assert features.shape == (1, 2, 8, 12, 13)
        transformed = network.transform(features, masks)
        assert transformed.shape == features.shape
        torch.testing.assert_close(network.decode(transformed), network(frames, masks))


def test_everything_a_hole_stays_finite(network: SttnNetwork) -> None:
    network = remake(network, masked=True)
    for height, width in ((48, 48), (37, 50)):
        masks = torch.ones(1, 2, 1, height, width)
        with torch.inference_mode():
            assert network(torch.zeros(1, 2, 3, height, width), masks).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close(
    network: SttnNetwork, rng: torch.Generator, dtype: torch.dtype
) -> None:
    frames, masks = make_clip(rng, 2, 48, 48)
    network = remake(network, masked=True)
    with torch.inference_mode():
        expected = network(frames, masks)
        halved = network.to(dtype)
        filled = halved(frames.to(dtype), masks.to(dtype)).float()
        assert halved(frames.to(dtype), torch.ones_like(masks, dtype=dtype)).isfinite().all()
    # Rounding adds up over some twenty layers.
    torch.testing.assert_close(filled, expected, atol=20 * torch.finfo(dtype).eps, rtol=0)


def test_channels_last_gives_the_same(network: SttnNetwork, rng: torch.Generator) -> None:
    frames, masks = make_clip(rng, 2, 48, 48)
    with torch.inference_mode():
        expected = network(frames, masks)
        network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(network(frames, masks), expected, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_parameter(network: SttnNetwork, rng: torch.Generator) -> None:
    frames, masks = make_clip(rng, 2, 48, 48)
    network = remake(network, masked=True)
    network(frames, masks).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        # A shift of every key leaves the softmax as it is.
        assert parameter.grad.any() or name.endswith("key_embedding.bias"), name


def test_excluded_keys_get_no_weight(rng: torch.Generator) -> None:
    query, key, value = (torch.randn(1, 4, 6, generator=rng) for _ in range(3))
    bias = torch.tensor([[[0.0, -1e9, 0.0, -1e9]]])
    kept = attend(query, key[:, ::2], value[:, ::2], None)
    torch.testing.assert_close(attend(query, key, value, bias), kept)


def test_attention_is_the_textbook_one(rng: torch.Generator) -> None:
    query, key, value = (torch.randn(2, 5, 6, generator=rng) for _ in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attend(query, key, value, None), expected)


def test_exactly_half_a_hole_is_still_a_key() -> None:
    holes = torch.zeros(1, 1, 1, 4, 4)
    holes[..., :2, 0] = 1  # half of the first patch
    holes[..., :2, 2:] = 1  # all of the second
    assert (exclude_holes(holes, torch.ones(4, 4), 2) < 0).tolist() == [
        [[False, True, False, False]]
    ]


def test_padding_is_no_key() -> None:
    real = torch.zeros(4, 4)
    real[:3, :2] = 1
    holes = torch.zeros(1, 1, 1, 4, 4)
    holes[..., 2, :] = 1  # all that is real of the lower left patch
    holes = holes * real
    assert (exclude_holes(holes, real, 2) < 0).tolist() == [[[False, True, True, True]]]


def test_weights_do_not_depend_on_the_size() -> None:
    with torch.device("meta"):
        network = SttnNetwork()
    assert sum(parameter.numel() for parameter in network.parameters()) == 16_556_163
    assert len(network.state_dict()) == 112


def test_initialise_repeats(config: SttnConfig) -> None:
    made = [SttnNetwork(config) for _ in range(2)]
    for network in made:
        initialise(network, torch.Generator().manual_seed(3))
    for one, other in zip(*(network.parameters() for network in made), strict=True):
        assert torch.equal(one, other)
    weights = torch.cat([p.flatten() for p in made[0].parameters() if p.dim() > 1])
    assert math.isclose(weights.std().item(), 0.02, rel_tol=0.1)
