from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cleanplate.cli.train import train
from cleanplate.errors import InputError


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        folder = tmp_path / "clips" / name
        folder.mkdir(parents=True)
        still = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (280, 200))
        for index in range(7):
            cv2.imwrite(str(folder / f"{index}.png"), np.roll(still, index, 1))
    return tmp_path / "clips"


def invoke(*arguments: object) -> str:
    options = [str(argument) for argument in arguments]
    result = CliRunner().invoke(train, options, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_good_data_is_said_to_be_good(clips: Path, tmp_path: Path) -> None:
    assert "the data is good" in invoke(tmp_path / "run", "--clips", clips, "--check-data")


def test_bad_data_is_listed(clips: Path, tmp_path: Path) -> None:
    (clips / "two" / "3.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="1 problem in the data"):
        invoke(tmp_path / "run", "--clips", clips, "--check-data")


def test_preview_is_a_picture(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.png"
    invoke(tmp_path / "run", "--recipe", "light-cpu", "--clips", clips, "--preview", out)
    picture = cv2.imread(str(out))
    assert picture is not None
    assert picture.shape == (8 * 128, 5 * 192, 3)


@pytest.mark.slow
def test_a_run_of_one_step(clips: Path, tmp_path: Path) -> None:
    options = ("--recipe", "light-cpu", "--steps", "1", "--batch", "1", "--device", "cpu")
    assert "1 steps" in invoke(tmp_path / "run", "--clips", clips, *options)
    assert (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing to train on"),
        (("--clips", "x", "--steps", "1", "--minutes", "1"), "exclude each other"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        invoke(tmp_path / "run", *options)
