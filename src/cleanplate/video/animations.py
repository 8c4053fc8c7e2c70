"""GIF and animated PNG: films whose pictures have a palette or transparency, taken as RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.errors import VideoError
from cleanplate.inputs import open_file

CONTAINERS = ("gif", "apng")
"""FFmpeg's names of their demuxers."""
FORMATS = ("bgra", "rgba", "rgb24", "pal8", "gray", "ya8", "monob")
"""Pixel formats that their decoders give, without those of more than 8 bits."""
_ENDS = {"gif": b";", "apng": b"IEND\xae\x42\x60\x82"}
_WHITE = 255


def check_end(path: Path, container: str) -> None:
    """Raise VideoError when the file's last mark is missing: FFmpeg plays what is there."""
    with open_file(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1024))
        end = file.read().rstrip(b"\0\r\n")
    if _ENDS[container] not in (end[-1:], end[-8:]):
        raise VideoError(f"'{path}' is cut short: its end is missing; copy or export it again")


def flatten(frame: Any) -> tuple[npt.NDArray[np.uint8], bool]:
    """A decoded frame as uint8 RGB `(h, w, 3)`, and whether anything of it is transparent.

    What is transparent lies on white, as most pages and viewers show it.
    """
    layers = frame.to_ndarray(format="rgba")  # (h, w, 4)
    rgb, alpha = layers[..., :3], layers[..., 3:].astype(np.uint16)
    if alpha.min() == _WHITE:
        return np.ascontiguousarray(rgb), False
    mixed = rgb * alpha + _WHITE * (_WHITE - alpha) + _WHITE // 2
    return (mixed // _WHITE).astype(np.uint8), True
