"""Coding noise, by what the decoder says of the quantiser."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from cleanplate.video import probe
from cleanplate.video.quantiser import estimate_coding_noise


def encode(path: Path, codec: str, **options: str) -> Path:
    random = np.random.default_rng(2)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = options
        for _ in range(6):
            picture = random.integers(0, 255, (64, 96, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    return path


def test_coarser_coding_is_noisier(tmp_path: Path) -> None:
    noises = [
        estimate_coding_noise(probe(encode(tmp_path / f"{qp}.mp4", "libx264", qp=qp)))
        for qp in ("0", "20", "32")
    ]
    assert noises[0] is not None
    assert noises[0] < 0.6
    assert noises == sorted(noises, key=float)
    assert noises[2] > 3 * noises[1] / 2


def test_other_codecs_and_folders_say_nothing(tmp_path: Path) -> None:
    assert estimate_coding_noise(probe(encode(tmp_path / "a.mkv", "ffv1"))) is None
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "0.png"), np.zeros((8, 8, 3), np.uint8))
    assert estimate_coding_noise(probe(tmp_path / "frames")) is None
