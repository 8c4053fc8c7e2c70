"""Captions in time: when each one appears and vanishes, and whether it is burned in at all.

Text is looked for in a few pictures a second only. Between them a caption is followed by a matched
filter: the picture's fine structure in the box is compared with the caption's, which costs next to
nothing and is exact to the frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cleanplate.masks.text_detector import TextDetector
from cleanplate.masks.text_template import Match, Template
from cleanplate.types import Box

Frame = npt.NDArray[np.uint8]
"""Working frame, uint8 RGB `(h, w, 3)`, as people see it."""

_SEEN = 0.85
"""Share of a find that captions standing there cover already, so that it is nothing new."""
_GAP = 0.2
"""Seconds that a caption may be unrecognisable, in a flash or behind an explosion."""
_FADE = 1.0
"""Seconds that a fade lasts at most."""
_STEADY = 0.4
"""Share of its frames in which text has to be recognised wholly."""
_FULL, _GONE = 0.85, 0.15
"""Strengths from which a caption counts as wholly there, and below which it is gone."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A working frame and when it is shown, in seconds."""

    index: int
    time: float
    frame: Frame


@dataclass
class Track:
    """Text that stands still, from `first` to `last`.

    Attributes:
        template: what it looks like.
        first: the first frame that shows it, fades included.
        last: the last one.
        full: the first and the last frame that show it wholly.
        before: the frame before `first`; None at the video's start, or where it is forgotten.
        after: the frame after `last`; None at the video's end.
    """

    template: Template
    first: Moment
    last: Moment
    full: tuple[Moment, Moment]
    before: Moment | None = None
    after: Moment | None = None
    strengths: dict[int, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, box: Box, moment: Moment, earlier: Iterable[Moment]) -> Track:
        """Start with a find at `moment`, and go back through `earlier` frames, latest first."""
        track = cls(Template(box, moment.frame), moment, moment, (moment, moment))
        missed: list[Moment] = []
        for past in earlier:
            match = track._compare(past)
            if match.stands and _are_near(past, track.first):
                missed.clear()
                track.first = past
            else:
                missed.append(past)
            if track.first.time - past.time > _FADE + _GAP:
                break
        track._fade_in(missed)
        return track

    def follow(self, moment: Moment) -> None:
        """See whether the text still stands in the next frame."""
        stands = self._compare(moment).stands
        if stands and _are_near(self.last, moment):
            self.last = moment

    @property
    def is_steady(self) -> bool:
        """True when most of its frames show the text wholly."""
        return self.template.count >= _STEADY * (self.last.index - self.first.index + 1)

    def _compare(self, moment: Moment) -> Match:
        match = self.template.match(moment.frame)
        self.strengths[moment.index] = match.strength
        if match.stands and match.strength > _FULL:
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
        """Move `last` on through a fade; `later` are the frames after it."""
        self.last, self.after = self._fade(self.last, later)

    def _fade(self, edge: Moment, beyond: Iterable[Moment]) -> tuple[Moment, Moment | None]:
        """The outermost frame that still shows some of the text, and the one next to it."""
        begin, strength = edge, self.strengths.get(edge.index, 1.0)
        fading = strength < _FULL
        for moment in beyond:
            now = self.strengths.get(moment.index, 0.0)
            fading = fading or now > 2 * _GONE
            too_long = abs(moment.time - begin.time) > _FADE
            if not fading or now < _GONE or now > strength + 0.05 or too_long:
                return edge, moment
            edge, strength = moment, now
        return edge, None


def _are_near(one: Moment, later: Moment) -> bool:
    """No more lies between them than a caption may be unrecognisable."""
    return later.time - one.time <= _GAP or later.index - one.index <= 2


class CaptionFinder:
    """Frames go in one by one; `finish` gives all text that stood still for a while.

    Memory holds the frames of the last `memory` seconds, whatever the length of the video.

    Args:
        detector: finds text in one frame.
        interval: seconds between two looks.
        memory: seconds of frames in which the start of a caption is looked for.
        shortest: seconds that text has to stand.
        on_look: called with each frame in which text is looked for.
    """

    def __init__(
        self,
        detector: TextDetector,
        *,
        interval: float = 0.4,
        memory: float = 2.5,
        shortest: float = 0.3,
        on_look: Callable[[Moment], None] | None = None,
    ) -> None:
        self._detector, self._on_look = detector, on_look
        self._interval, self._memory, self._shortest = interval, memory, shortest
        self._recent: deque[Moment] = deque()
        self._standing: list[Track] = []
        self._next_look = float("-inf")
        self.looks = 0
        """Pictures in which text was looked for."""

    def push(self, index: int, time: float, frame: Frame) -> list[Track]:
        """Take in the next frame; gives back the text that has ended."""
        moment = Moment(index, time, frame)
        for track in self._standing:
            track.follow(moment)
        if time >= self._next_look:
            self._next_look = time + self._interval
            self._look(moment)
        self._recent.append(moment)
        while time - self._recent[0].time > self._memory:
            self._recent.popleft()
        return self._take([t for t in self._standing if time - t.last.time > _FADE + _GAP])

    def finish(self) -> list[Track]:
        """The text that stands at the end."""
        return self._take(list(self._standing))

    def _look(self, moment: Moment) -> None:
        """Begin a track for every find that is new."""
        self.looks += 1
        if self._on_look is not None:
            self._on_look(moment)
        known = np.zeros(moment.frame.shape[:2], np.bool_)
        for track in self._standing:
            if track.last.index == moment.index:
                known[track.template.box.slices] = True
        for box in self._detector.detect(moment.frame):
            if known[box.slices].mean() < _SEEN:
                self._standing.append(Track.begin(box, moment, reversed(self._recent)))

    def _take(self, ended: list[Track]) -> list[Track]:
        """Remove what has ended and finish it; leaves out what was too short."""
        for track in ended:
            self._standing.remove(track)
            track.finish([m for m in self._recent if m.index > track.last.index])
        return [t for t in ended if t.last.time - t.first.time >= self._shortest]
