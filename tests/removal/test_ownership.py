"""Who owns an array: what the engine keeps is its own, and what it gives back the caller's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cleanplate.network import SttnNetwork
from cleanplate.removal import Engine, Finished, Span, inpaint
from cleanplate.removal.engine import Pixels
from cleanplate.removal.windows import WindowFiller
from cleanplate.types import Size

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE, SPAN = Size(96, 64), Span(4, 3)
WAYS = [("flow", False), ("flow", True), ("network", False)]


def make_engine(method: Any, tiny: SttnNetwork, **options: Any) -> Engine:
    filler = WindowFiller(tiny) if method == "network" else None
    return Engine(SIZE, filler=filler, method=method, span=SPAN, dilate=1, feather=1, **options)


@pytest.fixture
def clip(pan) -> tuple[np.ndarray, np.ndarray]:
    """A moving hole; every fifth frame has none."""
    frames = pan(frames=14)
    masks = np.zeros(frames.shape[:3], np.bool_)
    for t in range(14):
        masks[t, 20:36, 20 + 2 * t : 40 + 2 * t] = t % 5 != 0
    return frames, masks


@pytest.fixture
def expected(clip, tiny):
    """The right result of a method, with nothing reused."""

    def fill(method: Any, fields: bool) -> np.ndarray:
        engine = make_engine(method, tiny, fields=fields)
        done = [one for pair in zip(*clip, strict=True) for one in engine.push(*pair)]
        return np.stack([one.frame for one in done + engine.finish()])

    return fill


@pytest.mark.parametrize(("method", "fields"), WAYS)
def test_the_callers_buffer_can_be_used_again(clip, tiny, expected, method, fields) -> None:
    engine = make_engine(method, tiny, fields=fields)
    frame, mask = np.empty_like(clip[0][0]), np.empty_like(clip[1][0])
    made: list[Finished] = []
    for new_frame, new_mask in zip(*clip, strict=True):
        frame[...], mask[...] = new_frame, new_mask
        made += engine.push(frame, mask)
        frame[...], mask[...] = 99, ~mask
    made += engine.finish()
    np.testing.assert_array_equal([one.frame for one in made], expected(method, fields))


@pytest.mark.parametrize(("method", "fields"), WAYS)
def test_drawing_on_finished_frames_changes_no_other(clip, tiny, expected, method, fields) -> None:
    engine = make_engine(method, tiny, fields=fields)
    made = []
    for pair in [*zip(*clip, strict=True), None]:
        ready = engine.finish() if pair is None else engine.push(*pair)
        made += [one.frame.copy() for one in ready]
        for one in ready:
            one.frame[...], one.touched[...] = 255, True
    np.testing.assert_array_equal(made, expected(method, fields))


def test_no_memory_is_shared(clip, tiny) -> None:
    frames, masks = clip
    engine = make_engine("flow", tiny)
    made = [one for pair in zip(frames, masks, strict=True) for one in engine.push(*pair)]
    held = [entry.frame for entry in engine._held]
    made += engine.finish()
    arrays = [array for one in made for array in (one.frame, one.touched)]
    for index, array in enumerate(arrays):
        assert array.flags.writeable
        assert not np.shares_memory(array, frames)
        assert not np.shares_memory(array, masks)
        assert not any(np.shares_memory(array, other) for other in arrays[:index])
    early = [one.frame for one in made[: -len(held)]]
    assert not any(np.shares_memory(one, other) for one in early for other in held)


def test_nothing_is_copied_where_nobody_changes_frames(clip, tiny) -> None:
    engine = make_engine("flow", tiny, copy=False)
    done = [one for pair in zip(*clip, strict=True) for one in engine.push(*pair)]
    assert all(np.shares_memory(one.frame, clip[0]) for one in (done + engine.finish())[::5])


@pytest.mark.parametrize("masked", [False, True])
def test_inpaint_gives_back_memory_of_its_own(clip, masked) -> None:
    frames, masks = clip
    masks = masks & masked
    before = frames.copy(), masks.copy()
    made = inpaint(frames, masks, method="flow")
    assert not np.shares_memory(made, frames)
    made[...] = 0
    np.testing.assert_array_equal(frames, before[0])
    np.testing.assert_array_equal(masks, before[1])


class Keeper:
    """A store that keeps the arrays themselves."""

    def __init__(self) -> None:
        self.kept: dict[range, list[Pixels]] = {}

    def load(self, frames: range) -> list[Pixels] | None:
        return self.kept.get(frames)

    def save(self, frames: range, pixels: list[Pixels], **_: bool) -> None:
        self.kept[frames] = pixels


def test_what_a_store_keeps_is_its_own(clip, tiny, expected) -> None:
    store, right = Keeper(), expected("flow", False)
    for _ in range(2):
        engine = make_engine("flow", tiny, store=store)
        made = []
        for pair in [*zip(*clip, strict=True), None]:
            ready = engine.finish() if pair is None else engine.push(*pair)
            made += [one.frame.copy() for one in ready]
            for one in ready:
                one.frame[...] = 255
        np.testing.assert_array_equal(made, right)
    loaded = [one for pair in zip(*clip, strict=True) for one in engine.push(*pair)]
    for pixels in store.kept.values():
        for one in pixels:
            one[...] = 255
    for one, truth in zip(loaded, right, strict=False):
        np.testing.assert_array_equal(one.frame, truth)


def test_a_network_can_be_trained_on_while_its_copy_fills(clip, tiny) -> None:
    frames, masks = clip
    filler = WindowFiller(tiny)
    before = filler.fill(frames[:4], masks[:4])
    with torch.no_grad():
        for values in tiny.parameters():
            values.fill_(0.5)
    np.testing.assert_array_equal(filler.fill(frames[:4], masks[:4]), before)


def test_a_network_stays_in_its_mode(clip, painter) -> None:
    frames, masks = clip
    painter.train()
    inpaint(frames[1:4], masks[1:4], model=painter, method="network")
    assert painter.training
