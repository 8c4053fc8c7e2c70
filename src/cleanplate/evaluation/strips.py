"""Picture strips: some moments of a clip side by side, as JPEG data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from cleanplate.evaluation.clips import Frame, Mask, Shot

_CELL = 240
"""Width of a picture in a strip, pixels."""
_GAP = 4
_QUALITY = 88
_TINT = np.array([255, 0, 255], np.uint8)


def draw_strip(pictures: Sequence[Frame]) -> bytes:
    """JPEG data of `pictures` (h, w, 3) of one size, made small, side by side."""
    height, width = pictures[0].shape[:2]
    size = (_CELL, max(1, round(_CELL * height / width)))
    cells: list[Frame] = []
    for picture in pictures:
        cells.append(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8))
        cells.append(np.full((size[1], _GAP, 3), 128, np.uint8))
    strip = np.hstack(cells[:-1])
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return cv2.imencode(".jpg", np.ascontiguousarray(strip[..., ::-1]), quality)[1].tobytes()


def tint(frame: Frame, mask: Mask) -> Frame:
    """`frame` with its hole in magenta, half seen through."""
    shown = frame.copy()
    shown[mask] = shown[mask] // 2 + _TINT // 2
    return shown


def draw_case(shots: Iterator[Shot], moments: Sequence[int]) -> dict[str, bytes]:
    """Strips of what a case is: `input` with holes in magenta, and `truth` where it is known."""
    shown = [shot for index, shot in enumerate(shots) if index in moments]
    strips = {"input": draw_strip([tint(shot.frame, shot.mask) for shot in shown])}
    truths = [shot.truth for shot in shown if shot.truth is not None]
    return strips | ({"truth": draw_strip(truths)} if truths else {})
