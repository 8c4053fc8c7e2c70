"""What the tests of masks share."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.types import Size
from cleanplate.video import VideoInfo

SMALL = Size(40, 24)


@dataclass(frozen=True)
class FakeInfo:
    """The part of VideoInfo that masks look at."""

    size: Size = SMALL
    rotation: int = 0
    frame_count: int = 3
    rate: Fraction = Fraction(25)
    sample_aspect_ratio: Fraction | None = None
    is_variable_rate: bool = False
    kind: str = "images"
    start: Fraction = Fraction(0)
    first: Fraction = Fraction(0)
    excerpt: None = None

    shown_size = VideoInfo.shown_size
    is_shown_as = VideoInfo.is_shown_as

    @property
    def time_base(self) -> Fraction:
        return 1 / self.rate

    @property
    def display_size(self) -> Size:
        turned = self.rotation in (90, 270)
        return Size(self.size.height, self.size.width) if turned else self.size

    @property
    def duration(self) -> Fraction:
        return self.frame_count / self.rate

    @property
    def end(self) -> Fraction:
        return self.duration


@pytest.fixture
def info() -> FakeInfo:
    return FakeInfo()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, np.ndarray], Path]:
    def write_image(name: str, pixels: np.ndarray) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
        return path

    return write_image


@pytest.fixture
def write_palette(tmp_path: Path) -> Callable[[np.ndarray, bytes, bytes], Path]:
    def write_png(indices: np.ndarray, palette: bytes, alphas: bytes = b"") -> Path:
        def chunk(name: bytes, data: bytes) -> bytes:
            body = name + data
            return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

        height, width = indices.shape
        rows = b"".join(b"\0" + row.tobytes() for row in indices.astype(np.uint8))
        path = tmp_path / "palette.png"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
            + chunk(b"PLTE", palette)
            + (chunk(b"tRNS", alphas) if alphas else b"")
            + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b"")
        )
        return path

    return write_png
