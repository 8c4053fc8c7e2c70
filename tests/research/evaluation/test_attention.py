"""Maps are what the network really weighed, and a trained one looks at the right frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from einops import rearrange

from cleanplate.errors import InputError, MaskError
from cleanplate.network import SttnConfig, SttnNetwork, initialise, load
from cleanplate.network.light import LightNetwork
from cleanplate.research.evaluation.attention import observe

FRAMES, HEIGHT, WIDTH, SIDE = 6, 128, 192, 96


@pytest.fixture(autouse=True)
def one(one_thread):
    """Tests run beside each other."""


@pytest.fixture(scope="module")
def trained():
    return load("default")


@pytest.fixture
def sttn():
    network = SttnNetwork(SttnConfig(channels=8, widths=(4, 6), blocks=2))
    initialise(network, torch.Generator().manual_seed(0), 0.2)
    return network.eval()


def hide_a_texture(seed):
    """Six unlike pictures; one texture is in two of them, with a hole in its middle in one.

    Returns frames, masks, the number of the frame with the hole, that of the other one, and where
    the texture is there.
    """
    import cv2
    from skimage import data

    rng = np.random.default_rng(seed)
    pictures = [data.coffee(), data.rocket(), np.repeat(data.brick()[..., None], 3, -1)]
    unique = data.astronaut() if seed % 2 else data.chelsea()

    def cut(picture, height, width):
        half = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        y = rng.integers(0, half.shape[0] - height + 1)
        x = rng.integers(0, half.shape[1] - width + 1)
        return half[y : y + height, x : x + width]

    frames = np.stack([cut(pictures[rng.integers(3)], HEIGHT, WIDTH) for _ in range(FRAMES)])
    texture = cut(unique, SIDE, SIDE)
    target, source = rng.choice(FRAMES, 2, replace=False)
    masks = np.zeros(frames.shape[:3], np.bool_)
    for frame in (target, source):
        y, x = rng.integers(0, HEIGHT - SIDE + 1), rng.integers(0, WIDTH - SIDE + 1)
        frames[frame, y : y + SIDE, x : x + SIDE] = texture
        if frame == target:
            masks[frame, y + 32 : y + 64, x + 32 : x + 64] = True
    return frames, masks, int(target), int(source), (slice(y, y + SIDE), slice(x, x + SIDE))


def peak(seen, name, place):
    """The frame in which a map has its maximum, and whether that touches `place` there."""
    weights = next(each for each in seen.maps if each.name == name)
    frame = int(weights.weights.max((1, 2)).argmax())
    heat = weights.enlarge(frame, (HEIGHT, WIDTH))
    return frame, bool((heat[place] == weights.weights.max()).any())


def hits(network, name, seeds):
    """In how many clips a map has its maximum on the frame that shows the texture."""
    found = 0
    for seed in seeds:
        frames, masks, target, source, place = hide_a_texture(seed)
        found += peak(observe(network, frames, masks, target), name, place)[0] == source
    return found


@pytest.mark.parametrize("seed", range(12))
def test_a_trained_network_looks_at_the_one_frame_that_shows_the_texture(trained, seed):
    assert hits(trained, "copies-all", [seed]) == 1


def test_without_training_it_would_not(trained):
    torch.manual_seed(0)
    untrained = LightNetwork(trained.config).eval()
    assert hits(untrained, "copies-all", range(6)) <= 3


def test_its_search_mostly_finds_the_texture_in_it_too(trained):
    found = 0
    for seed in range(6):
        frames, masks, target, source, place = hide_a_texture(seed)
        seen = observe(trained, frames, masks, target)
        found += peak(seen, "search-sum", place) == (source, True)
    assert found >= 5


def test_only_the_frame_that_shows_the_place_is_copied_from(trained, pan):
    frames = pan(frames=5, size=(160, 96), step=(0, 0), seed=3)
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:, 32:72, 48:112] = True
    for shown in (0, 2, 4):
        holes = masks.copy()
        holes[shown] = False
        seen = observe(trained, frames, holes, 1)
        copies = next(each for each in seen.maps if each.layer == "copies")
        assert copies.shares.argmax() == shown
        assert copies.shares[shown] > 0.5 * copies.weights.sum()


@pytest.mark.parametrize("name", ["trained", "sttn"])
def test_looking_changes_nothing(name, request, pan):
    network = request.getfixturevalue(name)
    frames = pan(frames=4, size=(100, 70))
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:, 20:40, 30:60] = True
    seen = observe(network, frames, masks, 2)
    images = rearrange(torch.from_numpy(frames), "t h w c -> 1 t c h w").float() / 127.5 - 1
    holes = rearrange(torch.from_numpy(masks), "t h w -> 1 t 1 h w").float()
    with torch.inference_mode():
        made = network(images * (1 - holes), holes)[0, 2]
    levels = rearrange(((made + 1) * 127.5).round().clamp(0, 255), "c h w -> h w c").numpy()
    assert (seen.filled[masks[2]] == levels[masks[2]]).all()
    assert (seen.filled[~masks[2]] == frames[2][~masks[2]]).all()
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["trained", "sttn"])
def test_maps_add_up_to_one_and_do_not_see_into_holes(name, request, pan):
    network = request.getfixturevalue(name)
    frames = pan(frames=4, size=(100, 70))
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:, 20:40, 30:60] = True
    seen = observe(network, frames, masks, 1)
    again = observe(network, np.where(masks[..., None], 7, frames).astype(np.uint8), masks, 1)
    for one, other in zip(seen.maps, again.maps, strict=True):
        assert (one.weights >= 0).all()
        assert (one.weights == other.weights).all()
        whole = one.layer != "copies"
        assert one.weights.sum() == pytest.approx(1, abs=1e-4) or not whole
        assert 0 < one.weights.sum() <= 1 + 1e-4


def test_heads_of_sttn_are_named_as_the_paper_names_its_patches(sttn, pan):
    frames = pan(frames=2, size=(432, 240), step=(2, 0))
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[0, 100:140, 200:260] = True
    maps = observe(sttn, frames, masks, 0).maps
    assert [each.layer for each in maps] == ["block 1"] * 4 + ["block 2"] * 4
    assert [each.head for each in maps[:4]] == ["108x60", "36x20", "18x10", "9x5"]
    assert [each.weights.shape for each in maps[:4]] == [(2, n, n) for n in (1, 3, 6, 12)]


def test_the_weights_of_a_block_of_sttn_make_its_output():
    from cleanplate.network.sttn import MultiHeadAttention, _to_tokens

    torch.manual_seed(0)
    layer = MultiHeadAttention(8, (1, 2)).eval()
    features = torch.randn(3, 8, 4, 6)
    values = layer.value_embedding(features).chunk(2, 1)
    parts = []
    for scale, weights, value in zip(
        (1, 2), layer.look(features, 1, None, frame=1), values, strict=True
    ):
        tokens = weights.flatten(1) @ _to_tokens(value, scale, 1)[0]
        cut = {"nh": scale, "nw": scale, "ph": 4 // scale, "pw": 6 // scale}
        parts.append(rearrange(tokens, "(nh nw) (c ph pw) -> 1 c (nh ph) (nw pw)", **cut))
    made = layer.output_linear(torch.cat(parts, 1))
    torch.testing.assert_close(made, layer(features, 1, None)[1:2], atol=1e-5, rtol=1e-5)


def test_the_weights_of_the_synthesis_make_its_output(trained):
    layer = trained.synthesis.attend[0]
    torch.manual_seed(0)
    x, visible = torch.randn(3, trained.config.widths[2], 4, 5), torch.rand(1, 3, 1, 4, 5)
    with torch.inference_mode():
        value = layer._project(x, visible, 3)[2][0]
        weights = layer.look(x, visible, 3, frame=2).flatten(2)
        mixed = rearrange(weights @ value, "m (h w) c -> 1 (m c) h w", h=4)
        torch.testing.assert_close(
            x[2:] + layer.out(mixed), layer(x, visible, 3)[2:], atol=1e-4, rtol=1e-4
        )


def test_equation_4_leaves_out_what_is_hidden(pan):
    network = SttnNetwork(SttnConfig(channels=8, widths=(4, 6), blocks=1, masked=True)).eval()
    frames = pan(frames=3, size=(96, 96))
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[0, 40:60, 40:60] = True
    masks[1] = True
    for each in observe(network, frames, masks, 0).maps:
        assert each.shares[1] == 0
        assert each.shares[0] + each.shares[2] == pytest.approx(1, abs=1e-5)


def test_a_map_covers_the_picture_without_its_padding(sttn, pan):
    frames = pan(frames=2, size=(100, 70))
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[0, 20:40, 30:60] = True
    fine = observe(sttn, frames, masks, 0).maps[3]
    assert fine.extent == (96, 144)
    heat = fine.enlarge(1, (70, 100))
    assert heat.shape == (70, 100)
    assert heat[69, 99] == fine.weights[1, 69 // 8, 99 // 12]


def test_a_single_frame_has_nothing_to_copy_from(trained, pan):
    frames, masks = pan(frames=1), np.zeros((1, 64, 96), np.bool_)
    masks[0, 20:40, 30:60] = True
    assert {each.layer for each in observe(trained, frames, masks, 0).maps} == {
        "synthesis 1",
        "synthesis 2",
    }


def test_a_frame_without_a_hole_is_refused(trained, pan):
    with pytest.raises(MaskError, match="frame 1 has no hole"):
        observe(trained, pan(frames=3), np.zeros((3, 64, 96), np.bool_), 1)


def test_an_unknown_network_is_refused(pan):
    masks = np.ones((2, 64, 96), np.bool_)
    with pytest.raises(InputError, match="no attention"):
        observe(torch.nn.Conv2d(3, 3, 1), pan(frames=2), masks, 0)
