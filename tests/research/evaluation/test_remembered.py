from itertools import pairwise

import numpy as np
import pytest

from cleanplate.motion import DisFlow, FlowEstimator
from cleanplate.research.evaluation.scoring import RememberedFlow, SequenceFlow


class Counting(FlowEstimator):
    """Counts what it is asked."""

    def __init__(self):
        self.asked = 0

    def prepare(self, image):
        return image

    def flow(self, source, target):
        self.asked += 1
        return np.full((*source.shape[:2], 2), float(target.mean() - source.mean()), np.float32)


def ask(estimator, frames):
    images = [estimator.prepare(frame) for frame in frames]
    return [estimator.flow(a, b) for a, b in pairwise(images)]


def test_equal_pictures_are_not_compared_again(frames):
    counting = Counting()
    remembered = RememberedFlow(counting)
    first = ask(remembered, frames)
    second = ask(remembered, frames.copy())
    assert counting.asked == 4
    for a, b, c in zip(first, second, ask(Counting(), frames), strict=True):
        assert (a == b).all()
        assert (a == c).all()


def test_directions_are_told_apart(frames):
    remembered = RememberedFlow(Counting())
    a, b = remembered.prepare(frames[0]), remembered.prepare(frames[1])
    assert remembered.flow(a, b)[0, 0, 0] == -remembered.flow(b, a)[0, 0, 0]


def test_no_more_is_kept_than_allowed(frames):
    counting = Counting()
    remembered = RememberedFlow(counting, budget=2 * 72 * 80 * 2 * 4)
    ask(remembered, frames)
    ask(remembered, frames)
    assert counting.asked == 4 + 2


def test_what_is_kept_cannot_be_changed(frames):
    found = ask(RememberedFlow(DisFlow()), frames)[0]
    with pytest.raises(ValueError, match="read-only"):
        found += 1


def test_a_memory_lasts_for_a_sequence():
    flows = SequenceFlow()
    first = flows.choose("a", has_truth=True)
    assert flows.choose("a", has_truth=True) is first
    assert flows.choose("b", has_truth=True) is not first
    assert not isinstance(flows.choose("b", has_truth=False), RememberedFlow)
