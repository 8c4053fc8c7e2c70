from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cleanplate.plates import keyframes
from cleanplate.plates.keyframes import (
    DiskShelf,
    Keyframe,
    KeyframeChooser,
    MemoryShelf,
    Shelf,
)

SHAPE = 24, 32


def tune(monkeypatch: pytest.MonkeyPatch, **constants: int) -> None:
    monkeypatch.setattr(keyframes, "_TUNING", replace(keyframes._TUNING, **constants))


def draw(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (*SHAPE, 3), np.uint8)


def choose(length: int, holes: dict[int, np.ndarray], shelf: Shelf) -> list[Keyframe]:
    """The keyframes of a shot whose frame t has the hole `holes[t]`, if any."""
    chooser = KeyframeChooser(shelf)
    for t in range(length):
        chooser.add(t, draw(t), holes.get(t, np.zeros(SHAPE, np.bool_)))
    assert chooser.has_hole == bool(holes)
    return chooser.finish()


def numbers(length: int) -> list[int]:
    return [keyframe.number for keyframe in choose(length, {}, MemoryShelf())]


def spot(column: int) -> np.ndarray:
    hole = np.zeros(SHAPE, np.bool_)
    hole[10, column] = True
    return hole


def test_in_a_short_shot_every_frame_is_a_keyframe() -> None:
    found = choose(9, {}, MemoryShelf())
    assert [keyframe.number for keyframe in found] == list(range(9))
    assert all(np.array_equal(one.load(), draw(one.number)) for one in found)


def test_an_empty_shot_has_none() -> None:
    assert numbers(0) == []


def test_beyond_the_limit_keyframes_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    tune(monkeypatch, pixels=0, least=8, most=8)
    for length in (8, 9, 17, 40, 100):
        found = numbers(length)
        assert 4 <= len(found) <= 8
        assert found[0] == 0
        assert found == sorted(set(found))
        assert len(set(np.diff(found))) == 1, "the same step all over"
        widest = max(np.diff([*found, length]))
        assert widest <= 4 * length / 8, "no part of the shot is left out"
        assert found == numbers(length)


def test_pixels_bound_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    tune(monkeypatch, pixels=12 * SHAPE[0] * SHAPE[1], least=2)
    assert numbers(12) == list(range(12))
    assert len(numbers(13)) < 12


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_thinned_keyframes_leave_the_shelf(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    tune(monkeypatch, pixels=0, least=8, most=8)
    with closing(DiskShelf(tmp_path)) as disk:
        shelf: Shelf = MemoryShelf() if kind == "memory" else disk
        found = choose(40, {}, shelf)
        kept = {one.number for one in found}
        assert all(np.array_equal(one.load(), draw(one.number)) for one in found)
        for number in set(range(40)) - kept:
            with pytest.raises(KeyError):
                shelf.get(number)


def test_a_hole_contains_those_of_three_frames_either_side() -> None:
    found = choose(16, {8: spot(16)}, MemoryShelf())
    with_hole = [one.number for one in found if one.hole.any()]
    assert with_hole == list(range(5, 12))
    assert all(one.hole[10, 16] for one in found if one.number in with_hole)
    assert not any(one.small.known[10, 16] for one in found if one.number in with_hole)


def test_holes_of_near_frames_are_united_and_dilated() -> None:
    found = {one.number: one.hole for one in choose(9, {2: spot(4), 6: spot(28)}, MemoryShelf())}
    assert found[4][10, 4]
    assert found[4][10, 28]
    assert found[4][10, 5]
    assert found[1][10, 4]
    assert not found[1][10, 28]
    assert found[8][10, 28]
    assert not found[8][10, 4]


def test_frames_that_are_covered_whole_are_left_out() -> None:
    found = choose(14, {7: np.ones(SHAPE, np.bool_)}, MemoryShelf())
    assert [one.number for one in found] == [0, 1, 2, 3, 11, 12, 13]


def test_a_shelf_on_disk_gives_the_same_bytes(tmp_path: Path) -> None:
    memory = choose(6, {3: spot(9)}, MemoryShelf())
    with closing(DiskShelf(tmp_path)) as shelf:
        for one, other in zip(choose(6, {3: spot(9)}, shelf), memory, strict=True):
            assert one.load().tobytes() == other.load().tobytes()
            assert one.number == other.number
            assert np.array_equal(one.hole, other.hole)


def test_the_place_of_a_dropped_frame_is_used_again(tmp_path: Path) -> None:
    with closing(DiskShelf(tmp_path)) as shelf:
        for number in (0, 1, 2):
            shelf.put(number, draw(number))
        shelf.drop(1)
        for number in (3, 4):
            shelf.put(number, draw(number))
        assert shelf._file.seek(0, 2) == 4 * draw(0).size
        assert all(np.array_equal(shelf.get(number), draw(number)) for number in (0, 2, 3, 4))


def test_a_shelf_on_disk_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    with closing(DiskShelf(tmp_path)) as shelf:
        shelf.put(5, draw(5))
        shelf._file.truncate(20)
        with pytest.raises(OSError, match="keyframe 5 could not be read"):
            shelf.get(5)


def test_a_closed_shelf_leaves_no_file(tmp_path: Path) -> None:
    shelf = DiskShelf(tmp_path)
    shelf.put(0, draw(0))
    shelf.close()
    shelf.close()
    assert not list(tmp_path.iterdir())


def test_several_threads_read_the_same_shelf(tmp_path: Path) -> None:
    with closing(DiskShelf(tmp_path)) as shelf, ThreadPoolExecutor(4) as pool:
        for number in range(6):
            shelf.put(number, draw(number))
        wanted = [t % 6 for t in range(240)]
        for number, frame in zip(wanted, pool.map(shelf.get, wanted), strict=True):
            assert np.array_equal(frame, draw(number))
