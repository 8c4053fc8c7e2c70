"""Where a picture shows text: RapidOCR's detector, whose model comes in its wheel.

The extra `[text]` brings it. Only the detector is used: what the text says does not matter.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError
from cleanplate.masks.view import LONG_SIDE
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]

_LOWEST = 5
"""Height in pixels below which a find is noise."""


class TextDetector(Protocol):
    """Finds the lines of text in one picture."""

    def detect(self, frame: Frame) -> list[Box]:
        """Upright boxes around the text in `frame`, uint8 RGB `(h, w, 3)`, as people see it."""


class RapidDetector:
    """The differentiable-binarisation detector of PP-OCR, run by ONNX Runtime on the CPU.

    Raises InputError when the extra `[text]` is not installed.
    """

    def __init__(self) -> None:
        self._engine = _load_engine()

    def detect(self, frame: Frame) -> list[Box]:
        """Upright boxes around what looks like text."""
        bgr = np.ascontiguousarray(frame[..., ::-1])
        found = self._engine(bgr, use_det=True, use_cls=False, use_rec=False)
        corners = getattr(found, "boxes", None)
        if corners is None:
            return []
        size = Size(frame.shape[1], frame.shape[0])
        boxes = [_frame_corners(np.asarray(quad), size) for quad in corners]
        return [box for box in boxes if box is not None]


def check_detector() -> None:
    """Raise InputError, with the remedy, unless the extra `[text]` is installed."""
    # As soon as it is imported, onnxruntime writes an identity into the home folder and reports.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import_module("onnxruntime")
        import_module("rapidocr")
    except ImportError as error:
        raise InputError(
            f"finding text needs the extra [text] ({error.name or error} is missing);"
            " install it with: pip install 'cleanplate[text]'"
        ) from None


def _load_engine() -> Any:
    """RapidOCR, quiet, with limits that keep it fast (its default takes over a second)."""
    check_detector()
    engine = import_module("rapidocr").RapidOCR
    return engine(
        params={
            "Global.log_level": "critical",
            "Det.limit_type": "max",
            "Det.limit_side_len": LONG_SIDE,
        }
    )


def _frame_corners(quad: npt.NDArray[np.generic], size: Size) -> Box | None:
    """The upright box around four corners `(4, 2)`, or None for what can be no line of text."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    x, y = int(np.floor(low[0])), int(np.floor(low[1]))
    box = Box(x, y, int(np.ceil(high[0])) - x, int(np.ceil(high[1])) - y).clipped(size)
    if box is None or box.height < _LOWEST or box.width < _LOWEST:
        return None
    return box
