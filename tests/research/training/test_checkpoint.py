from __future__ import annotations

import os
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cleanplate.errors import CleanplateError, InputError, OutputError
from cleanplate.network.light import LightConfig
from cleanplate.research.training import Adversary, Recipe, main, setup
from cleanplate.research.training.config import make_folder
from cleanplate.research.training.feed import Data

from .toy import draw, draw_still

CPU = torch.device("cpu")
DATA = Data(draw, draw_still)
Usage = namedtuple("Usage", "total used free")


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(recipe, tmp_path, DATA, CPU)
    good = (tmp_path / "last.pt").read_bytes()

    def fill_up(state: object, file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_up)
    with pytest.raises(CleanplateError, match=r"last\.pt: .*No space left.*free disk space"):
        main(replace(recipe, steps=8), tmp_path, DATA, CPU)
    assert (tmp_path / "last.pt").read_bytes() == good
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.undo()
    assert setup(recipe, tmp_path, DATA, CPU).step == 6


def test_a_disk_too_full_is_said_at_the_start(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(100, 100, 0))
    with pytest.raises(OutputError, match=r"a checkpoint takes .* are free; free disk space"):
        setup(recipe, tmp_path / "run", DATA, CPU)


def test_the_space_asked_for_is_what_a_checkpoint_takes(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        "cleanplate.research.training.loop.make_folder",
        lambda folder, needed: (asked.append(needed), make_folder(folder, needed)),
    )
    main(replace(recipe, adversary=Adversary(width=8)), tmp_path, DATA, CPU)
    written = sum((tmp_path / name).stat().st_size for name in ("last.pt", "weights.safetensors"))
    assert asked[0] == pytest.approx(written, rel=0.35)


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be the run's folder"):
        make_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be the run's folder"):
        make_folder(tmp_path / "file" / "inner")

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        make_folder(tmp_path)


def test_a_checkpoint_of_another_network_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    main(replace(recipe, steps=1), tmp_path, DATA, CPU)
    other = replace(recipe, network=LightConfig(matching=4, widths=(8, 12, 16), heads=2))
    with pytest.raises(InputError, match=r"another network \(matching, blocks differ\)"):
        setup(other, tmp_path, DATA, CPU)


def test_a_checkpoint_with_another_discriminator_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    main(replace(recipe, steps=1, adversary=Adversary(width=2)), tmp_path, DATA, CPU)
    with pytest.raises(InputError, match=r"last\.pt: the checkpoint does not fit the recipe"):
        setup(replace(recipe, adversary=Adversary(width=4)), tmp_path, DATA, CPU)


@pytest.mark.parametrize("content", ["bytes", "cut", "tensor", "dict", "list"])
def test_what_is_no_checkpoint_is_refused(recipe: Recipe, tmp_path: Path, content: str) -> None:
    path = tmp_path / "last.pt"
    if content == "cut":
        main(replace(recipe, steps=1), tmp_path, DATA, CPU)
        path.write_bytes(path.read_bytes()[:5000])
    elif content == "bytes":
        path.write_bytes(b"PK not really")
    else:
        values = {"tensor": torch.zeros(3), "dict": {"config": 3}, "list": [1]}
        torch.save(values[content], path)
    with pytest.raises(InputError, match=r"last\.pt.* (no|not a) checkpoint.*delete it"):
        setup(recipe, tmp_path, DATA, CPU)


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code_does_not(
    recipe: Recipe, tmp_path: Path, zipped: bool
) -> None:
    state = {"config": Hostile(tmp_path / "trace")}
    torch.save(state, tmp_path / "last.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"last\.pt may run code .*mkdir.* was not opened"):
        setup(recipe, tmp_path, DATA, CPU)
    assert not (tmp_path / "trace").exists()


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    (tmp_path / ".last.pt.123.part").write_bytes(b"half")
    (tmp_path / ".notes.part").write_bytes(b"mine")
    make_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".notes.part"]
