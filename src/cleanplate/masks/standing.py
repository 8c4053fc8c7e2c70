"""Follow one caption over time: from its first frame to its last, where it moves, and around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.ink import Ink, learn_ink
from cleanplate.masks.source import Shape, dilate_ellipse
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
    passing: float = 0.6
    """Seconds after which words in a band have changed: what stays for longer is the scene."""
    at_rest: float = 0.7
    """Minimum overlap (intersection over union) with the next frame of a letter at rest."""
    sudden: float = 25.0
    """Minimum change in levels of letters that come or go from one frame to the next."""
    growth: int = 3
    """Frames before and after letters at rest in which they may grow, shrink or fade."""
    silence: float = 0.5
    """Maximum seconds without letters between two captions in one band."""
    band: float = 1.0
    """Height above and below the last letters in which letters follow, in heights of the line."""
    blurred: float = 0.75
    """Factor on the correlation of text known to shrink: smaller letters have fewer pixels."""


STANDING = _TUNING = CaptionTuning()
_TEMPLATE = TemplateTuning()


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


def follow_letters(
    ink: Ink, box: Box, edge: Moment, beyond: Sequence[Moment], slides: Mapping[int, Offset]
) -> dict[int, Shape]:
    """Find letters in the frames `beyond` a caption at `box`, nearest first, until they end.

    `edge` is the frame of the caption next to them. Letters are searched across the whole picture
    in the rows of the caption. They count if they come, rest and go at once; so does what is within
    the box of such letters shortly before or after, or in the box of the caption while it slides.
    """
    strokes = _search_band(ink, box, beyond, slides)
    found = _keep_flashing(ink, edge, beyond, strokes)
    rest = {index: _frame_mask(letters) for index, letters in found.items()}
    indices = [one.index for one in beyond]
    for place, index in enumerate(indices):
        if index not in strokes:
            continue
        near = indices[max(0, place - _TUNING.growth) : place + _TUNING.growth + 1]
        boxes = [rest[at] for at in near if at in rest]
        if index in slides:
            boxes.append(replace(box, x=box.x + slides[index].x, y=box.y + slides[index].y))
        inside = _keep_inside(strokes[index], boxes)
        if inside.any():
            found[index] = inside | found[index] if index in found else inside
    return {index: ink.cover(letters) for index, letters in found.items()}


def _keep_flashing(
    ink: Ink, edge: Moment, beyond: Sequence[Moment], strokes: Mapping[int, Mask]
) -> dict[int, Mask]:
    """Keep the letters that appear at once, rest for two frames or more, and vanish at once.

    At the side of the caption, its own letters count, too: text is typed letter by letter.
    """
    moments = [edge, *beyond]
    masks = [strokes.get(one.index) for one in moments]
    open_ends = [None if mask is None else mask.copy() for mask in masks]
    found: dict[int, Mask] = {}
    for place in range(1, len(moments)):
        left = open_ends[place]
        if left is None or not left.any():
            continue
        labels, boxes = _label(left)
        for label, box in boxes:
            own = labels[box.slices] == label
            last = place
            while last + 1 < len(moments) and _rests(own, box, masks[last + 1]):
                last += 1
                following = open_ends[last]
                assert following is not None
                following[box.slices] &= ~dilate_ellipse(own, 1)
            if last + 1 == len(moments) or not _changes(own, box, moments[last], moments[last + 1]):
                continue
            is_own = place == 1 and _rests(own, box, ink.strokes)
            if not is_own and (
                last == place or not _changes(own, box, moments[place - 1], moments[place])
            ):
                continue
            for at in range(place, last + 1):
                index = moments[at].index
                found.setdefault(index, np.zeros_like(left))[box.slices] |= own
    return found


def _label(letters: Mask) -> tuple[npt.NDArray[np.int32], list[tuple[int, Box]]]:
    """Label the components of a mask; also return each label with its box."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(letters.astype(np.uint8))
    boxes = [(label, Box(*(int(value) for value in stats[label, :4]))) for label in range(1, count)]
    return np.asarray(labels, np.int32), boxes


def _rests(own: Mask, box: Box, other: Mask | None) -> bool:
    """Whether another frame shows the letter `own` in the same place."""
    if other is None:
        return False
    there = other[box.slices]
    return bool((own & there).sum() > _TUNING.at_rest * (own | there).sum())


def _changes(own: Mask, box: Box, one: Moment, other: Moment) -> bool:
    """Whether the pixels of a letter change at once between two frames."""
    change = cv2.absdiff(one.frame[box.slices], other.frame[box.slices]).max(axis=2)
    return float(np.median(change[own])) > _TUNING.sudden


def _search_band(
    ink: Ink, box: Box, beyond: Sequence[Moment], slides: Mapping[int, Offset]
) -> dict[int, Mask]:
    """Find strokes, frame number → bool `(h, w)`, in the rows of a caption until they end."""
    strokes: dict[int, Mask] = {}
    margin, down = round(_TUNING.band * box.height), 0
    seen: float | None = None
    for moment in beyond:
        seen = moment.time if seen is None else seen
        height, width = moment.frame.shape[:2]
        down = slides[moment.index].y if moment.index in slides else down
        rows = Box(0, box.y + down - margin, width, box.height + 2 * margin)
        band = rows.clipped(Size(width, height))
        others = [one.frame for one in _choose_far(moment, beyond)]
        letters = ink.find(moment.frame, band, others) if band is not None else None
        if letters is not None:
            strokes[moment.index], seen = letters, moment.time
        elif abs(moment.time - seen) > _TUNING.silence:
            break
    return strokes


def _keep_inside(letters: Mask, boxes: Sequence[Box]) -> Mask:
    """Keep the components whose centre is in one of the boxes."""
    if not boxes:
        return np.zeros_like(letters)
    labels, parts = _label(letters)
    kept = np.zeros(len(parts) + 1, np.bool_)
    for label, part in parts:
        x, y = part.x + part.width / 2, part.y + part.height / 2
        kept[label] = any(
            b.x <= x < b.x + b.width and b.y - 2 <= y < b.y + b.height + 2 for b in boxes
        )
    return np.asarray(kept[labels], np.bool_)


def _frame_mask(mask: Mask) -> Box:
    return Box(*cv2.boundingRect(mask.astype(np.uint8)))


def _choose_far(moment: Moment, beyond: Sequence[Moment]) -> list[Moment]:
    """Choose the nearest of `beyond`, sorted by time, before and after that are far enough."""
    away = [(abs(one.time - moment.time), one) for one in beyond]
    far = [(gap, one) for gap, one in away if gap >= _TUNING.passing]
    sides = (
        [one for one in far if (one[1].time > moment.time) is later] for later in (True, False)
    )
    return [min(side, key=lambda one: one[0])[1] for side in sides if side]


def _are_near(one: Moment, later: Moment) -> bool:
    """Whether the gap between two matches is short enough to belong to one caption."""
    return later.time - one.time <= _TUNING.gap or later.index - one.index <= 2
