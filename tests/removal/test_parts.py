"""Parts of a video, filled apart, and the run that puts them together."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.errors import EncodeError, InputError, StaleError
from cleanplate.options import RemoveOptions
from cleanplate.removal import Engine, Span, fill_part
from cleanplate.removal import engine as engines
from cleanplate.removal.journal import find_whole_segments

BOX = "20,12,20,16"
SETTINGS = RemoveOptions(method="flow", threads=1)
FRAMES = 26

one_clip = pytest.mark.parametrize("clip", ["two cuts"], indirect=True)


@pytest.fixture(autouse=True)
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 8 frames, so that short clips have several."""
    monkeypatch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(4, 2)))
    monkeypatch.setattr(engines, "_SEGMENT", 2)


@pytest.fixture(params=["one shot", "two cuts"])
def clip(request, pan, tmp_path: Path) -> Path:
    """26 frames of a camera that pans, as images; with the colours turned round between cuts."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(pan(frames=FRAMES, size=(64, 48))):
        if request.param == "two cuts" and 11 <= index < 20:
            frame = 255 - frame
        assert cv2.imwrite(str(folder / f"{index:02d}.png"), frame)
    return folder


def shares(count: int) -> list[range]:
    return [range(k * FRAMES // count, (k + 1) * FRAMES // count) for k in range(count)]


def filled(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> list[int]:
    """Numbers of the frames that are filled, and not recalled, while `work` runs."""
    numbers: list[int] = []
    before = Engine._fill

    def fill(self: Engine, wanted: range, until: int | None) -> Any:
        numbers.extend(self._first + at for at in wanted)
        return before(self, wanted, until)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "_fill", fill)
        work()
    return numbers


def content(path: Path) -> str:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def remove(clip: Path, output: Path, **options: Any) -> dict[str, Any]:
    """A single run's report without its times."""
    given = {"box": BOX, "method": "flow", "threads": 1, "journal": False}
    report = cleanplate.remove(clip, output, **(given | options)).to_json()
    return {name: report[name] for name in report if name not in ("seconds", "stages", "output")}


@pytest.mark.parametrize(
    ("name", "options", "count"), [("out", {}, 3), ("out.mp4", {"crf": 20}, 2)]
)
def test_parts_put_together_are_the_single_run(clip, tmp_path, monkeypatch, count, name, options):
    report = remove(clip, tmp_path / f"whole-{name}", **options)
    parts = [tmp_path / str(number) for number in range(count)]
    settings = replace(SETTINGS, **options)
    numbers: list[int] = []
    for part, share in zip(parts, shares(count), strict=True):
        numbers += filled(monkeypatch, lambda part=part, share=share: fill_part(
            clip, part, share, settings, box=BOX
        ))  # fmt: skip
    assert sorted(numbers) == list(range(FRAMES))
    put = {}
    again = filled(monkeypatch, lambda: put.update(
        remove(clip, tmp_path / name, parts=parts, **options)
    ))  # fmt: skip
    assert again == []
    assert put == report
    assert content(tmp_path / name) == content(tmp_path / f"whole-{name}")


@one_clip
def test_a_part_reads_no_further_than_it_fills(clip, tmp_path, monkeypatch):
    read: list[int] = []
    before = Engine.push

    def push(self: Engine, frame: Any, mask: Any) -> Any:
        read.append(len(read))
        return before(self, frame, mask)

    monkeypatch.setattr(Engine, "push", push)
    seen: list[tuple[int, int | None]] = []
    fill_part(
        clip, tmp_path / "part", range(2, 12), SETTINGS, box=BOX,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    heads = find_whole_segments(tmp_path / "part")
    assert min(heads) >= 8, "the segment of frame 0 is another part's"
    end = max(head.stop for head in heads.values())
    assert end <= len(read) <= end + 6
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


@one_clip
def test_what_is_of_no_use_is_filled_again(clip, tmp_path, monkeypatch):
    remove(clip, tmp_path / "whole")
    parts = [tmp_path / str(number) for number in range(3)]
    for part, share in zip(parts, shares(3), strict=True):
        fill_part(clip, part, share, SETTINGS, box=BOX)
    lost = [number for head in find_whole_segments(parts[1]).values() for number in head.frames]
    other, damaged = tmp_path / "other", tmp_path / "damaged"
    fill_part(clip, other, shares(3)[1], replace(SETTINGS, dilate=9), box=BOX)
    shutil.copytree(parts[1], damaged)
    for path in damaged.glob("*.span"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    for middle in (other, damaged, tmp_path / "missing"):
        output = tmp_path / f"out-{middle.name}"
        given = [parts[0], middle, parts[2]]
        again = filled(monkeypatch, lambda to=output, given=given: remove(clip, to, parts=given))
        assert again == sorted(lost)
        assert content(output) == content(tmp_path / "whole")


@one_clip
def test_a_part_that_was_cut_off_goes_on(clip, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    def stop(done: int, total: int | None) -> None:
        if done >= 18:
            raise Stop

    part = tmp_path / "part"
    with pytest.raises(Stop):
        fill_part(clip, part, range(1, 100), SETTINGS, box=BOX, progress=stop)
    kept = {number for head in find_whole_segments(part).values() for number in head.frames}
    assert kept
    again = filled(monkeypatch, lambda: fill_part(clip, part, range(1, 100), SETTINGS, box=BOX))
    assert sorted(kept | set(again)) == list(range(8, FRAMES))
    assert not kept & set(again)


@one_clip
def test_another_job_begins_anew(clip, tmp_path, monkeypatch):
    part = tmp_path / "part"
    fill_part(clip, part, range(100), SETTINGS, box=BOX)
    other = replace(SETTINGS, dilate=2)
    again = filled(monkeypatch, lambda: fill_part(clip, part, range(100), other, box=BOX))
    assert again == list(range(FRAMES))


@one_clip
def test_other_masks_are_noticed(clip, tmp_path):
    part, mask = tmp_path / "part", tmp_path / "mask.png"
    hole = np.zeros((48, 64), np.uint8)
    hole[12:28, 20:40] = 255
    assert cv2.imwrite(str(mask), hole)
    fill_part(clip, part, range(100), SETTINGS, masks=mask)
    hole[12:28, 20:44] = 255
    assert cv2.imwrite(str(mask), hole)
    with pytest.raises(StaleError, match="the masks up to frame"):
        remove(clip, tmp_path / "out", box=(), masks=mask, parts=[part])
    with pytest.raises(StaleError, match="the masks up to frame"):
        fill_part(clip, part, range(100), SETTINGS, masks=mask)
    assert not (tmp_path / "out").exists()


@one_clip
def test_a_disk_that_takes_no_more_ends_the_part(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(EncodeError, match="could not be kept: No space"):
        fill_part(clip, tmp_path / "part", range(100), SETTINGS, box=BOX)


@one_clip
def test_what_cannot_be_done_is_said_before_the_work(clip, tmp_path):
    with pytest.raises(InputError, match="covers every pixel"):
        fill_part(clip, tmp_path / "part", range(100), SETTINGS, box="0,0,64,48")
    assert not (tmp_path / "part").exists()
