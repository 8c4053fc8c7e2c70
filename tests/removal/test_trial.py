"""Forecasts and trials: what they find, and that a forecast writes nothing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.errors import InputError, OutputError
from cleanplate.masks import BoxMask, TimedBox
from cleanplate.options import RemoveOptions
from cleanplate.removal import forecast, try_removal
from cleanplate.removal.estimate import TUNING, Measured, describe_seconds, estimate_seconds
from cleanplate.removal.preparation import prepare
from cleanplate.removal.survey import Survey, look_through
from cleanplate.video import open_reader

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = {"method": "flow", "threads": 1}
BOXES = ("20,10,8,6", "20,10,24,20@0.8-1.2")
"""A small hole in all frames, and a large one in frames 20 to 29 of 25 a second."""


def pictures(path: Path) -> np.ndarray:
    with open_reader(path) as reader:
        return np.stack([picture.rgb for picture in reader])


def list_files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def make_survey(areas: list[int]) -> Survey:
    return Survey(np.asarray(areas), tuple(Fraction(t, 25) for t in range(len(areas))), (0,))


def test_the_hardest_frames_have_the_largest_holes():
    survey = make_survey([1, 1, 5, 9, 9, 5, 1, 0])
    assert survey.find_hardest(2) == range(3, 5)
    assert survey.find_hardest(99) == range(8)
    assert make_survey([4] * 9).find_hardest(3) == range(3, 6)


def test_typical_frames_have_holes_of_mean_size():
    survey = make_survey([0] * 10 + [2] * 10 + [8] * 10 + [5] * 10)
    assert survey.find_typical(4).start >= 30
    assert make_survey([0, 0, 0, 7, 0, 0]).find_typical(1) == range(3, 4)


def test_seconds_grow_with_frames_and_holes():
    part = Measured(range(10), 12.0, 1)
    same = estimate_seconds(make_survey([100] * 40), part, startup=2.0, plain=0.0)
    assert same == pytest.approx(40)
    larger = estimate_seconds(make_survey([100] * 10 + [100 + TUNING.fixed] * 10), part, 2.0, 0.0)
    assert 20 < larger < 30
    few = estimate_seconds(make_survey([100] * 10 + [0] * 90), part, startup=2.0, plain=0.1)
    assert few == pytest.approx(100 * 0.1 + (10 - 1))
    assert estimate_seconds(make_survey([0] * 50), None, 2.0, 0.1) == pytest.approx(5)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (1.24, "1.2 s"),
        (41.6, "42 s"),
        (200, "3 min 20 s"),
        (59.7, "1 min 0 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_short(seconds, says):
    assert describe_seconds(seconds) == says


def test_a_survey_finds_shots_and_holes(make_clip):
    source = make_clip(frames=30)
    with prepare(source, (), BOXES, RemoveOptions(**PLAIN)) as prepared:
        told: list[tuple[int, int | None]] = []
        survey = look_through(prepared, lambda done, total: told.append((done, total)))
    assert told[-1] == (30, 30)
    assert (survey.frames, survey.frames_with_hole, survey.longest_shot) == (30, 30, 30)
    assert survey.areas[0] == 48
    assert survey.areas[25] == 480
    assert survey.find_hardest(10) == range(20, 30)


def test_a_forecast_says_what_would_be_done_and_writes_nothing(make_clip, tmp_path):
    source = make_clip(frames=60, audio=["deu"])
    before = list_files(tmp_path)
    found = forecast(source, box=BOXES, **PLAIN)
    assert list_files(tmp_path) == before
    assert (found.frames, found.frames_with_hole, found.measured) == (60, 60, TUNING.sample)
    assert (found.size, found.rate, found.codec, found.audio) == ("64x48", "25", "h264", 1)
    assert found.output == str(tmp_path / "source-clean.mp4")
    assert found.duration == pytest.approx(2.4)
    assert found.estimate.seconds > 0
    assert found.estimate.disk > 3 * 64 * 48 * 60
    text = "\n".join(found.summary())
    assert "60 frames of 64x48, 2.4 s, H.264, 1 audio track" in text
    assert found.to_json()["estimate"]["memory"] == found.estimate.memory


def test_a_forecast_without_holes_and_of_a_part(make_clip, tmp_path):
    source = make_clip(frames=60)
    nothing = forecast(source, masks=np.zeros((48, 64), np.bool_), **PLAIN)
    assert (nothing.frames_with_hole, nothing.measured, nothing.hole_share) == (0, 0, 0)
    some = forecast(source, box="20,10,8,6@1-1.2", start=0.8, end=2, **PLAIN)
    assert (some.frames, some.frames_with_hole) == (30, 5)
    assert some.estimate.seconds > 0


def test_a_forecast_refuses_what_a_run_would_refuse(make_clip, tmp_path):
    source = make_clip()
    (tmp_path / "source-clean.mp4").touch()
    with pytest.raises(OutputError, match="exists; use `overwrite=True`"):
        forecast(source, box="20,10,8,6", **PLAIN)
    with pytest.raises(InputError, match="`start` is 9 s"):
        forecast(source, box="20,10,8,6", start=9, **PLAIN)


@pytest.mark.parametrize("given", [{}, {"start": 0.4, "end": 2}])
def test_a_trial_writes_the_hardest_seconds_and_a_picture(make_clip, tmp_path, given):
    source = make_clip(frames=60, options={"qp": "0"})
    tried = try_removal(source, seconds=0.4, box=BOXES, lossless=True, **given, **PLAIN)
    target = tmp_path / "source-try.mp4"
    assert tried.report.output == str(target)
    assert (tried.report.frames, tried.start, tried.end) == (10, 0.8, 1.2)
    alone = tmp_path / "alone.mp4"
    cleanplate.remove(source, alone, box=BOXES, start=0.8, end=1.2, lossless=True, **PLAIN)
    made = pictures(target)
    assert np.array_equal(made, pictures(alone))
    assert tried.picture == str(tmp_path / "source-try.png")
    drawn = cv2.imread(tried.picture)[..., ::-1]
    whole = pictures(source)
    shown = [t for t in range(10) if np.array_equal(drawn[:, :64], whole[20 + t])]
    assert len(shown) == 1
    assert np.array_equal(drawn[:, -64:], made[shown[0]])
    assert tried.forecast.frames == (40 if given else 60)
    assert tried.forecast.estimate.seconds > 0
    assert tried.to_json()["forecast"]["output"] == str(tmp_path / "source-clean.mp4")
    assert {path.name for path in tmp_path.iterdir()} == {
        "source.mp4", "alone.mp4", "source-try.mp4", "source-try.png",
    }  # fmt: skip


def test_a_trial_of_a_folder_is_a_folder(images, tmp_path):
    folder = images([f"{number}.png" for number in range(12)], (40, 32))
    tried = try_removal(folder, tmp_path / "out", seconds=0.25, box="9,9,8,8", **PLAIN)
    assert tried.report.output == str(tmp_path / "out-try")
    assert len(list((tmp_path / "out-try").iterdir())) == 6
    assert (tmp_path / "out-try.png").exists()


def test_masks_of_a_part_serve_for_its_trial(make_clip, images, tmp_path):
    source, part = make_clip(frames=30), {"start": 0.4, "end": 0.8}
    masks = np.zeros((10, 48, 64), np.bool_)
    masks[6:9, 10:20, 20:30] = True
    tried = try_removal(source, seconds=0.12, masks=masks, **part, **PLAIN)
    assert (tried.start, tried.end) == (0.64, 0.76)
    assert tried.report.frames_with_hole == 3


def test_trials_that_cannot_be(make_clip, images, tmp_path):
    source = make_clip()
    with pytest.raises(InputError, match="marks nothing in any frame, so there is nothing to try"):
        try_removal(source, masks=np.zeros((48, 64), np.bool_), **PLAIN)
    photo = images(("photo.png",), (40, 32)) / "photo.png"
    with pytest.raises(InputError, match="is a single picture; remove from it without a trial"):
        try_removal(photo, box="9,9,8,8", **PLAIN)
    with pytest.raises(InputError, match=r"`seconds` must be a number from 0\.1 to 3600, not 0"):
        try_removal(source, seconds=0, box="9,9,8,8", **PLAIN)
    (tmp_path / "source-try.png").touch()
    with pytest.raises(OutputError, match=r"source-try\.png' exists"):
        try_removal(source, box="9,9,8,8", **PLAIN)
    assert not (tmp_path / "source-try.mp4").exists()


def test_a_source_of_masks_serves_twice(make_clip):
    masks = BoxMask([TimedBox.parse(box) for box in BOXES])
    assert forecast(make_clip(frames=30), masks=masks, **PLAIN).frames_with_hole == 30


def test_a_trial_says_what_it_does_not_write(make_clip, tmp_path: Path):
    source = make_clip(frames=6)
    trial = try_removal(
        source,
        tmp_path / "out.mp4",
        box="20,10,8,6",
        seconds=0.1,
        truth_out=tmp_path / "map",
        **PLAIN,
    )
    assert "a trial does not write `truth_out`" in trial.report.notes
    assert not (tmp_path / "map").exists()
