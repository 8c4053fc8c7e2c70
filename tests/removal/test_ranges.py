"""Removal from START to END: the same as from a clip that was cut there before."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.errors import InputError, MaskError
from cleanplate.masks import BoxMask
from cleanplate.options import RemoveOptions
from cleanplate.removal import check_removal, fill_part
from cleanplate.removal.engine import Span
from cleanplate.video import open_reader

pytestmark = pytest.mark.usefixtures("one_thread")

RANGE = {"start": 0.5, "end": 1.0}
FRAMES = range(12, 24)
PLAIN = {"method": "flow", "threads": 1}


@pytest.fixture
def clip(pan, images, tmp_path: Path) -> Path:
    """A folder of 40 images at 24 per second: the camera pans over a texture."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, frame in enumerate(pan(40, (72, 48), (2, 0))):
        cv2.imwrite(str(folder / f"{number:03d}.png"), frame[..., ::-1])
    return folder


def shorten(folder: Path, name: str) -> Path:
    """A folder of the images in the range."""
    target = folder.with_name(name)
    target.mkdir()
    for number in FRAMES:
        (target / f"{number:03d}.png").write_bytes((folder / f"{number:03d}.png").read_bytes())
    return target


def read_all(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: cv2.imread(str(path)) for path in sorted(folder.glob("*.png"))}


def assert_equal(one: Path, other: Path) -> None:
    first, second = read_all(one), read_all(other)
    assert first.keys() == second.keys()
    assert len(first) == len(FRAMES)
    for name, picture in first.items():
        assert np.array_equal(picture, second[name])


def write_masks(folder: Path, count: int) -> Path:
    """A mask for each frame, a box that moves down."""
    folder.mkdir()
    for number in range(count):
        mask = np.zeros((48, 72), np.uint8)
        mask[number % 30 : number % 30 + 12, 30:44] = 255
        cv2.imwrite(str(folder / f"{number:03d}.png"), mask)
    return folder


def test_boxes_keep_the_times_of_the_source(clip, tmp_path):
    cut = shorten(clip, "cut")
    cleanplate.remove(clip, tmp_path / "a", box="20,10,16,12@0.7-0.9", **RANGE, **PLAIN)
    # 0.7-0.9 s of the source, frames 16 to 21, is 0.2-0.4 s of the excerpt.
    cleanplate.remove(cut, tmp_path / "b", box="20,10,16,12@0.2-0.4", **PLAIN)
    assert_equal(tmp_path / "a", tmp_path / "b")
    with pytest.raises(MaskError, match=r"starts at 2 s but the video ends at 1\.67 s"):
        cleanplate.remove(clip, tmp_path / "c", box="20,10,16,12@2-3", **RANGE, **PLAIN)


def test_masks_are_matched_by_the_frames_of_the_source(clip, tmp_path):
    masks = write_masks(tmp_path / "masks", 40)
    cut, few = shorten(clip, "cut"), shorten(masks, "few")
    cleanplate.remove(clip, tmp_path / "a", masks=masks, **RANGE, **PLAIN)
    cleanplate.remove(cut, tmp_path / "b", masks=few, **PLAIN)
    assert_equal(tmp_path / "a", tmp_path / "b")
    # As many masks as the range has frames belong to it: those that `mask_out` wrote, for example.
    report = cleanplate.remove(
        clip, tmp_path / "c", masks=few, mask_out=tmp_path / "used", **RANGE, **PLAIN
    )
    assert_equal(tmp_path / "a", tmp_path / "c")
    assert_equal(tmp_path / "used", few)
    assert report.origin["options"]["frames"] == "12-23"
    wrong = write_masks(tmp_path / "wrong", 13)
    with pytest.raises(MaskError, match="holds 13 masks but the video has 40 frames"):
        cleanplate.remove(clip, tmp_path / "d", masks=wrong, **RANGE, **PLAIN)


def test_mask_videos_and_arrays_are_matched_likewise(clip, tmp_path):
    masks = write_masks(tmp_path / "masks", 40)
    array = np.stack([one[..., 0] > 0 for one in read_all(masks).values()])
    film = tmp_path / "masks.mkv"
    cleanplate.remove(clip, tmp_path / "whole", masks=array, mask_out=film, **PLAIN)
    for name, given in (("a", masks), ("b", array), ("c", film), ("d", array[12:24])):
        cleanplate.remove(clip, tmp_path / name, masks=given, **RANGE, **PLAIN)
        assert_equal(tmp_path / "a", tmp_path / name)
    inverted = cleanplate.masks.Inverted(cleanplate.masks.ArrayMask(~array))
    cleanplate.remove(clip, tmp_path / "e", masks=inverted, **RANGE, **PLAIN)
    assert_equal(tmp_path / "a", tmp_path / "e")


def test_times_may_be_texts_and_all_of_a_clip_is_no_range(clip, tmp_path):
    box = {"box": "20,10,16,12", **PLAIN}
    cleanplate.remove(clip, tmp_path / "a", **RANGE, **box)
    cleanplate.remove(clip, tmp_path / "b", start="0:00.5", end="0:01", **box)
    assert_equal(tmp_path / "a", tmp_path / "b")
    report = cleanplate.remove(clip, tmp_path / "c", start=0, end="0:59", **box)
    assert report.frames == 40
    assert "frames" not in report.origin["options"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"start": 3}, r"`start` is 3 s, but 'clip' ends at 1\.67 s; name an earlier time"),
        ({"start": 1, "end": 0.5}, r"`end` \(0\.5 s\) must be later than `start` \(1 s\)"),
        ({"end": 0}, r"`end` \(0 s\) must be later than `start` \(0 s\)"),
        ({"start": "soon"}, "`start` 'soon' is no time; write seconds, MM:SS or HH:MM:SS"),
        ({"end": -1}, "`end` must be a number from 0 to 1e.10, not -1"),
    ],
)
def test_ranges_that_hold_no_frame_are_refused(clip, tmp_path, given, says):
    with pytest.raises(InputError, match=says):
        cleanplate.remove(clip, tmp_path / "out", box="20,10,16,12", **given, **PLAIN)
    assert not (tmp_path / "out").exists()


def test_parts_and_resumed_runs_belong_to_their_range(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(4, 2)))
    masks, box = BoxMask([cleanplate.types.Box(20, 10, 16, 12)]), "20,10,16,12"
    options = RemoveOptions(**RANGE, **PLAIN)
    assert check_removal(clip, masks, options).frame_count == len(FRAMES)
    told: list[tuple[int, int | None]] = []
    fill_part(
        clip, tmp_path / "part", range(12), options, box=box,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told[-1][1] == len(FRAMES)
    parts = [tmp_path / "part"]
    cleanplate.remove(clip, tmp_path / "a", box=box, options=options, parts=parts)
    cleanplate.remove(clip, tmp_path / "b", box=box, options=options)
    assert_equal(tmp_path / "a", tmp_path / "b")
    assert json.loads((tmp_path / "part" / "job.json").read_text())["frames"] == "12-23"


def test_clean_frames_and_plates_keep_the_numbers_of_the_source(clip, tmp_path):
    box = {"box": "20,10,16,12", **PLAIN}
    frame = cv2.imread(str(clip / "014.png"))
    frame[10:22, 20:36] = (255, 0, 255)
    cv2.imwrite(str(tmp_path / "clean.png"), frame)
    by_number = cleanplate.remove(
        clip, tmp_path / "a", clean={14: tmp_path / "clean.png"}, **RANGE, **box
    )
    assert by_number.filled_from["painted"] > 0.05
    assert (read_all(tmp_path / "a")["014.png"][14:18, 24:32] == (255, 0, 255)).all()
    by_time = {"clean": [f"0:00.59={tmp_path / 'clean.png'}"]}
    cleanplate.remove(clip, tmp_path / "b", **by_time, **RANGE, **box)
    assert_equal(tmp_path / "a", tmp_path / "b")
    outside = cleanplate.remove(
        clip, tmp_path / "c", clean={30: tmp_path / "clean.png"}, **RANGE, **box
    )
    assert any(
        note.startswith("frame 30 is not between `start` and `end`") for note in outside.notes
    )

    cleanplate.remove(clip, tmp_path / "d", plates_out=tmp_path / "plates", **RANGE, **box)
    album = json.loads((tmp_path / "plates" / "plates.json").read_text())
    (shot,) = album["shots"]
    assert (shot["first"], shot["last"], album["source"]["frames"]) == (12, 23, 40)
    plate = shot["plates"][0]
    assert plate["frame"] in FRAMES
    assert plate["time"] == pytest.approx(plate["frame"] / 24)
    path = tmp_path / "plates" / plate["picture"]
    picture = cv2.imread(str(path))
    picture[10:22, 20:36] = (255, 0, 255)
    cv2.imwrite(str(path), picture)
    # What was painted for a part serves the same frames of the whole.
    for name, given in (("e", RANGE), ("f", {})):
        report = cleanplate.remove(
            clip, tmp_path / name, plates=tmp_path / "plates", **given, **box
        )
        assert report.filled_from["painted"] > 0.02
        middle = read_all(tmp_path / name)[f"{plate['frame']:03d}.png"][14:18, 24:32]
        assert np.abs(middle.astype(int) - (255, 0, 255)).max() <= 2


def test_a_video_keeps_sound_of_the_range_only(make_clip, packets, tmp_path):
    source = make_clip("a.mp4", frames=50, audio=["deu"])
    target = tmp_path / "b.mp4"
    report = cleanplate.remove(source, target, box="20,12,20,16", start=1, end=1.4, **PLAIN)
    assert report.frames == 10
    with open_reader(target) as reader:
        assert [float(picture.time) for picture in reader] == pytest.approx(
            [number / 25 for number in range(10)]
        )
    assert 18 <= len(packets(target, "audio")[0]) <= 20


def test_notes_name_times_of_the_source(clip: Path, tmp_path: Path) -> None:
    for path in clip.iterdir():
        cv2.imwrite(str(path), cv2.imread(str(sorted(clip.iterdir())[0])))
    report = cleanplate.remove(clip, tmp_path / "out", box="20,12,16,14", **RANGE, **PLAIN)
    assert any("most of the hole at 0.50-1.00 s" in note for note in report.notes)
