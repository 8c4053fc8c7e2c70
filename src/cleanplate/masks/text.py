"""Find burned-in text, such as subtitles, captions and logos of letters, as a mask source.

Text is detected and followed over time (`captions`), weighed as burned in or part of the scene, and
segmented (`letters`). Here the lines are joined to captions and drawn as masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np

from cleanplate.errors import MaskError
from cleanplate.masks.captions import (
    CaptionFinder,
    RapidDetector,
    TextDetector,
    check_detector,
)
from cleanplate.masks.ink import Ink
from cleanplate.masks.letters import CameraMotion, Evidence, find_shape, weigh
from cleanplate.masks.shapes import cut_off, join_shapes, move_shape
from cleanplate.masks.source import Frame, Mask, Shape, View, turn_to_coded
from cleanplate.masks.source import dilate as grow
from cleanplate.masks.standing import CaptionTrack
from cleanplate.masks.template import Offset
from cleanplate.motion import find_picture
from cleanplate.motion.areas import overlap
from cleanplate.types import Box
from cleanplate.video import Timeline, VideoInfo, open_reader, probe, read_timeline

Progress = Callable[[int, int | None], None]

_NAMED = 3
"""Maximum number of places named in a message."""


@dataclass(frozen=True)
class TextTuning:
    """Constants of the search for text: which detections count, and which lines belong together."""

    most: float = 0.5
    """Maximum fraction of the picture for a detection: a larger one is the detector's error."""
    tallest: float = 0.25
    """Maximum height of a line of text, as a fraction of the picture's."""
    samples: int = 16
    """Maximum number of working frames kept for the detection of letterbox bars."""
    across: float = 0.2
    """Fraction of the box of letters in a letterbox bar that may extend into the picture."""
    apart: float = 0.5
    """Maximum gap between two lines of one caption, in heights of the lower line."""
    worth: float = 1.0
    """Minimum seconds of doubtful text that is reported: shorter finds are mostly errors."""
    word: float = 1.5
    """Minimum width of reported text in heights of its line: narrower finds are no words."""


_TUNING = TextTuning()


@dataclass(frozen=True)
class Caption:
    """Static text and its time span.

    Attributes:
        box: box around it, in pixels, in display orientation.
        first: number of the first frame that shows it.
        last: number of the last frame that shows it.
        start: seconds of the first frame.
        end: seconds at which the last frame ends.
        evidence: reason to treat it as burned in; None without evidence.
        shape: covered pixels of the working frame.
        slides: frame number → offset from `shape`, in the frames in which it slides in or out.
        letters: frame number → pixels of letters of the same style in the frames around these.
        ink: style of the letters; None if it is not sure.
    """

    box: Box
    first: int
    last: int
    start: float
    end: float
    evidence: Evidence | None
    shape: Shape
    slides: Mapping[int, Offset] = field(default_factory=dict)
    letters: Mapping[int, Sequence[Shape]] = field(default_factory=dict)
    ink: Ink | None = None

    def find(self, index: int) -> Offset | None:
        """Return its offset from `shape` in frame `index`; None if it is not visible there."""
        return Offset(0, 0) if self.first <= index <= self.last else self.slides.get(index)

    def __str__(self) -> str:
        return f"{self.box} at {self.start:.1f}-{self.end:.1f} s"


class FoundText:
    """Result of `find_text`; a mask source.

    Attributes:
        captions: burned-in text in order of appearance.
        left_out: static text that may belong to the scene and is not masked.
        looks: number of frames in which text was detected.
    """

    def __init__(
        self, view: View, captions: list[Caption], left_out: list[Caption], looks: int, dilate: int
    ) -> None:
        self.captions, self.left_out, self.looks = tuple(captions), tuple(left_out), looks
        self._view, self._dilate = view, dilate
        self._shown: tuple[Sequence[object], ...] = ()
        self._hole: Mask = np.zeros(view.info.size.shape, np.bool_)

    def prepare(self, info: VideoInfo) -> None:
        """Check that the video has the size of the one that was searched; raise MaskError."""
        if info.size != self._view.info.size:
            raise MaskError(
                f"text was found in a video of {self._view.info.size}, but this one is {info.size}"
            )

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask of the text in frame `index`, bool `(h, w)`, coded orientation."""
        found = ((caption, caption.find(index)) for caption in self.captions)
        placed = [(caption, offset) for caption, offset in found if offset is not None]
        letters = [one for caption in self.captions for one in caption.letters.get(index, ())]
        shown = tuple((id(caption), offset) for caption, offset in placed), tuple(map(id, letters))
        if shown != self._shown:
            moved = (
                move_shape(caption.shape, offset, self._view.size) for caption, offset in placed
            )
            hole = self._view.enlarge([shape for shape in moved if shape is not None] + letters)
            self._hole = turn_to_coded(grow(hole, self._dilate), self._view.info)
            self._shown = shown
        return self._hole.copy()

    def close(self) -> None:
        """Do nothing; no file is open."""

    @property
    def notes(self) -> list[str]:
        """Notes for users, one line each."""
        if not self.left_out:
            return []
        return [
            f"left out, since it may belong to the scene: {_name_places(self.left_out)};"
            " name its place with `region` to take it"
        ]


def find_text(
    path: str | PathLike[str],
    *,
    region: Box | None = None,
    dilate: int = 0,
    bars: bool = True,
    detector: TextDetector | None = None,
    progress: Progress | None = None,
) -> FoundText:
    """Find burned-in text in a video, and its time spans.

    Args:
        path: a video file or a folder of images.
        region: area to search, in pixels, in display orientation; all static text there counts
            as burned in.
        dilate: pixels by which the mask of letters, outlines and shadows is dilated.
        bars: also mask the bars behind text.
        detector: detector of text in one picture; by default RapidOCR's.
        progress: called with the number of frames done and in total.

    Raises:
        InputError: the extra `[text]` is not installed.
        VideoError: the video cannot be read.
        MaskError: the region is outside the frame, or there is no burned-in text.
    """
    info = probe(Path(path))
    view = View.choose(info, region)
    if detector is None:
        check_detector()
    search = _Search(view, detector or RapidDetector(), bars, anywhere=region is not None)
    with open_reader(path, info) as reader:
        for done, picture in enumerate(reader, 1):
            search.push(picture.index, float(picture.time), view.shrink(picture.rgb))
            if progress is not None:
                progress(done, info.frame_count)
    timeline = read_timeline(info)
    captions, left_out = ([_until_gone(one, timeline) for one in many] for many in search.finish())
    if not captions:
        raise MaskError(_describe_nothing(Path(path), region, left_out))
    return FoundText(view, captions, left_out, search.looks, dilate)


def _until_gone(caption: Caption, timeline: Timeline) -> Caption:
    """Set the end of the caption to the end of its last frame instead of that frame's start."""
    last = timeline.find_nearest(Fraction(caption.end))
    return replace(caption, end=float(timeline.find_end(timeline[last])))


class _Search:
    """Search through the working frames; keeps only the shapes of captions, which are small."""

    def __init__(self, view: View, detector: TextDetector, bars: bool, *, anywhere: bool) -> None:
        self._view, self._bars, self._anywhere = view, bars, anywhere
        self._camera = CameraMotion()
        self._detector = detector
        self._finder = CaptionFinder(self, on_look=self._camera.push)
        self._found: list[Caption] = []
        self._letters: list[Box] = []  # boxes of the letters of `_found`, in the working frame
        self._samples: list[Frame] = []  # for the detection of letterbox bars
        self._every = 1
        """Interval of the samples in frames; doubled when there are more than the maximum."""

    @property
    def looks(self) -> int:
        return self._finder.looks

    def detect(self, frame: Frame) -> list[Box]:
        """Detect text in a working frame; drop boxes too large for a line of text."""
        whole = self._view.info.display_size
        found = [(box, self._view.locate(box)) for box in self._detector.detect(frame)]
        return [
            box
            for box, shown in found
            if shown.height <= _TUNING.tallest * whole.height
            and shown.width * shown.height <= _TUNING.most * whole.width * whole.height
        ]

    def push(self, index: int, time: float, frame: Frame) -> None:
        if index % self._every == 0:
            self._samples.append(frame)
        if len(self._samples) > _TUNING.samples:
            self._samples, self._every = self._samples[::2], 2 * self._every
        for track in self._finder.push(index, time, frame):
            self._keep(track)

    def finish(self) -> tuple[list[Caption], list[Caption]]:
        """Split captions into burned-in text and text that may belong to the scene."""
        for track in self._finder.finish():
            self._keep(track)
        captions = _spread_by_style(_join_lines(self._without_picture()))
        burned_in = [one for one in captions if one.evidence is not None]
        doubtful = [
            one
            for one in captions
            if one.evidence is None
            and _is_worth_a_word(one)
            and not any(_shares_place(one, other) for other in burned_in)
        ]
        return burned_in, doubtful

    def _without_picture(self) -> list[Caption]:
        """Collect the captions; cut the shape of one in a letterbox bar at the picture's border."""
        # Letters would hide the border of a bar, so their pixels are unknown.
        known = np.ones(self._view.size.shape, np.bool_)
        for caption in self._found:
            known[caption.shape.area.slices] &= ~caption.shape.covers
        picture = find_picture([(frame, known) for frame in self._samples])
        return [
            replace(caption, shape=cut_off(caption.shape, picture))
            if _is_outside(letters, picture)
            else caption
            for caption, letters in zip(self._found, self._letters, strict=True)
        ]

    def _keep(self, track: CaptionTrack) -> None:
        evidence = weigh(track, self._camera, self._view.size)
        if evidence is None and self._anywhere and track.is_steady:
            evidence = Evidence.REGION
        self._letters.append(track.template.box)
        self._found.append(
            Caption(
                self._view.locate(track.template.box),
                track.first.index,
                track.last.index,
                track.first.time,
                track.last.time,
                evidence,
                find_shape(track, bars=self._bars),
                track.slides,
                {index: (shape,) for index, shape in track.letters.items()},
                track.ink.without_frames() if track.ink is not None else None,
            )
        )


def _is_outside(letters: Box, picture: Box) -> bool:
    """Whether letters are in a letterbox bar; their box may extend slightly into the picture."""
    common = overlap(letters, picture)
    return (
        common is None
        or common.height * common.width < _TUNING.across * letters.height * letters.width
    )


def _join_lines(captions: list[Caption]) -> list[Caption]:
    """Join neighbouring lines with the same time span to one caption.

    Evidence for one line counts for the others, too.
    """
    joined: list[Caption] = []
    for caption in sorted(captions, key=lambda one: (one.first, one.box.y)):
        for place, other in enumerate(joined):
            if _belong_together(caption, other):
                joined[place] = _join(other, caption)
                break
        else:
            joined.append(caption)
    return joined


def _spread_by_style(captions: list[Caption]) -> list[Caption]:
    """Count text of the same style in the same rows as burned-in text as burned in, too."""
    sure = [one for one in captions if one.evidence is not None and one.ink is not None]
    return [
        replace(one, evidence=Evidence.STYLE)
        if one.evidence is None and any(_has_style(one, other) for other in sure)
        else one
        for one in captions
    ]


def _has_style(one: Caption, other: Caption) -> bool:
    if one.ink is None or other.ink is None or not one.ink.is_like(other.ink):
        return False
    middle, centre = one.box.y + one.box.height / 2, other.box.y + other.box.height / 2
    return abs(middle - centre) < _TUNING.apart * max(one.box.height, other.box.height)


def _belong_together(one: Caption, other: Caption) -> bool:
    """Whether both appear and vanish at the same time, in neighbouring lines."""
    if abs(one.first - other.first) > 1 or abs(one.last - other.last) > 1:
        return False
    a, b = one.box, other.box
    # Vertical and horizontal gap in pixels; negative if the boxes overlap.
    down = max(a.y, b.y) - min(a.y + a.height, b.y + b.height)
    across = max(a.x, b.x) - min(a.x + a.width, b.x + b.width)
    return down < _TUNING.apart * min(a.height, b.height) and across < 0


def _join(one: Caption, other: Caption) -> Caption:
    evidence = one.evidence or other.evidence
    a, b = one.box, other.box
    x, y = min(a.x, b.x), min(a.y, b.y)
    right, bottom = max(a.x + a.width, b.x + b.width), max(a.y + a.height, b.y + b.height)
    return replace(
        one,
        box=Box(x, y, right - x, bottom - y),
        first=min(one.first, other.first),
        last=max(one.last, other.last),
        start=min(one.start, other.start),
        end=max(one.end, other.end),
        evidence=evidence,
        shape=join_shapes([one.shape, other.shape]),
        slides={**other.slides, **one.slides},
        letters={
            index: (*one.letters.get(index, ()), *other.letters.get(index, ()))
            for index in {**one.letters, **other.letters}
        },
    )


def _shares_place(one: Caption, other: Caption) -> bool:
    """Whether `other` covers most of `one` at a common time, as while a caption slides in."""
    if one.first > other.last or other.first > one.last:
        return False
    common = overlap(one.box, other.box)
    return common is not None and 2 * common.width * common.height > one.box.width * one.box.height


def _is_worth_a_word(caption: Caption) -> bool:
    """Whether it lasts long enough and is as wide as a word."""
    is_long = caption.end - caption.start >= _TUNING.worth
    return is_long and caption.box.width > _TUNING.word * caption.box.height


def _name_places(captions: list[Caption] | tuple[Caption, ...]) -> str:
    named = ", ".join(str(one) for one in captions[:_NAMED])
    more = len(captions) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def _describe_nothing(path: Path, region: Box | None, left_out: list[Caption]) -> str:
    where = f" in region {region}" if region is not None else ""
    if left_out:
        return (
            f"no text in '{path}'{where} is certainly burned in; static text may belong to the"
            f" scene: {_name_places(left_out)}. Name its place with `region` to mask it"
        )
    return f"no burned-in text was found in '{path}'{where}; mark it with a box or a mask instead"
