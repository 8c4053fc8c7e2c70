"""VFID: what is collected of each sequence, and the distance over all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cleanplate.research.evaluation import learned as module
from cleanplate.research.evaluation.learned import Describer, I3d, Networks, Vfid, pool_features
from cleanplate.research.evaluation.metric import Features, PooledMetric
from cleanplate.research.evaluation.protocols import Conventions, make_metrics
from cleanplate.research.evaluation.run import load_networks

pytestmark = pytest.mark.usefixtures("one_thread")

MASK = np.ones((64, 64), np.bool_)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the published one: all entries, the classifier's too, none counts batches."""
    torch.manual_seed(0)
    state = {k: v for k, v in I3d().state_dict().items() if "num_batches" not in k}
    state["logits.conv3d.weight"] = torch.zeros(400, 1024, 1, 1, 1)
    state["logits.conv3d.bias"] = torch.zeros(400)
    path = tmp_path_factory.mktemp("i3d") / "rgb_imagenet.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def networks(weights: Path) -> Networks:
    return load_networks(i3d=weights)


class Mean(I3d):
    """In place of the network: the mean of the clip, and how often it was asked."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.asked = 0

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return clips.mean((2, 3, 4))


def make_clip(seed: int, frames: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 64, 64, 3), dtype=np.uint8)


def collect(metric: Vfid, made: np.ndarray, truth: np.ndarray) -> Features:
    for frame, true in zip(made, truth, strict=True):
        assert metric.add(frame, true, MASK) is None
    assert metric.result() is None
    features = metric.features()
    assert features is not None
    return features


def test_features_are_the_networks_of_frames_in_unit_range(networks: Networks) -> None:
    describer = networks.by_training
    assert describer is not None
    made, truth = make_clip(0), make_clip(1)
    features = collect(Vfid("vfid_eval", describer), made, truth)
    network = describer._network
    network.use_batch_statistics(False)
    tensor = torch.from_numpy(truth).permute(3, 0, 1, 2)[None].float() / 255
    np.testing.assert_allclose(features.true, network(tensor).numpy(), rtol=1e-4, atol=1e-6)
    assert features.made.shape == (1, 1024)
    assert not np.allclose(features.made, features.true)


def test_the_two_conventions_differ_and_keep_apart(networks: Networks) -> None:
    assert networks.by_clip is not None
    assert networks.by_training is not None
    clip = list(make_clip(2))
    by_clip, learnt = networks.by_clip.describe(clip), networks.by_training.describe(clip)
    assert not np.allclose(by_clip, learnt)
    network = networks.by_clip._network
    network.use_batch_statistics(True)
    tensor = torch.from_numpy(np.stack(clip)).permute(3, 0, 1, 2)[None].float() / 255
    np.testing.assert_allclose(by_clip, network(tensor)[0].numpy(), rtol=1e-3, atol=1e-5)


def test_a_clip_that_comes_again_is_described_once() -> None:
    network = Mean()
    describer = Describer(network, batch_statistics=False)
    truth = make_clip(0)
    for seed in (1, 2):
        collect(Vfid("vfid", describer), make_clip(seed), truth)
    assert network.asked == 3


def test_a_long_sequence_is_described_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 4 * 64 * 64)
    monkeypatch.setattr(module, "SHORTEST", 2)
    network = Mean()
    made, truth = make_clip(0), make_clip(1)
    features = collect(Vfid("vfid", Describer(network, batch_statistics=False)), made, truth)
    assert network.asked == 6  # parts of 4, 4 and 1 frames
    np.testing.assert_allclose(features.made[0], made.mean((0, 1, 2)) / 255, rtol=1e-5)
    np.testing.assert_allclose(features.true[0], truth.mean((0, 1, 2)) / 255, rtol=1e-5)


def test_pooled_distance_by_hand() -> None:
    def row(value: float) -> np.ndarray:
        return np.array([[value]])

    sequences = [Features(row(0), row(2)), Features(row(2), row(6))]
    assert pool_features(sequences) == pytest.approx(11)  # see test_frechet
    assert pool_features(sequences[:1]) is None
    assert pool_features([]) is None


def test_two_equal_sets_have_no_distance(networks: Networks) -> None:
    assert networks.by_clip is not None
    clips = [make_clip(seed) for seed in (3, 4)]
    features = [collect(Vfid("vfid", networks.by_clip), clip, clip) for clip in clips]
    assert pool_features(features) == pytest.approx(0, abs=1e-9)


def test_nothing_to_describe() -> None:
    metric = Vfid("vfid", Describer(Mean(), batch_statistics=False))
    assert metric.features() is None
    metric.add(make_clip(0)[0], None, MASK)
    assert metric.features() is None
    small = np.zeros((20, 90, 3), np.uint8)
    metric.add(small, small, np.ones((20, 90), np.bool_))
    assert metric.gap is not None
    assert metric.features() is None


def test_both_kinds_are_made_once_weights_are_there(networks: Networks) -> None:
    metrics = make_metrics(Conventions(), truth=True, networks=networks)
    pooled = [metric.name for metric in metrics if isinstance(metric, PooledMetric)]
    assert pooled == ["vfid", "vfid_eval"]
