"""Training on another machine, rehearsed: pack, unpack, train in two calls, join."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cleanplate.errors import InputError
from cleanplate.network import load
from cleanplate.research import elsewhere


@pytest.fixture
def corpus(make_clip, tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "corpus"
    (folder / "clips").mkdir(parents=True)
    (folder / "images" / "more").mkdir(parents=True)
    for number in range(6):
        clip = make_clip(f"clip_{number}_0.mp4", size=(304, 208), frames=12)
        clip.rename(folder / "clips" / clip.name)
    for number in range(3):
        picture = rng.integers(0, 256, (220, 320, 3), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), picture)
    (folder / "images" / "more" / "note.txt").write_text("of a subfolder")
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_parcels_hold_everything_once_within_the_limit(corpus: Path, tmp_path: Path) -> None:
    parcels = elsewhere.pack(corpus, tmp_path / "parcels", 300_000)
    assert len(parcels) > 1
    names = [name for parcel in parcels for name in contents(parcel)]
    assert len(names) == len(set(names))
    for parcel in parcels:
        assert sum(map(len, contents(parcel).values())) <= 300_000
        elsewhere.unpack(parcel, tmp_path / "work")
    assert contents(tmp_path / "work") == contents(corpus)


@pytest.mark.parametrize(
    ("limit", "fill", "message"),
    [(10_000, "", "raise"), (10**9, "file", "is not empty"), (10**9, "corpus", "no files")],
)
def test_what_cannot_be_packed_is_refused(
    corpus: Path, tmp_path: Path, limit: int, fill: str, message: str
) -> None:
    into = tmp_path / "parcels"
    if fill == "file":
        into.mkdir()
        (into / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match=message):
        elsewhere.pack(tmp_path / "none" if fill == "corpus" else corpus, into, limit)
    assert fill != "file" or contents(into) == {Path("mine.txt"): b"keep"}


def test_pieces_are_joined_and_those_of_a_longer_file_disappear(tmp_path: Path) -> None:
    source, sent = tmp_path / "weights", tmp_path / "sent"
    for content in (bytes(range(250)), b"shorter"):
        source.write_bytes(content)
        pieces = elsewhere.split(source, sent / "run-weights", 100)
        assert sorted(sent.iterdir()) == sorted(pieces)
        assert all(path.stat().st_size <= 100 for path in pieces)
        (joined,) = elsewhere.join(sent, tmp_path / "results")
        assert (joined.name, joined.read_bytes()) == ("run-weights", content)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_incomplete_pieces_are_refused(tmp_path: Path, damage: str) -> None:
    source, sent = tmp_path / "weights", tmp_path / "sent"
    source.write_bytes(bytes(range(250)))
    second = elsewhere.split(source, sent / "run-weights", 100)[1]
    second.unlink() if damage == "missing" else second.write_bytes(bytes(100))
    with pytest.raises(InputError, match="missing or damaged"):
        elsewhere.join(sent, tmp_path / "results")
    assert not list((tmp_path / "results").iterdir())


def test_it_starts_without_libraries_and_ends_with_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", elsewhere.__name__]
    done = subprocess.run([*command, "join", tmp_path, "--into", tmp_path], capture_output=True)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert lines[-1].startswith("error: ")
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert not loaded & {"numpy", "torch", "click", "cv2", "av"}


@pytest.mark.slow
def test_a_run_in_two_calls_comes_back(corpus: Path, tmp_path: Path) -> None:
    work, sent, results = (tmp_path / name for name in ("work", "sent", "results"))
    for parcel in elsewhere.pack(corpus, tmp_path / "parcels", 50_000_000):
        elsewhere.unpack(parcel, work)
    options = "--recipe light-cpu --start default --short-side 192 --carried 0.5"
    options += " --steps 2 --batch 1 --device cpu"
    call = ["train", "tiny", "--minutes", "1e-6", "--work", str(work), "--send", str(sent)]
    call += ["--piece", "1", "--", *options.split()]
    steps = []
    for _ in range(2):
        elsewhere.main(call)
        elsewhere.main(["join", str(sent), "--into", str(results)])
        log = (results / "tiny-log.jsonl").read_bytes().splitlines()
        steps.append(json.loads(log[-1])["step"])
    assert steps == [1, 2]
    for name in ("weights.safetensors", "last.pt"):
        pieces = list(sent.glob(f"tiny-{name}.[0-9]*"))
        assert len(pieces) > 1
        assert all(piece.stat().st_size <= 1_000_000 for piece in pieces)
        assert (results / f"tiny-{name}").read_bytes() == (work / "runs/tiny" / name).read_bytes()
    assert load(results / "tiny-weights.safetensors").config.architecture == "light"
    assert torch.load(results / "tiny-last.pt", weights_only=True)["step"] == 2
