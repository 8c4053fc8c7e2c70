"""Masks keep to one instance: its size and its place."""

from __future__ import annotations

import numpy as np
import pytest

from cleanplate.masks.tracking.instance import ObjectSize, limit

SHAPE = (60, 120)


def block(left: int, width: int = 20, top: int = 20) -> np.ndarray:
    """A block 20 pixels high as a share."""
    share = np.zeros(SHAPE, np.float32)
    share[top : top + 20, left : left + width] = 1
    return share


NOWHERE = np.zeros(SHAPE, np.bool_)


def test_a_piece_that_touches_nothing_is_refused() -> None:
    kept = limit(block(10) + block(80), block(10), NOWHERE, 400, 4)
    np.testing.assert_array_equal(kept, block(10))


def test_what_joins_the_object_may_only_make_up_for_what_is_missing() -> None:
    both = block(10, 60)
    whole = limit(both, block(10), NOWHERE, 400, 4)
    assert not whole[:, 35:].any(), "nothing is missing: a margin for motion, no more"
    hidden = limit(both, block(10), NOWHERE, 1000, 4)
    assert 900 <= (hidden > 0.5).sum() <= 1100
    assert hidden[30, 50] == 1, "the nearest part comes first"


def test_too_large_a_mask_keeps_its_best_supported_part() -> None:
    support = np.where(np.arange(120) < 30, 2, 1) * block(10, 60)
    kept = limit(block(10, 60), support.astype(np.float32), NOWHERE, 200, 4)
    assert kept[:, :30].sum() == 400
    assert not kept[:, 31:].any()


@pytest.mark.parametrize("empty", ["share", "support"])
def test_nothing_to_limit(empty: str) -> None:
    none = np.zeros(SHAPE, np.float32)
    share, support = (none, block(10)) if empty == "share" else (block(10), none)
    np.testing.assert_array_equal(limit(share, support, NOWHERE, 400, 4), share)


def test_size_follows_only_what_is_explained() -> None:
    size = ObjectSize(1000)
    for _ in range(200):
        size.learn(3000, 0.1)
    assert size.usual == pytest.approx(1500)
    for _ in range(40):
        size.zoom(1.02, 1000)
    assert size.usual > 3000, "its own motion explains that it comes nearer"
    before = size.usual
    size.zoom(1.02, 2 * before)
    assert size.usual == before, "two things that part are no zoom"


def test_size_goes_by_the_run_ahead() -> None:
    size = ObjectSize(4000, {7: 1000.0})
    size.anchor(8)
    assert size.usual == 4000
    size.anchor(7)
    assert size.usual == 1500
