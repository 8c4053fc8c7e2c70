"""Follow one caption over time: from its first frame to its last, where it moves, and around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from cleanplate.masks.band import Moment, follow_letters
from cleanplate.masks.ink import Ink, learn_ink
from cleanplate.masks.source import Shape
from cleanplate.masks.template import Offset, Template, TemplateMatch, TemplateTuning
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CaptionTuning:
    """Constants of following a caption from its first frame to its last."""

    shortest: float = 0.3
    """Minimum duration of text in seconds: shorter finds need letters that come and go at once."""
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


STANDING = _TUNING = CaptionTuning()
_TEMPLATE = TemplateTuning()


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
        letters: frame number → pixels of letters of the same style, in the frames around these, in
            which text slides, grows, is typed, or follows in the same band.
        ink: its style; None if that is not sure.
    """

    template: Template
    first: Moment
    last: Moment
    full: tuple[Moment, Moment]
    before: Moment | None = None
    after: Moment | None = None
    strengths: dict[int, float] = field(default_factory=dict)
    slides: dict[int, Offset] = field(default_factory=dict)
    letters: dict[int, Shape] = field(default_factory=dict)
    ink: Ink | None = None

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
        track._learn_ink()
        before = [past for past in earlier if past.index < track.first.index]
        if not track._slide(track.first, before) and not track._pop(before):
            track._fade_in(missed)
        elif len(before) > len(track.slides):
            track.before = before[len(track.slides)]
        if before and track.first is track.full[0] and not track.slides:
            track.before = before[0]
        track._follow_letters(before)
        return track

    def follow(self, moment: Moment) -> None:
        """Extend the track if the next frame still shows the text."""
        stands = self._compare(moment).stands
        if stands and _are_near(self.last, moment):
            self.last = moment

    @property
    def is_short(self) -> bool:
        """Whether it lasts for less than text that is known by its place or surroundings."""
        return self.last.time - self.first.time < _TUNING.shortest

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
        self._learn_ink()
        later = [one for one in later if one.index > self.last.index]
        if not self._slide(self.last, later) and not self._pop(later):
            self.last, self.after = self._fade(self.last, later)
        if later and self.last is self.full[1] and not self.slides:
            self.after = later[0]
        self._follow_letters(later)

    def _learn_ink(self) -> None:
        """Learn the style of the text; with it, leave out ends at which other text stands."""
        frames = [one.frame for one in {one.index: one for one in self.full}.values()]
        self.ink = learn_ink(self.template, frames)
        if self.ink is not None and not self.is_steady:
            self.first, self.last = self.full

    def _follow_letters(self, beyond: Sequence[Moment]) -> None:
        """Find letters of the same style in the frames `beyond` an end, nearest first."""
        # Text seen in one frame only moves: the search would begin at a chance place.
        if self.ink is None or not beyond or self.full[0].index == self.full[1].index:
            return
        edge = self.first if beyond[0].index < self.first.index else self.last
        found = follow_letters(self.ink, self.template.box, edge, beyond, self.slides)
        self.letters |= found

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
