"""Figures pasted into clips, and what is measured and learnt on them."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from cleanplate.masks.tracking import Tracked
from cleanplate.masks.tracking.segmenter import PackedMask
from cleanplate.network.weights import FusionConfig, FusionNetwork
from cleanplate.research.benchmarks.pasting import Scene, make_scene
from cleanplate.research.benchmarks.tracking import Weights, gather, measure, spoil, train
from cleanplate.types import Size


@pytest.fixture
def figures(make_clip) -> Scene:
    """A cyclist pasted into a clip."""
    clip = make_clip("clip.mp4", size=(160, 120), frames=6)
    photos = [np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)]
    return make_scene("cyclist", clip, photos, 3, 6)


def test_pasted_figures_are_where_the_truth_says(make_clip, figures):
    clip = make_clip("clip.mp4", size=(160, 120), frames=6)
    again = make_scene("cyclist", clip, [np.zeros((80, 80, 3), np.uint8)], 3, 6)
    assert figures.masks.shape == figures.frames.shape[:3]
    assert figures.masks[0].any()
    np.testing.assert_array_equal(figures.masks, again.masks)
    changed = (figures.frames != again.frames).any(-1)
    assert changed[figures.masks].mean() > 0.9, "another cloth on the same figure"


def test_perfect_and_empty_masks_score_so(figures, monkeypatch):
    def give(masks):
        packed = tuple(PackedMask.pack(mask) for mask in masks)
        size = Size(masks.shape[2], masks.shape[1])
        times = tuple(Fraction(k) for k in range(len(masks)))
        monkeypatch.setattr(
            "cleanplate.research.benchmarks.tracking.follow",
            lambda scene: (Tracked(size, times, packed, (1.0,) * len(masks)), 0.1),
        )
        return measure(figures)

    perfect, empty = give(figures.masks), give(np.zeros_like(figures.masks))
    assert (perfect.covered, perfect.area) == (1, 1)
    assert (empty.covered, empty.area) == (0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_spoilt_masks_are_like_the_truth(seed):
    mask = np.zeros((90, 120), np.bool_)
    mask[20:70, 30:80] = True
    spoilt = spoil(mask, 50, np.random.default_rng(seed))
    assert spoilt.any()
    assert 0.3 < (spoilt & mask).sum() / (spoilt | mask).sum() < 1


def test_the_tracking_network_learns(figures):
    torch.manual_seed(0)
    network = FusionNetwork(FusionConfig())
    examples = list(gather(figures, Weights(), 0, keep=1))
    assert len(examples) == 5
    first = train(network, examples, 1, torch.Generator().manual_seed(0))
    assert train(network, examples, 25, torch.Generator().manual_seed(0)) < 0.8 * first
