from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.plates import DiskShelf, Keyframe, KeyframeArchive, KeyframeChooser, MemoryShelf
from cleanplate.plates import archive as module

HEIGHT, WIDTH = 72, 96
BOX = 36, 24, 26, 28


def draw(seed: int) -> np.ndarray:
    """A wall with fine and coarse texture, uint8 (h, w, 3)."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3))
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4, 10)]
    return np.asarray((128 + 26 * sum(layers)).clip(20, 235), np.uint8)


def look_at(seed: int, count: int = 4) -> list[Keyframe]:
    chooser = KeyframeChooser(MemoryShelf())
    for number in range(count):
        chooser.add(number, draw(seed), np.zeros((HEIGHT, WIDTH), np.bool_))
    return chooser.finish()


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_shot_of_the_same_place_is_found(tmp_path: Path, on_disk: bool) -> None:
    disk = DiskShelf(tmp_path)
    archive = KeyframeArchive(disk if on_disk else MemoryShelf())
    for seed in (1, 2, 3):
        archive.add(look_at(seed))
    found = archive.find(look_at(2))
    assert len(found) == 3
    for keyframe in found:
        np.testing.assert_array_equal(keyframe.load(), draw(2))
    assert not list(tmp_path.iterdir())
    disk.close()


def test_no_shot_of_another_place_is_found() -> None:
    archive = KeyframeArchive(MemoryShelf())
    for seed in (1, 2, 3):
        archive.add(look_at(seed))
    assert archive.find(look_at(4)) == []
    assert archive.find([]) == []


def test_a_dropped_keyframe_is_kept_while_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TUNING", module.ArchiveTuning(pixels=3 * HEIGHT * WIDTH))
    shelf = MemoryShelf()
    archive = KeyframeArchive(shelf)
    archive.add(look_at(1))
    found = archive.find(look_at(1))
    archive.add(look_at(2))
    np.testing.assert_array_equal(found[0].load(), draw(1))
    assert len(shelf._frames) == 6
    del found
    assert len(shelf._frames) == 3


def test_the_oldest_keyframes_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TUNING", module.ArchiveTuning(pixels=6 * HEIGHT * WIDTH))
    archive = KeyframeArchive(MemoryShelf())
    for seed in (1, 2, 3):
        archive.add(look_at(seed))
    assert archive.find(look_at(1)) == []
    assert len(archive.find(look_at(2))) == len(archive.find(look_at(3))) == 3


class FullShelf(MemoryShelf):
    def put(self, number: int, frame: np.ndarray) -> None:
        raise OSError("no space left")


def test_where_the_disk_takes_no_more_nothing_is_kept() -> None:
    archive = KeyframeArchive(FullShelf())
    archive.add(look_at(1))
    assert archive.find(look_at(1)) == []


def test_a_file_that_returns_to_a_place_is_filled_from_before_the_cut(tmp_path: Path) -> None:
    """An object rests at a wall that was seen before another shot, and in no frame of its own."""
    source, wall = tmp_path / "in", draw(1)
    source.mkdir()
    for number in range(24):
        frame = draw(2) if 8 <= number < 16 else wall.copy()
        if number >= 16:
            frame[24:52, 36:62] = (230, 30, 40)
        assert cv2.imwrite(str(source / f"{number:02d}.png"), frame[..., ::-1])
    box = ",".join(map(str, BOX)) + "@0.64-"
    cleanplate.remove(source, tmp_path / "out", box=box, dilate=0, feather=0, threads=1)
    for file in sorted((tmp_path / "out").iterdir())[16:]:
        made = cv2.imread(str(file))[24:52, 36:62, ::-1].astype(np.float32)
        assert np.abs(made - wall[24:52, 36:62]).mean() < 2
