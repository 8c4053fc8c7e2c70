"""Captions over time: detect text, match its pixels, find its first and last frame.

A detector is slow, so it runs on a few frames per second only. Between two detections, template
matching with the caption's mean picture decides frame by frame whether the caption is visible.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError
from cleanplate.masks.band import Moment
from cleanplate.masks.onsets import Onsets
from cleanplate.masks.source import LONG_SIDE
from cleanplate.masks.standing import STANDING, CaptionTrack
from cleanplate.masks.template import TemplateTuning
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LookTuning:
    """Constants of the looks of the detector."""

    interval: float = 0.4
    """Seconds between two detections: a detector is slow, and text must stay to be read."""
    memory: float = 2.5
    """Seconds of frames kept, in which the start of a new caption is searched for."""
    seen: float = 0.85
    """Fraction of a detection covered by known captions from which it is not new."""
    margin: int = 32
    """Rows above and below what a look between two others is for."""


_TUNING = LookTuning()
_TEMPLATE = TemplateTuning()


class TextDetector(Protocol):
    """Detector of the lines of text in one picture."""

    def detect(self, frame: Frame) -> list[Box]:
        """Return upright boxes around text in `frame`, uint8 RGB `(h, w, 3)` in display order."""


class RapidDetector:
    """Differentiable-binarisation detector of PP-OCR, run by ONNX Runtime on the CPU.

    Raises InputError if the extra `[text]` is not installed.
    """

    def __init__(self) -> None:
        self._engine = _load_engine()

    def detect(self, frame: Frame) -> list[Box]:
        """Return upright boxes around everything that looks like text."""
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
    # On import, onnxruntime writes an identifier into the home folder and sends telemetry.
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
    """Load RapidOCR without log output and with a size limit (its default takes over a second)."""
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
    """Return the upright box around four corners `(4, 2)`; None if it is too small for text."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    x, y = int(np.floor(low[0])), int(np.floor(low[1]))
    box = Box(x, y, int(np.ceil(high[0])) - x, int(np.ceil(high[1])) - y).clipped(size)
    if box is None or box.height < _TEMPLATE.lowest or box.width < _TEMPLATE.lowest:
        return None
    return box


class CaptionFinder:
    """Finder of static text; takes frames one by one and returns captions as they end.

    Memory is bounded: it holds the frames of the last `LookTuning.memory` seconds.

    Args:
        detector: detector of text in one frame.
        on_look: called with each frame in which text is detected, in order; looks back at frames
            between two of these are left out.
    """

    def __init__(
        self, detector: TextDetector, *, on_look: Callable[[Moment], None] | None = None
    ) -> None:
        self._detector, self._on_look = detector, on_look
        self._recent: deque[Moment] = deque()
        self._standing: list[CaptionTrack] = []
        self._onsets = Onsets()
        self._next_look = float("-inf")
        self.looks = 0
        """Number of detections so far."""

    def push(self, index: int, time: float, frame: Frame) -> list[CaptionTrack]:
        """Add the next frame; return the captions that have ended."""
        moment = Moment(index, time, frame)
        for track in self._standing:
            track.follow(moment)
        self._onsets.push(index, frame)
        self._recent.append(moment)
        if time >= self._next_look:
            self._next_look = time + _TUNING.interval
            self._look(moment)
            self._look_back()
        while time - self._recent[0].time > _TUNING.memory:
            self._recent.popleft()
        over = STANDING.fade + STANDING.gap
        return self._take([t for t in self._standing if time - t.last.time > over])

    def finish(self) -> list[CaptionTrack]:
        """Return the captions that last until the end."""
        self._look_back()
        return self._take(list(self._standing))

    def _look(self, moment: Moment) -> None:
        """Begin a track for every new detection."""
        if self._on_look is not None:
            self._on_look(moment)
        self._begin(moment, self._detector.detect(moment.frame))

    def _look_back(self) -> None:
        """Look at frames since the last look that show something sharp which no look shows."""
        by_number = {moment.index: moment for moment in self._recent}
        known = {index: self._mark_known(moment) for index, moment in by_number.items()}
        for index, rows in self._onsets.choose(known):
            moment = by_number.get(index)
            if moment is None:
                continue
            top = max(0, rows.start - _TUNING.margin)
            part = np.ascontiguousarray(moment.frame[top : rows.stop + _TUNING.margin])
            found = [replace(box, y=box.y + top) for box in self._detector.detect(part)]
            self._begin(moment, found)

    def _begin(self, moment: Moment, boxes: list[Box]) -> None:
        """Begin a track for each of `boxes` in `moment` that known text does not mostly cover."""
        self.looks += 1
        known = self._mark_known(moment)
        earlier = [one for one in reversed(self._recent) if one.index < moment.index]
        later = [one for one in self._recent if one.index > moment.index]
        for box in boxes:
            if known[box.slices].mean() < _TUNING.seen:
                track = CaptionTrack.begin(box, moment, earlier)
                for one in later:
                    track.follow(one)
                self._standing.append(track)

    def _mark_known(self, moment: Moment) -> Mask:
        """Mark the boxes of the captions that stand in a frame."""
        known = np.zeros(moment.frame.shape[:2], np.bool_)
        for track in self._standing:
            if track.first.index <= moment.index <= track.last.index:
                known[track.template.box.slices] = True
        return known

    def _take(self, ended: list[CaptionTrack]) -> list[CaptionTrack]:
        """Remove and finish the tracks that have ended; leave out those that are too short."""
        for track in ended:
            self._standing.remove(track)
            track.finish([m for m in self._recent if m.index > track.full[1].index])
        # Text that is recognised in one frame only may be passing: it slides, or it is an error.
        return [t for t in ended if not t.is_short or (t.ink is not None and t.template.count > 1)]
