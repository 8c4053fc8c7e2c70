"""I3D against a second, plain implementation, and the names of its published weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cleanplate.research.evaluation.learned import I3d, Unit, pad_same

pytestmark = pytest.mark.usefixtures("one_thread")

# Per Inception module: 1x1; reduced, 3x3; reduced, 3x3; after the pool (Szegedy et al. 2015).
WIDTHS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
BRANCHES = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")


@pytest.fixture(scope="module")
def network() -> I3d:
    torch.manual_seed(0)
    network = I3d().eval()
    for module in network.modules():
        if isinstance(module, Unit):  # statistics as after training, so that they matter
            module.bn.running_mean.normal_(0, 0.05)
            module.bn.running_var.uniform_(0.02, 0.1)
    return network.double().requires_grad_(False)  # so that only mistakes make a difference


@pytest.fixture
def clip() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, 3, 11, 66, 75, generator=generator, dtype=torch.float64)


def compute_plainly(clip: Tensor, state: dict[str, Tensor], training: bool) -> Tensor:
    """The features again, by functions and the names of the published file alone."""

    def pad(x: Tensor, sides: tuple[int, ...], steps: tuple[int, ...]) -> Tensor:
        for axis, (side, step) in enumerate(zip(sides, steps, strict=True)):
            length = x.shape[2 + axis]
            total = max((math.ceil(length / step) - 1) * step + side - length, 0)
            shape = list(x.shape)
            shape[2 + axis] = total // 2
            before = x.new_zeros(shape)
            shape[2 + axis] = total - total // 2
            x = torch.cat([before, x, x.new_zeros(shape)], 2 + axis)
        return x

    def unit(x: Tensor, name: str, step: int = 1) -> Tensor:
        weight = state[f"{name}.conv3d.weight"]
        x = functional.conv3d(pad(x, tuple(weight.shape[2:]), (step,) * 3), weight, stride=step)
        mean, variance = state[f"{name}.bn.running_mean"], state[f"{name}.bn.running_var"]
        if training:
            mean, variance = x.mean((0, 2, 3, 4)), x.var((0, 2, 3, 4), unbiased=False)
        scale = state[f"{name}.bn.weight"] / (variance + 1e-3).sqrt()
        shift = state[f"{name}.bn.bias"] - mean * scale
        return (x * scale[:, None, None, None] + shift[:, None, None, None]).clamp(min=0)

    def pool(x: Tensor, side: tuple[int, ...], step: tuple[int, ...]) -> Tensor:
        return functional.max_pool3d(pad(x, side, step), side, step)

    x = pool(unit(clip, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    for name in WIDTHS:
        if name == "Mixed_4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if name == "Mixed_5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        middle = unit(unit(x, f"{name}.b1a"), f"{name}.b1b")
        large = unit(unit(x, f"{name}.b2a"), f"{name}.b2b")
        pooled = unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b")
        x = torch.cat([unit(x, f"{name}.b0"), middle, large, pooled], 1)
    return x.flatten(2).mean(2)


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_features_equal_a_plain_implementation(
    network: I3d, clip: Tensor, batch_statistics: bool
) -> None:
    network.use_batch_statistics(batch_statistics)
    features = network(clip)
    expected = compute_plainly(clip, network.state_dict(), batch_statistics)
    assert features.shape == (1, 1024)
    assert features.std() > 1e-3
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-12)


def test_statistics_of_the_clip_change_nothing_that_is_stored(network: I3d, clip: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.use_batch_statistics(True)
    by_clip = network(clip)
    network.use_batch_statistics(False)
    learnt = network(clip)
    assert (by_clip - learnt).abs().max() > 0.01
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_entries_are_named_as_in_the_published_weights(network: I3d) -> None:
    units = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"]
    units += [f"{name}.{branch}" for name in WIDTHS for branch in BRANCHES]
    entries = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {f"{unit}.bn.{entry}" for unit in units for entry in entries}
    expected |= {f"{unit}.conv3d.weight" for unit in units}
    assert set(network.state_dict()) == expected


def test_widths_are_those_of_inception(network: I3d) -> None:
    state = network.state_dict()
    assert state["Conv3d_1a_7x7.conv3d.weight"].shape == (64, 3, 7, 7, 7)
    for name, widths in WIDTHS.items():
        found = tuple(state[f"{name}.{branch}.conv3d.weight"].shape[0] for branch in BRANCHES)
        assert found == widths
    # With the classifier of 400 classes, 12.3 million: what the paper gives as 12M.
    assert sum(p.numel() for p in network.parameters()) + 1024 * 400 + 400 == 12_697_264


def test_odd_padding_goes_behind() -> None:
    padded = pad_same(torch.ones(1, 1, 4, 5, 6), (3, 3, 2), (2, 1, 2))
    assert padded.shape == (1, 1, 5, 7, 6)
    assert padded[0, 0, -1].sum() == 0
    assert padded[0, 0, 0].sum() > 0
