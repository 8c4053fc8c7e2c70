"""An input that is damaged, vanishes or changes while it is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cleanplate
from cleanplate.errors import DecodeError, MaskError, VideoError
from cleanplate.masks import BoxMask
from cleanplate.types import Box
from cleanplate.video import open_reader, probe

from .conftest import BOX, Outcome, Running, finished_segments

OPTIONS = {"box": "20,12,20,16", "method": "flow"}


def spoil(path: Path, share: float = 0.05) -> Path:
    """Zeros in the middle of a file."""
    data = bytearray(path.read_bytes())
    middle, length = len(data) // 2, round(len(data) * share)
    data[middle : middle + length] = bytes(length)
    path.write_bytes(data)
    return path


@pytest.fixture
def spoilt(make_clip: Callable[..., Path]) -> Path:
    return spoil(make_clip(frames=60, size=(160, 120), options={"g": "12"}, audio=["eng"]))


def test_a_decoder_error_is_a_clean_stop(
    run: Callable[..., Outcome], spoilt: Path, out: Path
) -> None:
    line = run("remove", spoilt, *BOX, "--no-journal", "-o", out / "r.mp4").check(1)
    assert "the file is damaged" in line
    assert "--keep-going leaves out what cannot be read" in line
    assert list(out.iterdir()) == []


def test_keep_going_finishes_what_can_be_read(spoilt: Path, tmp_path: Path) -> None:
    target = tmp_path / "r.mkv"
    report = cleanplate.remove(spoilt, target, keep_going=True, lossless=True, **OPTIONS)
    assert 40 < report.frames < 60
    note, *_ = report.notes
    assert note.startswith("the input is damaged: ")
    assert note.endswith(f"; {60 - report.frames} of 60 frames are left out")
    with open_reader(target) as reader:
        times = [picture.time for picture in reader]
    assert len(times) == report.frames
    assert float(times[-1] - times[0]) == pytest.approx(59 / 25, abs=0.001)


def test_what_is_read_is_what_was_sound_and_keeps_its_number(
    make_clip: Callable[..., Path],
) -> None:
    path = make_clip(frames=60, size=(160, 120), options={"g": "12", "bf": "0"})
    with open_reader(path) as reader:
        whole = {picture.index: picture for picture in reader}
    spoil(path)
    with open_reader(path, probe(path), keep_going=True) as reader:
        found = list(reader)
        assert reader.damage.met
    assert 40 < len(found) < 60
    assert [whole[one.index].time for one in found] == [one.time for one in found]
    equal = [np.array_equal(whole[one.index].rgb, one.rgb) for one in found]
    # Pictures that refer to a lost one are damaged without the decoder's saying so.
    assert sum(equal) > 40


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi"])
def test_the_beginning_of_a_file_that_was_cut_short(
    make_clip: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    flags = "faststart" if name.endswith("mp4") else ""
    path = make_clip(name, frames=60, size=(160, 120), movflags=flags)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    with pytest.raises(VideoError, match="cut short"):
        cleanplate.remove(path, tmp_path / "r.mkv", **OPTIONS)
    report = cleanplate.remove(path, tmp_path / "r.mkv", keep_going=True, **OPTIONS)
    assert 25 < report.frames < 60
    assert "cut short" in report.notes[0]


def test_a_spoilt_image_is_left_out(images: Callable[..., Path], tmp_path: Path) -> None:
    folder = images([f"{k}.png" for k in range(6)], size=(64, 48))
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:-30])
    with pytest.raises(DecodeError, match=r"3\.png' is cut short"):
        cleanplate.remove(folder, tmp_path / "r", journal=False, **OPTIONS)
    assert not (tmp_path / "r").exists()
    report = cleanplate.remove(folder, tmp_path / "r", keep_going=True, **OPTIONS)
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [
        "0.png", "1.png", "2.png", "4.png", "5.png"
    ]  # fmt: skip
    assert "3.png' is cut short" in report.notes[0]
    assert "1 of 6 frames" in report.notes[0]


def test_images_that_vanish(start: Callable[..., Running], frames: Path, out: Path) -> None:
    running = start("remove", frames, *BOX, "-o", out / "r.mp4")
    running.until(lambda: finished_segments(out / "r.mp4") >= 1)
    shutil.rmtree(frames)
    line = running.wait().check(1)
    assert "cannot be read: No such file" in line
    assert not (out / "r.mp4").exists()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted there")
def test_a_video_that_is_deleted_is_still_read_to_its_end(
    make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_clip(frames=30)

    def delete(done: int, total: int | None) -> None:
        source.unlink(missing_ok=True)

    report = cleanplate.remove(source, tmp_path / "r.mp4", progress=delete, **OPTIONS)
    assert report.frames == 30


@pytest.mark.parametrize("kind", ["video", "images"])
def test_an_input_that_changes_is_refused(
    make_clip: Callable[..., Path], images: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    if kind == "video":
        source = changed = make_clip(frames=20)
    else:
        source = images([f"{k}.png" for k in range(6)], size=(64, 48))
        changed = source / "2.png"

    def change(done: int, total: int | None) -> None:
        with changed.open("ab") as file:
            file.write(b"more")

    with pytest.raises(DecodeError, match="was changed while it was read; run again"):
        cleanplate.remove(source, tmp_path / "r.mp4", journal=False, progress=change, **OPTIONS)
    assert not (tmp_path / "r.mp4").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_hole_that_is_everything_is_refused_before_a_frame_is_read(
    make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*arguments: object, **options: object) -> None:
        raise AssertionError("the video was read")

    monkeypatch.setattr("cleanplate.removal.preparation.open_reader", read)
    source, half = make_clip(frames=3), BoxMask([Box(0, 0, 64, 24)])
    with pytest.raises(MaskError, match="covers every pixel"):
        cleanplate.remove(source, tmp_path / "r.mp4", box="0,0,64,48")
    with pytest.raises(MaskError, match="covers every pixel"):
        cleanplate.remove(source, tmp_path / "r.mp4", masks=half, box="0,24,64,24")
    with pytest.raises(AssertionError, match="was read"):
        cleanplate.remove(source, tmp_path / "r.mp4", masks=half, box="0,24,64,24@0-1")
