from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cleanplate.masks.tracking.appearance import Place
from cleanplate.masks.tracking.judging import SIDE, FrameView, Network, stack_evidence

SHAPE = (60, 80)


@pytest.fixture
def view() -> FrameView:
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    numbers = np.zeros(SHAPE, np.int32)
    prior = np.zeros(SHAPE, np.float32)
    prior[20:40, 30:50] = 1
    own = random.standard_normal((*SHAPE, 2)).astype(np.float32)
    window = (slice(10, 70), slice(5, 85))
    return FrameView(window, frame, numbers, numbers, prior, own, prior * 5, 3, (100, 100))


FOUND = {name: np.ones(SHAPE, np.float32) for name in ("depth", "colour", "motion", "stand")}
PLACE = Place(45, 40, 10, 10)


def test_evidence_is_of_one_size_and_bounded(view: FrameView) -> None:
    evidence = stack_evidence(view, FOUND, np.zeros(SHAPE, np.float32), PLACE)
    assert evidence.shape == (13, SIDE, SIDE)
    assert evidence.dtype == np.float32
    assert np.abs(evidence).max() <= 4


def test_background_that_is_not_known_says_nothing(view: FrameView) -> None:
    belief = np.zeros(SHAPE, np.float32)
    found = {name: values for name, values in FOUND.items() if name != "stand"}
    without = stack_evidence(replace(view, stand=None), found, belief, PLACE)
    unknown = stack_evidence(
        replace(view, stand=np.full(SHAPE, np.nan, np.float32)), found, belief, PLACE
    )
    np.testing.assert_array_equal(without, unknown)
    assert not without[7:10].any()


def test_answer_is_a_share_of_each_pixel_of_the_window(view: FrameView) -> None:
    class Prior(torch.nn.Module):
        """Believes what was carried here."""

        def forward(self, evidence: torch.Tensor) -> torch.Tensor:
            return 20 * (evidence[:, 2] - 0.5)

    share = Network(Prior()).weigh(view, FOUND, np.zeros(SHAPE, np.float32), PLACE)
    assert share.shape == SHAPE
    np.testing.assert_array_equal(share[22:38, 32:48] > 0.9, True)
    assert share[:15].max() < 0.1
