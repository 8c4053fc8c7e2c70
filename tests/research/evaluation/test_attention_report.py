"""From a video to a folder of maps: the right frames go in, and everything comes out or nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from cleanplate.errors import EncodeError, InputError, MaskError, OutputError
from cleanplate.masks import BoxMask
from cleanplate.network.light import LightNetwork
from cleanplate.removal.networks import SPREAD
from cleanplate.removal.windows import WindowFiller
from cleanplate.research.evaluation import attention_report
from cleanplate.research.evaluation.attention import (
    AttentionMap,
    Observation,
    Surroundings,
    choose_spread,
    find_frame,
    read_surroundings,
)
from cleanplate.research.evaluation.attention_report import AttentionReport
from cleanplate.types import Box
from cleanplate.video import probe
from cleanplate.video.images import write_png


@pytest.fixture
def filler():
    return WindowFiller(LightNetwork())


def read(path, frame, filler, **options):
    info = probe(path)
    masks = BoxMask([Box(10, 8, 20, 16)])
    masks.prepare(info)
    return read_surroundings(info, masks, frame, filler, **options)


def film(folder, count, cut=None):
    """A still picture as a folder of `count` images; another picture from frame `cut` on."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), np.uint8)
    pictures = [cv2.resize(one, (64, 48), interpolation=cv2.INTER_NEAREST) for one in noise]
    for index in range(count):
        write_png(folder / f"{index:03d}.png", pictures[cut is not None and index >= cut])
    return folder


def test_neighbours_and_distant_references_are_read(tmp_path, filler):
    around = read(film(tmp_path / "v", 70), 34, filler)
    assert around.numbers == (4, 14, 24, *range(29, 40), 44, 54, 64)
    assert around.numbers[around.at] == 34
    assert around.frames.shape == (len(around.numbers), 48, 64, 3)


def test_references_are_those_of_the_pipeline(tmp_path, filler):
    spread = choose_spread(LightNetwork())
    assert spread == SPREAD
    around = read(film(tmp_path / "v", 30), 5, filler, spread=spread)
    assert around.numbers == (*range(11), *(5 + way for way in SPREAD if way < 25))


def test_nothing_is_read_across_a_cut(tmp_path, filler):
    around = read(film(tmp_path / "v", 30, cut=16), 14, filler)
    assert around.numbers == (4, *range(9, 16))


def test_holes_grow(tmp_path, filler):
    folder = film(tmp_path / "v", 3)
    assert read(folder, 1, filler).masks[0].sum() == 20 * 16
    assert read(folder, 1, filler, dilate=2).masks[0].sum() > 20 * 16


def test_reading_reports_progress(tmp_path, filler):
    seen = []
    read(
        film(tmp_path / "v", 9), 2, filler, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(k, 9) for k in range(1, 10)]


def test_a_frame_beyond_the_end_is_refused(tmp_path, filler):
    with pytest.raises(InputError, match=r"has no frame 9; the last one is 2"):
        read(film(tmp_path / "v", 3), 9, filler)


def test_a_frame_without_a_hole_is_refused(tmp_path, filler):
    from cleanplate.masks import TimedBox

    info = probe(film(tmp_path / "v", 30))
    masks = BoxMask([TimedBox.parse("10,8,20,16@0-0.5")])
    masks.prepare(info)
    with pytest.raises(MaskError, match="marks nothing in frame 25"):
        read_surroundings(info, masks, 25, filler)


def test_a_time_names_the_frame_on_the_screen(make_clip):
    info = probe(make_clip(time_base=Fraction(1, 100), pts=[0, 10, 50, 55], rate=Fraction(25)))
    found = [find_frame(info, Fraction(at, 100)) for at in (0, 9, 10, 49, 50, 57)]
    assert found == [0, 0, 1, 1, 2, 3]
    with pytest.raises(InputError, match="ends before 90 s"):
        find_frame(info, Fraction(90))


@pytest.fixture
def report(make_clip):
    info = replace(probe(make_clip(size=(64, 48), frames=3)), rotation=90)
    frames = np.full((3, 48, 64, 3), 90, np.uint8)
    masks = np.zeros((3, 48, 64), np.bool_)
    masks[1, 20:30, 20:40] = True
    weights = np.zeros((3, 3, 4), np.float32)
    weights[2, 0, 0], weights[0, 2, 3] = 0.75, 0.25
    one = AttentionMap("block 1", "4x4", weights, (48, 64))
    other = AttentionMap("block 2", "4x4", weights[::-1], (48, 64))
    around = Surroundings((0, 5, 9), frames, masks, 1, Box(0, 0, 64, 48))
    return AttentionReport(info, "default", around, Observation(frames[1], (one, other)))


def test_everything_is_written(report, tmp_path):
    report.write(tmp_path / "out")
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    pictures = {"sheet.png", "filled.png", "maps/block-1-4x4.png", "maps/block-2-4x4.png"}
    assert files == pictures | {"attention.json", "attention.npz", "attention.mp4"}
    numbers = json.loads((tmp_path / "out" / "attention.json").read_text())
    assert numbers["frame"] == 5
    assert numbers["frames"] == [0, 5, 9]
    assert [each["shares"] for each in numbers["maps"]] == [[0.25, 0, 0.75], [0.75, 0, 0.25]]
    with np.load(tmp_path / "out" / "attention.npz") as arrays:
        assert (arrays["block-1-4x4"] == report.seen.maps[0].weights).all()
    with av.open(str(tmp_path / "out" / "attention.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_pictures_stand_as_people_see_the_video_and_shine_where_the_map_is(report, tmp_path):
    report.write(tmp_path / "out")
    assert cv2.imread(str(tmp_path / "out" / "filled.png")).shape == (64, 48, 3)
    drawn = cv2.imread(str(tmp_path / "out" / "maps" / "block-1-4x4.png")).max(-1)
    tile_height, tile_width = 240, 180
    assert drawn.shape == (tile_height + 16 + 8, 3 * (tile_width + 4) + 4)
    tiles = [drawn[4 : 4 + tile_height, 4 + 184 * k : 184 + 184 * k] for k in range(3)]
    # Turned by 90 degrees clockwise, the upper left corner of a frame is at the upper right.
    corner = np.s_[5:50, -50:-5]
    assert tiles[2][corner].mean() > 1.5 * tiles[2].mean()
    assert tiles[0][corner].mean() < 100


def test_the_summary_names_the_frames_that_were_looked_at(report):
    first, second = report.summary()
    assert first.split() == [
        "block",
        "1",
        "4x4",
        "frames",
        "9",
        "(75%),",
        "0",
        "(25%),",
        "5",
        "(0%)",
    ]
    assert "frames 0 (75%)" in second


def test_a_folder_with_something_in_it_is_left_alone(report, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        report.write(tmp_path / "out")
    with pytest.raises(OutputError, match="without a dot"):
        report.write(tmp_path / "out.png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_nothing_stays_when_the_disk_is_full(report, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(attention_report.np, "savez_compressed", fail)
    before = set(tmp_path.iterdir())
    with pytest.raises(EncodeError, match="No space left"):
        report.write(tmp_path / "out")
    assert set(tmp_path.iterdir()) == before
