from __future__ import annotations

import numpy as np

from cleanplate.removal.movers import count_parts, follow_parts

SHAPE = (40, 120)


def mark(*places: tuple[int, int]) -> np.ndarray:
    """A mask with a square of 8 pixels at each (x, y)."""
    mask = np.zeros(SHAPE, np.bool_)
    for x, y in places:
        mask[y : y + 8, x : x + 8] = True
    return mask


def test_parts_that_are_close_are_one() -> None:
    mask = mark((10, 10), (22, 10), (80, 10))
    assert count_parts(mask, 1) == 3
    assert count_parts(mask, 2) == 2
    assert count_parts(mark(), 2) == 0


def test_things_are_followed_past_each_other() -> None:
    masks = [mark((10 + 4 * t, 2), (90 - 4 * t, 28)) for t in range(20)]
    things = follow_parts(masks, 1)
    assert len(things) == 2
    for thing, y in zip(sorted(things, key=lambda one: np.argmax(one[0])), (2, 28), strict=True):
        assert list(thing) == list(range(20))
        assert all(mask[y : y + 8].sum() == mask.sum() == 64 for mask in thing.values())


def test_other_things_begin_where_two_meet_and_part() -> None:
    masks = [mark((10 + 4 * t, 10), (90 - 4 * t, 10)) for t in range(21)]
    things = follow_parts(masks, 1)
    apart = [list(range(9)), list(range(12, 21))]
    assert [list(thing) for thing in things] == [*apart[:1] * 2, [9, 10, 11], *apart[1:] * 2]


def test_a_thing_ends_where_its_mask_does() -> None:
    masks = [mark((10, 10)), mark(), mark((10, 10))]
    assert [list(thing) for thing in follow_parts(masks, 1)] == [[0], [2]]
