"""The set of metrics of a sequence: names, order, gaps."""

from __future__ import annotations

import numpy as np
import pytest

from cleanplate.errors import InputError
from cleanplate.motion import DisFlow
from cleanplate.research.evaluation.metric import Missing
from cleanplate.research.evaluation.protocols import Conventions, make_metrics

ALL = ["psnr", "ssim", "hole_psnr", "ssim_gaussian", "e_warp", "flicker"]


def test_with_the_truth() -> None:
    metrics = make_metrics(Conventions(), truth=True)
    assert [metric.name for metric in metrics] == [*ALL, "vfid", "vfid_eval", "lpips"]


def test_without_the_truth_only_steadiness() -> None:
    assert [m.name for m in make_metrics(Conventions(), truth=False)] == ["e_warp", "flicker"]


def test_missing_weights_are_a_reason_in_place_of_a_number() -> None:
    frame, hole = np.zeros((70, 70, 3), np.uint8), np.ones((70, 70), np.bool_)
    missing = make_metrics(Conventions(), truth=True)[6:]
    for metric in missing:
        assert isinstance(metric, Missing)
        assert metric.gap is not None
        assert "weights" in metric.gap
        assert metric.add(frame, frame, hole) is None
        assert metric.result() is None


def test_all_measure_a_short_clip() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (3, 70, 80, 3), dtype=np.uint8)
    masks = np.zeros((3, 70, 80), np.bool_)
    masks[:, 20:50, 20:50] = True
    made = truth.copy()
    made[masks] = 128
    metrics = make_metrics(Conventions(ssim_every=2), truth=True)
    curves = [
        {metric.name: metric.add(*frames) for metric in metrics}
        for frames in zip(made, truth, masks, strict=True)
    ]
    assert curves[1]["ssim"] is None
    assert curves[2]["ssim"] is not None
    for metric in metrics[:4]:
        assert np.isfinite(metric.result())


def test_sets_share_nothing() -> None:
    first, second = (make_metrics(Conventions(), truth=True) for _ in range(2))
    frame, hole = np.zeros((70, 70, 3), np.uint8), np.ones((70, 70), np.bool_)
    for metric in first:
        metric.add(frame, frame, hole)
    assert all(metric.result() is None for metric in second)


def test_a_learned_flow_can_take_the_place_of_dense_inverse_search() -> None:
    class Still(DisFlow):
        asked = 0

        def flow(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
            Still.asked += 1
            return np.zeros((*source.shape, 2), np.float32)

    metrics = make_metrics(Conventions(), truth=False, flow=Still)
    frame, hole = np.zeros((16, 16, 3), np.uint8), np.ones((16, 16), np.bool_)
    for _ in range(3):
        for metric in metrics:
            metric.add(frame, None, hole)
    assert Still.asked == 4
    assert metrics[0].result() == 0


def test_every_zeroth_frame_is_refused() -> None:
    with pytest.raises(InputError, match="positive"):
        Conventions(ssim_every=0)
