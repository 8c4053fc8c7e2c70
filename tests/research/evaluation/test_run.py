"""The whole way: data set in, report out, also when something fails or stops on the way."""

import json
import shutil

import numpy as np
import pytest

from cleanplate.errors import InputError, OutputError
from cleanplate.research.evaluation import run
from cleanplate.research.evaluation.methods import FrameByFrame
from cleanplate.research.evaluation.metric import Features


@pytest.fixture
def evaluate(make_data, tmp_path):
    data = make_data()

    def start(*methods, **options):
        given = {"methods": methods or ("telea", "median"), "device": "cpu"} | options
        return run.evaluate(data, tmp_path / "out", **given)

    return start


@pytest.fixture
def broken(make_data, write, frames, tmp_path):
    """Results of another program: all of `one`, too few of `two`."""
    write(tmp_path / "theirs" / "one", frames)
    write(tmp_path / "theirs" / "two", frames[:2])
    return f"theirs={tmp_path / 'theirs'}"


def read(tmp_path):
    return json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))


def test_every_method_is_measured_on_every_case(evaluate, tmp_path):
    evaluate()
    found = read(tmp_path)
    named = {(row["sequence"], row["mask"], row["method"]) for row in found["rows"]}
    assert len(named) == len(found["rows"]) == 8
    for row in found["rows"]:
        assert row["psnr"] > row["hole_psnr"] > 5
        assert row["protocol"] == "folder-1"
        assert row["code"] == found["code"]
        assert (row["weights"], row["device"]) == ("none", "cpu")
    values = [
        row["psnr"] for row in found["rows"] if (row["mask"], row["method"]) == ("still", "telea")
    ]
    assert found["means"]["still"]["telea"]["psnr"] == pytest.approx(np.mean(values))
    low, high = found["means"]["still"]["telea"]["intervals"]["psnr"]
    assert low <= np.mean(values) <= high


def test_frames_without_a_hole_are_counted_and_said(evaluate, tmp_path):
    evaluate("telea")
    found = read(tmp_path)
    without = {row["mask"]: row["frames_without_hole"] for row in found["rows"]}
    assert without == {"still": 1, "moving": 0}
    assert "one, still: 1 of 5 frames have no hole and are not scored" in found["notes"]


def test_a_method_that_fails_leaves_the_others_alone(evaluate, broken, tmp_path):
    report = evaluate("telea", broken)
    assert {(row["sequence"], row["method"]) for row in report.failures} == {("two", "theirs")}
    found = read(tmp_path)
    assert "but 5 of 80x72 are scored" in found["rows"][-1]["error"]
    mean = found["means"]["still"]["theirs"]
    assert (mean["sequences"], mean["of"]) == (1, 2)
    assert "failed: " in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_a_damaged_sequence_leaves_the_others_alone(evaluate, make_data):
    damaged = make_data() / "one" / "frames" / "00003.png"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    report = evaluate("telea")
    assert {row["sequence"] for row in report.failures} == {"one"}
    assert "00003.png' is cut short" in report.failures[0]["error"]
    assert report.means["still"]["telea"]["sequences"] == 1


def test_what_a_method_is_not_made_for_is_no_failure(evaluate, tmp_path):
    report = evaluate("delogo", only=["one"])
    assert report.failures == ()
    assert "left_out" in next(row for row in report.rows if row["mask"] == "moving")


def test_whatever_a_method_raises_is_caught(evaluate, monkeypatch):
    def fail(self, clip, found):
        raise ZeroDivisionError("not our error")

    monkeypatch.setattr(FrameByFrame, "fill", fail)
    report = evaluate()
    assert [row["error"] for row in report.failures] == ["not our error"] * 4


def test_resuming_measures_only_what_is_missing(evaluate, broken, write, frames, tmp_path):
    evaluate("telea", broken)
    first = read(tmp_path)
    write(tmp_path / "theirs" / "two", frames)
    asked = []
    FrameByFrame_fill = FrameByFrame.fill
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrameByFrame, "fill", lambda *a: (asked.append(a), FrameByFrame_fill(*a))[1])
        report = evaluate("telea", broken, resume=True)
    assert asked == []
    assert report.failures == ()
    second = read(tmp_path)
    kept = [(a, b) for a, b in zip(first["rows"], second["rows"], strict=True) if "error" not in a]
    assert len(kept) == 6
    assert all(a == b for a, b in kept)


def test_an_interrupted_run_goes_on(evaluate, tmp_path):
    def stop(done, total):
        if done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(progress=stop)
    assert not (tmp_path / "out" / "report.json").exists()
    assert len(list((tmp_path / "out" / "results").rglob("*.json"))) == 2
    assert list((tmp_path / "out").rglob("*.part")) == []
    seen = []
    evaluate(resume=True, progress=lambda done, total: seen.append((done, total)))
    assert len(read(tmp_path)["rows"]) == 8
    assert seen[-1] == (40, 40)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_other_settings_are_refused_and_named(evaluate):
    evaluate("telea")
    with pytest.raises(OutputError, match=r"other settings: methods \(methods: .*telea.*median"):
        evaluate("median", resume=True)
    with pytest.raises(OutputError, match="other settings: protocol, cases"):
        evaluate("telea", protocol="objects", only=["one"], resume=True)


def test_a_folder_is_never_overwritten(evaluate, tmp_path):
    evaluate("telea")
    with pytest.raises(OutputError, match="holds an evaluation"):
        evaluate("telea")
    (tmp_path / "out" / "settings.json").unlink()
    with pytest.raises(OutputError, match="holds other files"):
        evaluate("telea")


def test_a_place_that_cannot_be_written_is_said(evaluate, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "out").symlink_to(tmp_path / "file" / "below")
    with pytest.raises(OutputError, match="cannot write"):
        evaluate("telea")


def test_masks_drawn_before_a_run_was_stopped_do_no_harm(evaluate, tmp_path):
    evaluate("telea", protocol="paper", only=["one"])
    drawn = (tmp_path / "out" / "masks" / "SHA256SUMS").read_text()
    for path in (tmp_path / "out").iterdir():
        if path.name != "masks":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    evaluate("telea", protocol="paper", only=["one"])
    assert (tmp_path / "out" / "masks" / "SHA256SUMS").read_text() == drawn


def test_nothing_is_written_when_the_input_is_unusable(evaluate, tmp_path):
    with pytest.raises(InputError):
        evaluate("magic")
    assert not (tmp_path / "out").exists()


def test_without_truth_only_steadiness_is_measured(evaluate, tmp_path):
    evaluate("telea", protocol="objects")
    row = read(tmp_path)["rows"][0]
    assert row["e_warp"] >= 0
    assert "psnr" not in row
    assert not (tmp_path / "out" / "results" / "one" / "still" / "=truth.jpg").exists()


def test_the_papers_protocol_is_scored_in_its_size(evaluate, tmp_path):
    evaluate("telea", protocol="paper", only=["one"])
    rows = read(tmp_path)["rows"]
    assert [row["mask"] for row in rows] == ["stationary", "moving"]
    assert {row["size"] for row in rows} == {"432x240"}


def test_empty_columns_say_why(evaluate, tmp_path):
    evaluate("telea")
    found = read(tmp_path)
    assert found["rows"][0]["vfid"] is None
    assert "I3D" in found["gaps"]["vfid"]
    assert "VFID is empty: " in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


class PooledMean:
    """A metric over all sequences; its features are the mean colours of the first frame."""

    name = "vfid"
    gap = None

    def __init__(self):
        self._kept = None

    def add(self, made, truth, mask):
        if self._kept is None:
            self._kept = Features(made.mean((0, 1))[None], truth.mean((0, 1))[None] + 1.0)

    def result(self):
        return None

    def features(self):
        return self._kept


def test_metrics_over_all_sequences_outlast_a_stop(evaluate, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "make_metrics", lambda *given, **options: [PooledMean()])
    evaluate("telea")
    first = read(tmp_path)
    assert first["rows"][0]["vfid"] is None
    assert first["means"]["still"]["telea"]["vfid"] > 0
    evaluate("telea", resume=True)
    assert read(tmp_path)["means"] == first["means"]
    assert "features" not in first["rows"][0]
