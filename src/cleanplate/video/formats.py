"""Pixel formats that can be read and composited sample by sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["yuv", "gray", "rgb"]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a picture lies in its planes."""

    name: str
    family: Family
    bits: int
    channels: tuple[int, ...]
    """Samples side by side in each plane: (1, 1, 1) planar, (1, 2) nv12, (3,) packed RGB."""
    chroma_shift: tuple[int, int] = (0, 0)
    """log2 of the chroma subsampling, horizontally and vertically."""

    def shift(self, plane: int) -> tuple[int, int]:
        """`chroma_shift` for chroma planes, (0, 0) for all others."""
        return self.chroma_shift if self.family == "yuv" and plane > 0 else (0, 0)

    @property
    def planar_name(self) -> str:
        """The same samples under the name that encoders without `yuvj`, nv12 or grey take."""
        if self.name == "nv12":
            return "yuv420p"
        if self.family == "gray":
            return "yuv420p" if self.bits == 8 else f"yuv420p{self.bits}le"
        return self.name.replace("yuvj", "yuv")


def _table() -> dict[str, PixelFormat]:
    formats = [PixelFormat("nv12", "yuv", 8, (1, 2), (1, 1))]
    for digits, shift in (("420", (1, 1)), ("422", (1, 0)), ("444", (0, 0))):
        formats += [
            PixelFormat(f"yuv{digits}p", "yuv", 8, (1, 1, 1), shift),
            PixelFormat(f"yuvj{digits}p", "yuv", 8, (1, 1, 1), shift),
            PixelFormat(f"yuv{digits}p10le", "yuv", 10, (1, 1, 1), shift),
            PixelFormat(f"yuv{digits}p12le", "yuv", 12, (1, 1, 1), shift),
        ]
    formats += [PixelFormat("gray", "gray", 8, (1,)), PixelFormat("gray10le", "gray", 10, (1,))]
    formats += [PixelFormat("gbrp", "rgb", 8, (1, 1, 1))]
    formats += [PixelFormat(name, "rgb", 8, (3,)) for name in ("rgb24", "bgr24")]
    formats += [PixelFormat(name, "rgb", 8, (4,)) for name in ("rgb0", "bgr0", "0rgb", "0bgr")]
    return {entry.name: entry for entry in formats}


FORMATS = _table()
"""Supported pixel formats by FFmpeg's name."""


def find_format(name: str) -> PixelFormat:
    """Look up a supported format; KeyError for others (`probe` refuses those with a remedy)."""
    return FORMATS[name]
