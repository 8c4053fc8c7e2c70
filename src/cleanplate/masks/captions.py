"""Captions over time: detect text, match its pixels, find its first and last frame.

A detector is slow, so it runs on a few frames per second only. Between two detections, template
matching with the caption's mean picture decides frame by frame whether the caption is visible.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError
from cleanplate.masks.source import LONG_SIDE
from cleanplate.masks.template import Offset, Template, TemplateMatch, TemplateTuning
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CaptionTuning:
    """Constants of following a caption from its first frame to its last."""

    interval: float = 0.4
    """Seconds between two detections: a detector is slow, and text must stay to be read."""
    memory: float = 2.5
    """Seconds of frames kept, in which the start of a new caption is searched for."""
    shortest: float = 0.3
    """Minimum duration of text in seconds: shorter finds are errors of the detector."""
    seen: float = 0.85
    """Fraction of a detection covered by known captions from which it is not new."""
    steady: float = 0.4
    """Minimum fraction of a caption's frames with full strength: clutter is rarely so constant."""
    gap: float = 0.2
    """Seconds for which a caption may be unrecognisable, in a flash or behind an explosion."""
    fade: float = 1.0
    """Maximum duration of a fade in seconds."""
    full: float = 0.85
    """Strength from which a caption is fully visible; the template learns from such frames only."""
    gone: float = 0.15
    """Strength below which a caption is gone: noise reaches that far."""
    rise: float = 0.05
    """Maximum rise of strength within a fade, by noise: a larger one is another caption."""
    slide: float = 1.5
    """Maximum duration of a slide in seconds."""
    sure: int = 2
    """Frames in which moved text must be recognised, the second where the first leads to."""
    pop: int = 8
    """Maximum number of frames in which text grows to its size."""
    small: float = 0.9
    """Scale below which growing text must begin: a larger one may be text at rest, half hidden."""
    blurred: float = 0.75
    """Factor on the correlation of text known to shrink: smaller letters have fewer pixels."""


_TUNING = CaptionTuning()
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


@dataclass(frozen=True, slots=True)
class Moment:
    """A working frame, uint8 RGB `(h, w, 3)` in display orientation, and its time in seconds."""

    index: int
    time: float
    frame: Frame


@dataclass
class CaptionTrack:
    """Static text from `first` to `last`.

    Attributes:
        template: mean picture of the text.
        first: the first frame that shows it, including fades.
        last: the last frame that shows it, including fades.
        full: the first and the last frame that show it at full strength.
        before: the frame before `first`; None at the start of the video, or if no longer in memory.
        after: the frame after `last`; None at the end of the video.
        strengths: strength of the text by number of the frame.
        slides: frame number → offset from the box, in the frames before `first` and after `last`
            in which the text slides, grows or shrinks.
    """

    template: Template
    first: Moment
    last: Moment
    full: tuple[Moment, Moment]
    before: Moment | None = None
    after: Moment | None = None
    strengths: dict[int, float] = field(default_factory=dict)
    slides: dict[int, Offset] = field(default_factory=dict)

    @classmethod
    def begin(cls, box: Box, moment: Moment, earlier: Iterable[Moment]) -> CaptionTrack:
        """Start at a detection in `moment`, and go back through `earlier` frames, latest first."""
        track = cls(Template(box, moment.frame), moment, moment, (moment, moment))
        # Frames without a match before the first match may hold the fade-in.
        missed: list[Moment] = []
        earlier = list(earlier)
        for past in earlier:
            match = track._compare(past)
            if match.stands and _are_near(past, track.first):
                missed.clear()
                track.first = past
            else:
                missed.append(past)
            if track.first.time - past.time > _TUNING.fade + _TUNING.gap:
                break
        before = [past for past in earlier if past.index < track.first.index]
        if not track._slide(track.first, before) and not track._pop(before):
            track._fade_in(missed)
        elif len(before) > len(track.slides):
            track.before = before[len(track.slides)]
        return track

    def follow(self, moment: Moment) -> None:
        """Extend the track if the next frame still shows the text."""
        stands = self._compare(moment).stands
        if stands and _are_near(self.last, moment):
            self.last = moment

    @property
    def is_steady(self) -> bool:
        """Whether enough of its frames show the text at full strength."""
        return self.template.count >= _TUNING.steady * (self.last.index - self.first.index + 1)

    def _compare(self, moment: Moment) -> TemplateMatch:
        match = self.template.match(moment.frame)
        self.strengths[moment.index] = match.strength
        # Update the template at full strength only: frames of a fade would lower its contrast.
        if match.stands and match.strength > _TUNING.full:
            self.template.learn(moment.frame)
            early, late = self.full
            self.full = (
                min(early, moment, key=lambda one: one.index),
                max(late, moment, key=lambda one: one.index),
            )
        return match

    def _fade_in(self, earlier: Iterable[Moment]) -> None:
        """Move `first` back through a fade; `earlier` are the frames before it, latest first."""
        self.first, self.before = self._fade(self.first, earlier)

    def finish(self, later: Iterable[Moment]) -> None:
        """Move `last` forward through a fade; `later` are the frames after it."""
        later = list(later)
        if not self._slide(self.last, later) and not self._pop(later):
            self.last, self.after = self._fade(self.last, later)

    def _slide(self, edge: Moment, beyond: Sequence[Moment]) -> bool:
        """Track text that slides in or out; return whether it does.

        `beyond` are the frames before or after `edge`, nearest first. Where too little of the text
        is inside the picture to match, it is extrapolated.
        """
        size = Size(edge.frame.shape[1], edge.frame.shape[0])
        path, reach = [Offset(0, 0)], _TEMPLATE.reach
        for moment in beyond:
            if abs(moment.time - edge.time) > _TUNING.slide:
                break
            # Predict with constant velocity, then search near the prediction.
            step = path[-1].less(path[-2]) if len(path) > 1 else Offset(0, 0)
            near = path[-1].plus(step)
            found = self.template.find(moment.frame, near, reach if len(path) < 2 else reach // 3)
            if found is None and len(path) > _TUNING.sure and self._leaves(near, size):
                found = near
            if found is None or found == path[-1]:
                break
            path.append(found)
        if len(path) <= _TUNING.sure:
            return False
        self.slides |= {one.index: at for one, at in zip(beyond, path[1:], strict=False)}
        return True

    def _pop(self, beyond: Sequence[Moment]) -> bool:
        """Track text that grows or shrinks in place in the frames `beyond`; return whether it does.

        The mask of the text at full size covers it at any smaller size.
        """
        scales = [scale / 100 for scale in range(96, 24, -2)]  # 0.96 to 0.26
        found: list[int] = []
        for moment in beyond[: _TUNING.pop]:
            # After a first match the scale can only fall, so a lower correlation is enough.
            least = _TUNING.blurred * _TEMPLATE.alike if found else _TEMPLATE.alike
            scale = self.template.find_scale(moment.frame, scales, least)
            if scale is None:
                break
            found.append(moment.index)
            scales = [smaller for smaller in scales if smaller <= scale]
        if not found or scales[0] > _TUNING.small:
            return False
        self.slides |= dict.fromkeys(found, Offset(0, 0))
        return True

    def _leaves(self, at: Offset, size: Size) -> bool:
        """Whether the border of the picture cuts the text at offset `at`."""
        area = self.template.area
        moved = replace(area, x=area.x + at.x, y=area.y + at.y)
        inside = moved.clipped(size)
        return inside is not None and inside != moved

    def _fade(self, edge: Moment, beyond: Iterable[Moment]) -> tuple[Moment, Moment | None]:
        """Find the outermost frame of a fade from `edge`, and the frame beyond it."""
        begin, strength = edge, self.strengths.get(edge.index, 1.0)
        fading = strength < _TUNING.full
        for moment in beyond:
            now = self.strengths.get(moment.index, 0.0)
            # A caption that vanishes at once has no fade: the next frame is already without it. A
            # strength that rises again belongs to another caption or to clutter.
            fading = fading or now > 2 * _TUNING.gone
            too_long = abs(moment.time - begin.time) > _TUNING.fade
            if not fading or now < _TUNING.gone or now > strength + _TUNING.rise or too_long:
                return edge, moment
            edge, strength = moment, now
        return edge, None


def _are_near(one: Moment, later: Moment) -> bool:
    """Whether the gap between two matches is short enough to belong to one caption."""
    return later.time - one.time <= _TUNING.gap or later.index - one.index <= 2


class CaptionFinder:
    """Finder of static text; takes frames one by one and returns captions as they end.

    Memory is bounded: it holds the frames of the last `CaptionTuning.memory` seconds.

    Args:
        detector: detector of text in one frame.
        on_look: called with each frame in which text is detected.
    """

    def __init__(
        self, detector: TextDetector, *, on_look: Callable[[Moment], None] | None = None
    ) -> None:
        self._detector, self._on_look = detector, on_look
        self._recent: deque[Moment] = deque()
        self._standing: list[CaptionTrack] = []
        self._next_look = float("-inf")
        self.looks = 0
        """Number of detections so far."""

    def push(self, index: int, time: float, frame: Frame) -> list[CaptionTrack]:
        """Add the next frame; return the captions that have ended."""
        moment = Moment(index, time, frame)
        for track in self._standing:
            track.follow(moment)
        if time >= self._next_look:
            self._next_look = time + _TUNING.interval
            self._look(moment)
        self._recent.append(moment)
        while time - self._recent[0].time > _TUNING.memory:
            self._recent.popleft()
        return self._take(
            [t for t in self._standing if time - t.last.time > _TUNING.fade + _TUNING.gap]
        )

    def finish(self) -> list[CaptionTrack]:
        """Return the captions that last until the end."""
        return self._take(list(self._standing))

    def _look(self, moment: Moment) -> None:
        """Begin a track for every new detection."""
        self.looks += 1
        if self._on_look is not None:
            self._on_look(moment)
        # A detection that is mostly covered by the captions of this frame is not new.
        known = np.zeros(moment.frame.shape[:2], np.bool_)
        for track in self._standing:
            if track.last.index == moment.index:
                known[track.template.box.slices] = True
        for box in self._detector.detect(moment.frame):
            if known[box.slices].mean() < _TUNING.seen:
                self._standing.append(CaptionTrack.begin(box, moment, reversed(self._recent)))

    def _take(self, ended: list[CaptionTrack]) -> list[CaptionTrack]:
        """Remove and finish the tracks that have ended; leave out those that are too short."""
        for track in ended:
            self._standing.remove(track)
            track.finish([m for m in self._recent if m.index > track.last.index])
        return [t for t in ended if t.last.time - t.first.time >= _TUNING.shortest]
