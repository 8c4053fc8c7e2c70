"""Small drawn clips that once came out wrong; what each must give is in their README.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parents[3] / "shared" / "cases"


def remove(case: str, output: Path, *options: str) -> tuple[float, float]:
    """PSNR in dB inside the thing's own pixels: of all frames, and of the worst."""
    source = str(CASES / case / "in.mp4")
    command = [sys.executable, "-m", "cleanplate", "remove", source, *options, "-o", str(output)]
    subprocess.run(command, check=True, capture_output=True)
    score = [sys.executable, str(CASES / "score.py"), str(CASES / case), str(output)]
    said = subprocess.run(score, check=True, capture_output=True, text=True).stdout.split()
    return float(said[0]), float(said[-1])


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
@pytest.mark.parametrize("options", [("--text",), ("--box", "140,314,330,34")], ids=" ".join)
def test_a_caption_in_a_letterbox_bar(tmp_path, options) -> None:
    if "--text" in options:
        pytest.importorskip("rapidocr")
    every, worst = remove("bars", tmp_path / "out.mp4", *options)
    assert every >= 38
    assert worst >= 34


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_a_span_that_is_a_frame_short_at_both_ends(tmp_path) -> None:
    every, worst = remove("span", tmp_path / "out.mp4", "--box", "220,15,200,55@0.44-1.96")
    assert every >= 30
    assert worst >= 28


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_a_picture_that_flickers(tmp_path) -> None:
    mask = str(CASES / "flicker" / "mask")
    every, worst = remove("flicker", tmp_path / "out.mp4", "--mask", mask)
    assert every >= 34
    assert worst >= 30


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_an_object_with_a_soft_shadow_around_it(tmp_path) -> None:
    mask = str(CASES / "shadow" / "mask")
    every, worst = remove("shadow", tmp_path / "out.mp4", "--mask", mask)
    assert every >= 33
    assert worst >= 30


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_a_caption_that_slides_in(tmp_path) -> None:
    pytest.importorskip("rapidocr")
    every, worst = remove("slide", tmp_path / "out.mp4", "--text")
    assert every >= 33
    assert worst >= 25


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_words_that_pop_up_one_at_a_time(tmp_path) -> None:
    pytest.importorskip("rapidocr")
    every, worst = remove("words", tmp_path / "out.mp4", "--text")
    assert every >= 25
    assert worst >= 18
