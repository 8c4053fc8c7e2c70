"""Masks on disk: read back as they were, in time with their video, whole or not at all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.errors import EncodeError, MaskError, OutputError
from cleanplate.masks import BoxMask, Mask, TimedBox, open_mask
from cleanplate.masks.files import read_corrections
from cleanplate.masks.writing import check_outputs, draw_overlay, record_masks
from cleanplate.video import VideoInfo, open_reader, probe

UNEVEN = [0, 40, 100, 120, 300, 310, 500]


class MovingBox:
    """A hole that moves one pixel a frame; may fail on one frame."""

    def __init__(self, fails_at: int = -1) -> None:
        self.fails_at = fails_at

    def prepare(self, info: VideoInfo) -> None:
        self.shape = info.size.shape

    def mask(self, index: int, time: Fraction) -> Mask:
        if index == self.fails_at:
            raise MaskError("no more masks")
        hole = np.zeros(self.shape, np.bool_)
        hole[5:20, 3 + index : 15 + index] = True
        return hole

    def close(self) -> None:
        pass


@pytest.fixture
def uneven(make_clip) -> Path:
    """A video of variable rate, shown turned."""
    return make_clip("v.mkv", pts=UNEVEN, time_base=Fraction(1, 1000), rotation=-90, audio=["eng"])


@pytest.mark.parametrize("name", ["masks", "masks.mkv", "masks.mp4", "masks.webm"])
def test_masks_are_read_back_as_they_were(uneven, tmp_path, name):
    source = MovingBox()
    done = record_masks(uneven, source, tmp_path / name)
    assert (done.frames, done.frames_with_hole) == (7, 7)
    assert done.hole_share == pytest.approx(15 * 12 / (64 * 48))
    again = open_mask(tmp_path / name)
    again.prepare(probe(uneven))
    with open_reader(uneven) as reader:
        for picture in reader:
            expected = source.mask(picture.index, picture.time)
            np.testing.assert_array_equal(again.mask(picture.index, picture.time), expected)
    again.close()


def test_a_mask_video_keeps_the_timestamps_and_stands_upright(uneven, tmp_path):
    record_masks(uneven, MovingBox(), tmp_path / "m.mkv")
    info = probe(tmp_path / "m.mkv")
    assert (info.size, info.rotation, info.audio_streams) == (probe(uneven).display_size, 0, 0)
    with open_reader(uneven) as theirs, open_reader(tmp_path / "m.mkv") as ours:
        assert [one.time for one in ours] == [one.time for one in theirs]


def test_a_folder_holds_grey_pictures_of_0_and_255(make_clip, tmp_path):
    record_masks(make_clip(frames=3), MovingBox(), tmp_path / "masks")
    files = sorted((tmp_path / "masks").iterdir())
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png"]
    pixels = cv2.imread(str(files[1]), cv2.IMREAD_UNCHANGED)
    assert pixels.ndim == 2
    assert set(np.unique(pixels)) == {0, 255}


def test_images_give_their_names_to_their_masks(images, tmp_path):
    record_masks(images(size=(64, 48)), MovingBox(), tmp_path / "masks")
    assert {file.name for file in (tmp_path / "masks").iterdir()} == {"1.png", "2.png", "10.png"}


@pytest.mark.parametrize("name", ["p.mp4", "p"])
def test_a_preview_shows_every_frame(uneven, tmp_path, name):
    record_masks(uneven, MovingBox(), tmp_path / "masks", preview=tmp_path / name)
    info = probe(tmp_path / name)
    assert (info.frame_count, info.size) == (7, probe(uneven).display_size)


def test_a_preview_sheet(make_clip, tmp_path):
    record_masks(make_clip(frames=40), MovingBox(), tmp_path / "m", preview=tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (4 * 52 - 4, 4 * 68 - 4, 3)


def test_an_overlay_leaves_the_rest_alone():
    frame = np.full((20, 30, 3), 100, np.uint8)
    mask = np.zeros((20, 30), np.bool_)
    mask[5:10, 5:15] = True
    drawn = draw_overlay(frame, mask)
    assert (drawn[~mask] == 100).all()
    assert (drawn[mask] != 100).any(axis=1).all()


@pytest.mark.parametrize("name", ["masks", "masks.mp4"])
def test_nothing_is_left_of_what_failed(make_clip, tmp_path, name):
    clip, folder = make_clip(), tmp_path / "out"
    folder.mkdir()
    with pytest.raises(MaskError, match="no more masks"):
        record_masks(clip, MovingBox(5), folder / name, preview=folder / "p.mp4")
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_named(make_clip, tmp_path, monkeypatch):
    def fail(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    clip = make_clip()
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(EncodeError, match="No space left"):
        record_masks(clip, MovingBox(), tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


def test_outputs_are_checked_before_the_work(make_clip, tmp_path):
    clip = make_clip()
    (tmp_path / "there.mp4").write_bytes(b"x")
    with pytest.raises(OutputError, match="use `overwrite=True`"):
        check_outputs(clip, tmp_path / "there.mp4", None, overwrite=False)
    check_outputs(clip, tmp_path / "there.mp4", None, overwrite=True)
    with pytest.raises(OutputError, match="unknown suffix"):
        check_outputs(clip, tmp_path / "masks.xyz", overwrite=False)
    with pytest.raises(OutputError, match="is one picture"):
        check_outputs(clip, tmp_path / "masks.png", overwrite=False)
    with pytest.raises(OutputError, match="would replace each other"):
        check_outputs(clip, tmp_path / "a.mp4", tmp_path / "a.mp4", overwrite=True)
    with pytest.raises(OutputError, match="would replace"):
        check_outputs(clip, clip, overwrite=True)
    (tmp_path / "sheet.png").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"sheet\.png' exists; use `overwrite=True`"):
        check_outputs(clip, tmp_path / "m", preview=tmp_path / "sheet.png", overwrite=False)


def test_masks_of_only_some_time(make_clip, tmp_path):
    source = BoxMask([TimedBox.parse("4,4,10,10@0.1-0.2")])
    done = record_masks(make_clip(frames=10), source, tmp_path / "m.mkv")
    assert (done.frames, done.frames_with_hole) == (10, 3)  # 2 is on the screen until 0.12 s


def test_corrections_are_named_by_their_frame(make_clip, images, tmp_path):
    info = probe(make_clip(frames=8))
    record_masks(info.path, MovingBox(), tmp_path / "masks")
    for number in (0, 1, 3, 4, 6, 7):
        (tmp_path / "masks" / f"{number:05d}.png").unlink()
    found = read_corrections(tmp_path / "masks", info)
    assert sorted(found) == [2, 5]
    assert found[5][5:20, 8:20].all()
    (tmp_path / "masks" / "00005.png").rename(tmp_path / "masks" / "00099.png")
    with pytest.raises(MaskError, match=r"00099\.png belongs to no frame"):
        read_corrections(tmp_path / "masks", info)
    with pytest.raises(MaskError, match="corrections: folder"):
        read_corrections(tmp_path / "absent", info)
