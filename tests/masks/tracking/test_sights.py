from __future__ import annotations

import numpy as np
import pytest

from cleanplate.masks.tracking.sights import HiddenMasks, Sight, join_runs

SHAPE = (20, 30)


def sight(left: int, confidence: float = 1.0, share: float = 1.0) -> Sight:
    """Something 6 pixels wide that begins at column `left`."""
    found = np.zeros(SHAPE, np.float32)
    found[5:15, left : left + 6] = share
    return Sight.keep(found, confidence)


def test_share_is_kept_to_a_level() -> None:
    share = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    np.testing.assert_allclose(Sight.keep(share, 0.5).share, share, atol=0.5 / 255 + 1e-6)


def test_what_either_run_saw_counts() -> None:
    joined = join_runs({1: sight(4, 1.0, 0.75)}, {1: sight(7, 0.5)})
    assert joined[1].share[10, [5, 8, 12]].tolist() == pytest.approx([0.75, 1, 1], abs=0.01)
    assert joined[1].confidence == 1


def test_what_only_the_return_saw_counts() -> None:
    joined = join_runs({1: sight(4), 2: Sight.lose(SHAPE)}, {1: sight(4), 2: sight(6)})
    assert joined[2].share[10, 7] == 1
    assert joined[2].confidence == 1


def test_another_thing_is_dropped() -> None:
    """The first run jumps to a less likely thing at frame 3, and the return stays on that."""
    ahead = {k: sight(4 if k < 3 else 20, 1.0 if k < 3 else 0.6) for k in range(6)}
    back = {k: sight(20, 0.6) for k in range(6)}
    joined = join_runs(ahead, back)
    assert [joined[k].share.any() for k in range(6)] == [True] * 3 + [False] * 3
    assert [joined[k].confidence for k in range(6)] == [1.0] * 3 + [0.0] * 3
    assert not joined[2].share[:, 20:].any()


def test_a_return_that_strays_is_not_believed() -> None:
    ahead = {k: sight(4) for k in range(6)}
    back = {k: sight(4 if k > 2 else 20, 0.8) for k in range(6)}
    joined = join_runs(ahead, back)
    assert all(joined[k].share[10, 5] == 1 for k in range(6))
    assert not joined[1].share[:, 20:].any()


def test_the_surer_run_counts_until_both_meet_again() -> None:
    ahead = {k: sight(20 if 2 <= k < 4 else 4, 0.4 if 2 <= k < 4 else 1.0) for k in range(6)}
    joined = join_runs(ahead, {k: sight(4, 0.9) for k in range(6)})
    assert all(joined[k].share[10, 5] == 1 for k in range(6))
    assert not any(joined[k].share[:, 20:].any() for k in range(6))


def test_hidden_holds_the_object_with_room() -> None:
    hidden = HiddenMasks({3: sight(10)})
    assert list(hidden) == [3]
    assert hidden.get(4) is None
    columns = np.flatnonzero(hidden[3].any(0))
    assert (columns[0], columns[-1]) == (7, 18)


def wide(left: int, width: int, confidence: float = 1.0) -> Sight:
    """Something `width` pixels wide that begins at column `left`."""
    found = np.zeros(SHAPE, np.float32)
    found[5:15, left : left + width] = 1
    return Sight.keep(found, confidence)


def test_a_return_with_a_bystander_is_not_believed() -> None:
    """It takes in the bystander at frame 3, on its way back to the marked frame 0."""
    ahead = {k: wide(4, 8) for k in range(8)}
    back = {k: wide(4, 8 if k > 3 else 20) for k in range(8)}
    joined = join_runs(ahead, back)
    assert not any(sight.share[:, 14:].any() for sight in joined.values())
    assert [joined[k].confidence < 0.5 for k in range(8)] == [True] * 8


def test_frames_far_before_the_runs_part_are_sure() -> None:
    ahead = {k: wide(4, 8) for k in range(20)}
    back = {k: wide(4, 8 if k > 12 else 20) for k in range(20)}
    joined = join_runs(ahead, back)
    assert [joined[k].confidence for k in range(8)] == [1.0] * 8
    assert all(joined[k].confidence < 0.5 for k in range(8, 20))


def test_a_bystander_taken_in_between_is_unsure() -> None:
    """Both agree before and after: the surer one counts."""
    ahead = {k: wide(4, 20 if k in (4, 5) else 8, 0.7 if k in (4, 5) else 1.0) for k in range(9)}
    joined = join_runs(ahead, {k: wide(4, 8, 0.9) for k in range(9)})
    assert not any(sight.share[:, 14:].any() for sight in joined.values())
    assert [k for k in range(9) if joined[k].confidence < 0.5] == [4, 5]
