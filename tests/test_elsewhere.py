"""A whole rehearsal of training on a lent machine: pack, unpack, train in two parts, join."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cleanplate.network import load

from .conftest import Clip, write_clip

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("clips", "images"):
        (tmp_path / "corpus" / folder).mkdir(parents=True)
    for number in range(6):
        clip = Clip(size=(304, 208), frames=12)
        write_clip(tmp_path / "corpus" / "clips" / f"clip_{number}_0.mp4", clip)
    for number in range(3):
        picture = rng.integers(0, 256, (220, 320, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "corpus" / "images" / f"{number}.png"), picture)
    return tmp_path / "corpus"


def pack(corpus: Path, into: Path, limit: float) -> list[Path]:
    command = [sys.executable, SCRIPTS / "pack_corpus.py", corpus, "--into", into]
    subprocess.run([*command, "--limit", str(limit)], check=True, capture_output=True)
    return sorted(into.glob(".carry*"))


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_packed_folders_hold_everything_once_within_the_limit(corpus: Path, tmp_path: Path) -> None:
    folders = pack(corpus, tmp_path, 0.3)
    assert len(folders) > 1
    packed: dict[Path, bytes] = {}
    for folder in folders:
        part = contents(folder)
        assert sum(map(len, part.values())) <= 300_000
        assert not packed.keys() & part.keys()
        packed |= part
    assert packed == contents(corpus)


def test_a_file_larger_than_the_limit_is_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        pack(corpus, tmp_path, 0.01)
    assert b"raise --limit" in caught.value.stderr


@pytest.mark.slow
def test_a_run_in_two_parts_comes_back(corpus: Path, tmp_path: Path) -> None:
    surroundings = {**os.environ, "WORK": str(tmp_path / "work"), "PIECE": "1M"}
    surroundings |= {"OUT": str(tmp_path / "out"), "PYTHON": sys.executable}

    def call(*arguments: object) -> None:
        command = [SCRIPTS / "elsewhere.sh", *map(str, arguments)]
        subprocess.run(command, check=True, env=surroundings, capture_output=True)

    for folder in pack(corpus, tmp_path, 50):
        call("unpack", folder)
    options = ["--recipe", "light-cpu", "--start", "default", "--short-side", 192, "--carried", 0.5]
    options += ["--steps", 2, "--batch", 1, "--device", "cpu"]
    steps = []
    for _ in range(2):
        call("train", "tiny", 1e-6, *options)
        pieces = sorted((tmp_path / "out").glob("tiny-log.jsonl.*"))
        log = b"".join(piece.read_bytes() for piece in pieces).splitlines()
        steps.append(json.loads(log[-1])["step"])
    assert steps == [1, 2]
    for name in ("weights.safetensors", "last.pt"):
        pieces = sorted((tmp_path / "out").glob(f"tiny-{name}.*"))
        assert len(pieces) > 1
        joined = b"".join(piece.read_bytes() for piece in pieces)
        assert joined == (tmp_path / "work" / "runs" / "tiny" / name).read_bytes()
        (tmp_path / name).write_bytes(joined)
    assert load(tmp_path / "weights.safetensors").config.architecture == "light"
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2
