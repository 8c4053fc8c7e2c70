"""`cleanplate train` as people meet it when something is wrong with their data or disk."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from .conftest import Outcome

Run = Callable[..., Outcome]


def write_clip(folder: Path, count: int = 7, size: tuple[int, int] = (150, 210)) -> Path:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    still = cv2.resize(noise, size[::-1])
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.jpg"), np.roll(still, index, 1))
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clips" / "one")
    write_clip(tmp_path / "clips" / "two")
    return tmp_path / "clips"


@pytest.fixture
def check(run: Run, tmp_path: Path) -> Run:
    def check(*options: object) -> Outcome:
        outcome = run("train", tmp_path / "run", "--recipe", "light-cpu", "--check-data", *options)
        assert not (tmp_path / "run").exists()
        return outcome

    return check


def test_every_problem_is_listed_with_its_file(check: Run, clips: Path) -> None:
    write_clip(clips / "short", 2)
    write_clip(clips / "small", size=(20, 30))
    write_clip(clips / "broken").joinpath("3.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(write_clip(clips / "mixed") / "4.jpg"), np.zeros((60, 90, 3), np.uint8))
    (clips / "bad.mp4").write_bytes(b"no video")
    (clips / "worse.zip").write_bytes(b"PK")
    (clips / "sounds").mkdir()
    (clips / "sounds" / "song.mp3").write_bytes(b"ID3")
    (clips / "nested" / "inner").mkdir(parents=True)
    outcome = check("--clips", clips)
    assert outcome.code == 2
    lines = dict(line.split(": ", 1) for line in outcome.out.splitlines())
    assert lines.keys() == {
        *("short", "small", "broken", "mixed", "bad", "worse", "sounds", "nested"),
    }
    assert "3.jpg" in lines["broken"]
    assert "frame 5 is 90x60 and the first 210x150" in lines["mixed"]
    assert "holds no images" in lines["sounds"]
    assert outcome.err == "cleanplate: 8 problems in the data; see the list above\n"


def test_clips_and_photographs_are_both_looked_at(check: Run, tmp_path: Path) -> None:
    pictures = write_clip(tmp_path / "pictures", 3)
    (pictures / "1.jpg").write_bytes(b"")
    outcome = check("--clips", tmp_path / "gone", "--photographs", pictures)
    assert outcome.code == 2
    first, second = outcome.out.splitlines()
    assert "gone is not there; give the data set's root" in first
    assert "1.jpg" in second


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent", None, "no split 'absent'; expected absent.json or absent.txt"),
        ("train", "one\nthree\nfour\n", "not in the data set: three, four; correct the split"),
        ("train", "", "the split is empty"),
    ],
)
def test_wrong_splits(
    check: Run, clips: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (clips / f"{name}.txt").write_text(content)
    outcome = check("--clips", clips, "--split", name)
    assert outcome.code == 2
    assert message in outcome.out


def test_released_zips_with_their_split(check: Run, clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "released" / "JPEGImages"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "one.zip", "w") as archive:
        for path in sorted((clips / "one").iterdir()):
            archive.write(path, f"0000{path.name}")
    (folder.parent / "train.json").write_text(json.dumps({"one": 7}))
    outcome = check("--clips", folder.parent, "--split", "train")
    assert (outcome.code, outcome.out) == (0, "the data is good\n")


@pytest.mark.parametrize("what", ["nothing", "file", "frames"])
def test_folders_that_are_no_data_set(check: Run, clips: Path, tmp_path: Path, what: str) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").write_text("")
    root = {"frames": clips / "one"}.get(what, tmp_path / what)
    expected = {
        "nothing": "neither videos nor folders or zips",
        "file": "is a file",
        "frames": "give the folder above",
    }
    outcome = check("--clips", root)
    assert outcome.code == 2
    assert expected[what] in outcome.out


@pytest.fixture
def train(run: Run, clips: Path) -> Run:
    def train(folder: Path, *options: object) -> Outcome:
        options = ("--recipe", "light-cpu", "--steps", 1, "--batch", 1, *options)
        return run("train", folder, "--clips", clips, "--device", "cpu", *options)

    return train


def test_a_run_folder_that_is_a_file(train: Run, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    outcome = train(tmp_path / "run")
    assert outcome.code == 2
    assert "run: cannot be the run's folder" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_full_disk_is_said_before_training(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    outcome = train(tmp_path / "run")
    assert outcome.code == 2
    assert "a checkpoint takes" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_checkpoint_of_another_recipe(train: Run, tmp_path: Path) -> None:
    import torch

    (tmp_path / "run").mkdir()
    torch.save({"config": {"architecture": "sttn"}}, tmp_path / "run" / "last.pt")
    outcome = train(tmp_path / "run")
    assert outcome.code == 2
    assert "last.pt: the checkpoint is of another network" in outcome.err
    assert outcome.err.count("\n") == 1


def test_bad_clips_are_named_and_left_out(
    train: Run, clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_clip(clips / "broken").joinpath("3.jpg").write_bytes(b"no picture")
    write_clip(clips / "short", 2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pt").write_bytes(b"stops the run after its data were read")
    assert "last.pt is damaged, cut short or no checkpoint" in train(tmp_path / "run").err
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 2
    assert "broken/3.jpg" in told[0]
    assert told[1] == "left out: short has 2 frames, training takes 5"


def test_no_clip_long_enough(run: Run, tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "short", 3)
    options = ("--clips", tmp_path / "clips", "--recipe", "light-cpu", "--steps", 1)
    outcome = run("train", tmp_path / "run", *options)
    assert outcome.code == 2
    assert "no clip has the 5 frames" in outcome.err


def test_neither_data_nor_first_weights_are_replaced(run: Run, clips: Path, tmp_path: Path) -> None:
    command = ("train", tmp_path / "run", "--recipe", "light-cpu", "--clips", clips)
    start = tmp_path / "run" / "weights.safetensors"
    start.parent.mkdir()
    start.write_bytes(b"precious")
    outcome = run(*command, "--start", start, "--steps", 1)
    assert (outcome.code, f"would replace '{start}'" in outcome.err) == (2, True), outcome.err
    photographs = write_clip(tmp_path / "photographs")
    outcome = run(*command, "--photographs", photographs, "--preview", photographs / "p.png")
    assert (outcome.code, "would become one of the images" in outcome.err) == (2, True)
    (tmp_path / "p.png").write_bytes(b"precious")
    outcome = run(*command, "--preview", tmp_path / "p.png")
    assert (outcome.code, "exists" in outcome.err) == (2, True)
    assert (start.read_bytes(), (tmp_path / "p.png").read_bytes()) == (b"precious", b"precious")
