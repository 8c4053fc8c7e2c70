"""Former names of options: they work for one release and name what replaces them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cleanplate
from cleanplate.batch import Ledger
from cleanplate.batch.jobs import Job
from cleanplate.cli import main
from cleanplate.errors import InputError, MaskError
from cleanplate.options import RemoveOptions
from cleanplate.types import Size

OLD_METHOD = "method 'sttn' is now called 'network'"


def clip(frames: int = 2) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.random.default_rng(0).integers(0, 256, (frames, 32, 48, 3), np.uint8)
    holes = np.zeros(pictures.shape[:3], bool)
    holes[:, 8:16, 8:16] = True
    return pictures, holes


def test_the_old_method_gives_the_new_one_and_a_warning_at_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match=OLD_METHOD) as found:
        options = RemoveOptions(method="sttn")
    assert (options.method, found[0].filename) == ("network", __file__)
    assert options == RemoveOptions(method="network")


def test_inpaint_and_the_engine_take_the_old_method() -> None:
    frames, masks = clip()
    with pytest.warns(DeprecationWarning, match=OLD_METHOD) as found:
        old = cleanplate.inpaint(frames, masks, method="sttn", device="cpu")
    assert [one.filename for one in found] == [__file__]
    np.testing.assert_array_equal(
        old, cleanplate.inpaint(frames, masks, method="network", device="cpu")
    )
    with (
        pytest.warns(DeprecationWarning, match=OLD_METHOD),
        pytest.raises(cleanplate.CleanplateError, match="`method='network'` needs a network"),
    ):
        cleanplate.Engine(Size(48, 32), method="sttn")


def test_jobs_with_the_old_method_are_those_with_the_new() -> None:
    fields = {"input": "a.mp4", "output": "b.mp4", "box": ["1,1,9,9"]}
    old, new = (Job.from_fields({**fields, "method": name}) for name in ("sttn", "network"))
    assert old == new
    assert old.settings().method == "network"


@pytest.mark.parametrize("name", ["sttn", "network"])
def test_the_command_line_takes_the_old_method_with_a_note(
    make_clip, tmp_path, capsys, name: str
) -> None:
    source = make_clip(frames=3)
    line = [str(source), "-o", str(tmp_path / "out.mp4"), "--box", "5,5,9,9", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["remove", *line, "--method", name, "--device", "cpu"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert json.loads(said.out)["method"] == "network"
    assert said.err.count(OLD_METHOD) == (name == "sttn")


@pytest.mark.parametrize("name", ["--box", "--track"])
def test_mask_track_takes_its_box_by_the_old_name_with_a_note(
    make_clip, tmp_path, capsys, name: str
) -> None:
    line = ["mask", "track", str(make_clip(frames=3)), "-o", str(tmp_path / "masks"), "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*line, name, "10,10,20,16"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert json.loads(said.out)["frames"] == 3
    assert ("--box is now called --track" in said.err) == (name == "--box")
    with pytest.raises(SystemExit):
        main(["mask", "track", "--help"])
    assert "--box" not in capsys.readouterr().out


@pytest.mark.parametrize("place", ["text.find_text", "logo.find_logos"])
def test_masks_grow_by_the_old_name_with_a_note(
    make_clip, tmp_path, capsys, monkeypatch, place: str
) -> None:
    grown = []

    def find(*arguments: object, dilate: int, **more: object) -> None:
        grown.append(dilate)
        raise MaskError("nothing there")

    monkeypatch.setattr(f"cleanplate.masks.{place}", find)
    line = [
        "mask",
        place.partition(".")[0],
        str(make_clip(frames=2)),
        "-o",
        str(tmp_path / "masks"),
    ]
    said = []
    for name in ([], ["--grow", "3"], ["--dilate", "3"]):
        with pytest.raises(SystemExit):
            main([*line, *name])
        said.append("--grow is now called --dilate" in capsys.readouterr().err)
    assert grown == [0, 3, 3]
    assert said == [False, True, False]


def test_batch_takes_its_options_by_their_old_names_with_a_note(
    make_clip, tmp_path, capsys, monkeypatch
) -> None:
    seen = []

    def run(plan: object, workers: object, ledger: Ledger, *, split: int, **more: object) -> list:
        seen.append((ledger.path, split))
        return []

    monkeypatch.setattr("cleanplate.batch.run_batch", run)
    line = [
        "batch",
        str(make_clip(frames=2)),
        "-o",
        str(tmp_path / "{stem}.mkv"),
        "--box",
        "1,1,9,9",
    ]
    notes = str(tmp_path / "notes")
    for split, ledger in (("--split", "--journal"), ("--part-frames", "--ledger")):
        with pytest.raises(SystemExit) as ended:
            main([*line, split, "40", ledger, notes])
        said = capsys.readouterr().err
        assert ended.value.code == 0, said
        assert ("--split is now called --part-frames" in said) == (split == "--split")
        assert ("--journal is now called --ledger" in said) == (split == "--split")
    assert seen == [(Path(notes), 40)] * 2


def test_remove_takes_masks_by_the_old_name(make_clip, tmp_path) -> None:
    source, hole = make_clip(frames=2), np.zeros((48, 64), bool)
    hole[8:16, 8:16] = True
    with pytest.warns(DeprecationWarning, match="`mask` is now called `masks`") as found:
        cleanplate.remove(source, tmp_path / "old.mkv", mask=hole, lossless=True)
    assert found[0].filename == __file__
    cleanplate.remove(source, tmp_path / "new.mkv", masks=hole, lossless=True)
    assert (tmp_path / "old.mkv").read_bytes() == (tmp_path / "new.mkv").read_bytes()


def test_masks_by_both_names_are_refused(make_clip, tmp_path) -> None:
    hole = np.ones((48, 64), bool)
    with (
        pytest.warns(DeprecationWarning, match="`mask`"),
        pytest.raises(InputError, match="give `masks` or its former name `mask`, not both"),
    ):
        cleanplate.remove(make_clip(frames=2), tmp_path / "o.mkv", masks=hole, mask=hole)
    assert not (tmp_path / "o.mkv").exists()
