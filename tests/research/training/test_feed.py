from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
from tests.patience import PATIENCE

from cleanplate.research.data.sampling import Sample
from cleanplate.research.training import feed as module
from cleanplate.research.training.feed import Feed, stack, to_network

from .toy import draw, draw_still

CPU = torch.device("cpu")


def test_batches_follow_the_step() -> None:
    with Feed([(draw, 2), (draw_still, 3)], 5, CPU) as feed:
        clips, stills = feed.next()
        later, _ = feed.next()
    for (frames, masks), numbers in ((clips, (10, 11)), (later, (12, 13))):
        expected = to_network(*stack([draw(number) for number in numbers], CPU))
        assert torch.equal(frames, expected[0])
        assert torch.equal(masks, expected[1])
    assert stills[0].shape == (3, 1, 3, 32, 48)
    assert clips[0].min() >= -1
    assert clips[0].max() <= 1


def test_samples_are_drawn_ahead_while_the_device_computes() -> None:
    drawn = threading.Semaphore(0)

    def count(number: int) -> Sample:
        drawn.release()
        return draw(number)

    with Feed([(count, 2)], 0, CPU):
        for _ in range(6):  # three batches of two
            assert drawn.acquire(timeout=PATIENCE)


def test_waiting_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, seconds = threading.Event(), 0

    def monotonic() -> int:
        began = seconds
        asked.set()
        return began

    def slow(number: int) -> Sample:
        nonlocal seconds
        assert asked.wait(PATIENCE)
        seconds += 5
        return draw(number)

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=monotonic))
    with Feed([(slow, 1)], 0, CPU) as feed:
        feed.next()
        assert feed.waited >= 5


def test_leaving_ends_the_threads() -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), Feed([(draw, 4)], 0, CPU):
        raise KeyError
    assert threading.active_count() == before
