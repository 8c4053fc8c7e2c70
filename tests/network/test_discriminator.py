from __future__ import annotations

import pytest
import torch
from torch.nn.utils import parametrizations

from cleanplate.network import initialise
from cleanplate.research.training import Discriminator
from cleanplate.research.training.objective import (
    SpectralConv3d,
    composite,
    judge_made,
    judge_real,
    measure_l1,
    persuade,
)


@pytest.fixture
def discriminator(rng: torch.Generator) -> Discriminator:
    made = Discriminator(4)
    initialise(made, rng, deviation=0.2)
    return made


def test_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Discriminator().parameters()) == 17_832_256


def test_clips_stay_apart(discriminator: Discriminator, rng: torch.Generator) -> None:
    clips = torch.randn(2, 4, 3, 64, 64, generator=rng)
    discriminator.eval()
    scores = discriminator(clips)
    assert scores.shape == (2, 4, 16, 1, 1)
    torch.testing.assert_close(discriminator(clips[:1]), scores[:1])


def test_mixed_clips_are_one_long_clip(discriminator: Discriminator, rng: torch.Generator) -> None:
    clips = torch.randn(2, 4, 3, 64, 64, generator=rng)
    mixing = Discriminator(4, mix_clips=True)
    mixing.load_state_dict(discriminator.state_dict())
    apart, mixed = discriminator.eval()(clips), mixing.eval()(clips)
    assert mixed.shape == (1, 8, 16, 1, 1)
    assert not torch.allclose(apart.flatten(0, 1), mixed[0])
    torch.testing.assert_close(discriminator(clips.flatten(0, 1)[None]), mixed)


def test_eval_mode_leaves_the_vectors(discriminator: Discriminator, rng: torch.Generator) -> None:
    clip = torch.randn(1, 2, 3, 64, 64, generator=rng)
    before = {name: buffer.clone() for name, buffer in discriminator.named_buffers()}
    discriminator.eval()(clip)
    assert all(torch.equal(before[name], b) for name, b in discriminator.named_buffers())
    discriminator.train()(clip)
    assert not any(torch.equal(before[name], b) for name, b in discriminator.named_buffers())


def test_norm_comes_close_to_one(rng: torch.Generator) -> None:
    conv = SpectralConv3d(3, 8, (1, 2, 2))
    initialise(conv, rng, deviation=1.0)
    clip = torch.zeros(1, 3, 2, 8, 8)
    for _ in range(100):
        conv(clip)
    matrix = conv.weight_orig.detach().flatten(1)
    norm = torch.linalg.matrix_norm(matrix, 2)
    torch.testing.assert_close(conv._spectral_norm().detach(), norm, rtol=1e-3, atol=0)


def test_step_is_that_of_torch(rng: torch.Generator) -> None:
    """Same gradient as torch's own normalisation from the same vectors."""
    conv = SpectralConv3d(3, 8, (1, 2, 2))
    initialise(conv, rng, deviation=1.0)
    plain = torch.nn.Conv3d(3, 8, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False)
    plain.weight.data.copy_(conv.weight_orig.data)
    theirs = parametrizations.spectral_norm(plain)
    theirs.parametrizations.weight[0]._u.copy_(conv.weight_u)
    theirs.parametrizations.weight[0]._v.copy_(conv.weight_v)
    clip = torch.randn(1, 3, 2, 8, 8, generator=rng)
    # torch's newer form steps u before v; in eval mode both take the stored vectors.
    ours, others = conv.eval()(clip), theirs.eval()(clip)
    torch.testing.assert_close(ours, others)
    ours.sum().backward()
    others.sum().backward()
    torch.testing.assert_close(
        conv.weight_orig.grad, theirs.parametrizations.weight.original.grad, rtol=1e-4, atol=1e-5
    )


def test_two_passes_before_one_backward(discriminator: Discriminator, rng: torch.Generator) -> None:
    clip = torch.randn(1, 2, 3, 64, 64, generator=rng)
    loss = judge_real(discriminator(clip)) + judge_made(discriminator(-clip))
    loss.backward()
    assert all(p.grad is not None for p in discriminator.parameters())


def test_hinge() -> None:
    scores = torch.tensor([-2.0, 0.0, 2.0])
    assert judge_real(scores).item() == pytest.approx((3 + 1 + 0) / 3)
    assert judge_made(scores).item() == pytest.approx((0 + 1 + 3) / 3)
    assert persuade(scores + 1).item() == pytest.approx(-1)


def test_l1_counts_its_area_only() -> None:
    frames, filled = torch.zeros(1, 1, 3, 4, 4), torch.zeros(1, 1, 3, 4, 4)
    area = torch.zeros(1, 1, 1, 4, 4)
    area[..., 0] = 1
    filled[..., 0] = 0.5
    filled[..., 1] = 9
    assert measure_l1(filled, frames, area).item() == pytest.approx(0.5)
    assert measure_l1(filled, frames, torch.zeros_like(area)).item() == 0


def test_composite_takes_holes_from_the_filling() -> None:
    masks = torch.tensor([0.0, 1.0]).view(1, 1, 1, 1, 2)
    made = composite(torch.full((1, 1, 3, 1, 2), 5.0), torch.full((1, 1, 3, 1, 2), 7.0), masks)
    assert made[0, 0, 0, 0].tolist() == [5, 7]
