"""Masks of burned-in text: subtitles, captions, and logos that are letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np

from cleanplate.errors import MaskError
from cleanplate.masks.captions import (
    CaptionFinder,
    CaptionTrack,
    RapidDetector,
    TextDetector,
    check_detector,
)
from cleanplate.masks.letters import CameraMotion, Evidence, find_shape, join_shapes, weigh
from cleanplate.masks.source import Frame, Mask, Shape, View, turn_to_coded
from cleanplate.masks.source import dilate as grow
from cleanplate.motion import find_picture
from cleanplate.motion.areas import overlap, within
from cleanplate.types import Box
from cleanplate.video import Timeline, VideoInfo, open_reader, probe, read_timeline

Progress = Callable[[int, int | None], None]

_MOST = 0.5
"""Share of the picture that no line of text fills; the detector at times frames all of it."""
_TALLEST = 0.25
"""Height of a line of text at most, as a share of the picture's."""
_SAMPLES = 16
"""Working frames that are kept to find letterbox bars in, at most."""
_ACROSS = 0.2
"""Share of the letters' box that may lie in the picture where the letters stand in a bar."""
_NAMED = 3
"""Places named in a message at most."""


@dataclass(frozen=True)
class Caption:
    """Text that stands still, and when.

    Attributes:
        box: around it, in pixels of the video as people see it.
        first: number of the first frame that shows it.
        last: number of the last one.
        start: seconds of the first frame.
        end: seconds at which the last one leaves the screen.
        evidence: why it is taken for burned in; None where nothing says so.
        shape: the pixels it covers, in the working frame.
    """

    box: Box
    first: int
    last: int
    start: float
    end: float
    evidence: Evidence | None
    shape: Shape

    def __str__(self) -> str:
        return f"{self.box} at {self.start:.1f}-{self.end:.1f} s"


class FoundText:
    """What `find_text` found; a mask source.

    Attributes:
        captions: burned-in text in order of appearance.
        left_out: text that stands still but may belong to the scene; no part of the mask.
        looks: pictures in which text was looked for.
    """

    def __init__(
        self, view: View, captions: list[Caption], left_out: list[Caption], looks: int, dilate: int
    ) -> None:
        self.captions, self.left_out, self.looks = tuple(captions), tuple(left_out), looks
        self._view, self._dilate = view, dilate
        self._shown: tuple[int, ...] = ()
        self._hole: Mask = np.zeros(view.info.size.shape, np.bool_)

    def prepare(self, info: VideoInfo) -> None:
        """The video must be as large as the one in which the text was found; raises MaskError."""
        if info.size != self._view.info.size:
            raise MaskError(
                f"text was found in a video of {self._view.info.size}, but this one is {info.size}"
            )

    def mask(self, index: int, time: Fraction) -> Mask:
        """The text that stands in frame `index`, bool `(h, w)`, coded orientation."""
        shown = tuple(
            number for number, one in enumerate(self.captions) if one.first <= index <= one.last
        )
        if shown != self._shown:
            hole = self._view.enlarge([self.captions[number].shape for number in shown])
            self._hole = turn_to_coded(grow(hole, self._dilate), self._view.info)
            self._shown = shown
        return self._hole.copy()

    def close(self) -> None:
        """Nothing is open."""

    @property
    def notes(self) -> list[str]:
        """What a person should know, a line each."""
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
    """Find the text that is burned into a video, and when it stands.

    Args:
        path: a video file or a folder of images.
        region: look only there, in pixels of the video as people see it; then all text that
            stands still counts as burned in.
        dilate: pixels by which the mask is larger than the letters, outlines and shadows found.
        bars: mask the bars behind text, too.
        detector: finds text in one picture; by default RapidOCR's.
        progress: called with the frames done and their number.

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
    """The caption with the end of its last frame in place of that frame's start."""
    last = timeline.find_nearest(Fraction(caption.end))
    return replace(caption, end=float(timeline.find_end(timeline[last])))


class _Search:
    """Follows text through the working frames and keeps only what is small: its shape."""

    def __init__(self, view: View, detector: TextDetector, bars: bool, *, anywhere: bool) -> None:
        self._view, self._bars, self._anywhere = view, bars, anywhere
        self._camera = CameraMotion()
        self._detector = detector
        self._finder = CaptionFinder(self, on_look=self._camera.push)
        self._found: list[Caption] = []
        self._letters: list[Box] = []  # of those, in the working frame
        self._samples: list[Frame] = []  # of the whole video, to find letterbox bars in
        self._every = 1
        """Frames from one sample to the next; it doubles, so that few are kept."""

    @property
    def looks(self) -> int:
        return self._finder.looks

    def detect(self, frame: Frame) -> list[Box]:
        """What may be a line of text, by its size in the whole picture."""
        whole = self._view.info.display_size
        found = [(box, self._view.locate(box)) for box in self._detector.detect(frame)]
        return [
            box
            for box, shown in found
            if shown.height <= _TALLEST * whole.height
            and shown.width * shown.height <= _MOST * whole.width * whole.height
        ]

    def push(self, index: int, time: float, frame: Frame) -> None:
        if index % self._every == 0:
            self._samples.append(frame)
        if len(self._samples) > _SAMPLES:
            self._samples, self._every = self._samples[::2], 2 * self._every
        for track in self._finder.push(index, time, frame):
            self._keep(track)

    def finish(self) -> tuple[list[Caption], list[Caption]]:
        """Burned-in text, and text that may not be."""
        for track in self._finder.finish():
            self._keep(track)
        captions = _join_lines(self._without_picture())
        burned_in = [one for one in captions if one.evidence is not None]
        doubtful = [one for one in captions if one.evidence is None and _is_worth_a_word(one)]
        return burned_in, doubtful

    def _without_picture(self) -> list[Caption]:
        """The captions found; the shape of one in a letterbox bar keeps out of the picture."""
        known = np.ones(self._view.size.shape, np.bool_)
        for caption in self._found:
            known[caption.shape.area.slices] &= ~caption.shape.covers
        picture = find_picture([(frame, known) for frame in self._samples])
        return [
            replace(caption, shape=_cut_off(caption.shape, picture))
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
            )
        )


def _is_outside(letters: Box, picture: Box) -> bool:
    """Whether letters stand in a letterbox bar; their box may reach a little beyond it."""
    common = overlap(letters, picture)
    return common is None or common.height * common.width < _ACROSS * letters.height * letters.width


def _cut_off(shape: Shape, picture: Box) -> Shape:
    """The part of `shape` outside `picture`."""
    common = overlap(shape.area, picture)
    if common is None:
        return shape
    covers = shape.covers.copy()
    covers[within(common, shape.area).slices] = False
    return Shape(shape.area, covers)


def _join_lines(captions: list[Caption]) -> list[Caption]:
    """Put lines that stand at the same time next to each other into one caption each.

    What tells of one line tells of the other, too.
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


def _belong_together(one: Caption, other: Caption) -> bool:
    """Both come and go at the same time, in neighbouring lines."""
    if abs(one.first - other.first) > 1 or abs(one.last - other.last) > 1:
        return False
    a, b = one.box, other.box
    above = max(a.y, b.y) - min(a.y + a.height, b.y + b.height)
    beside = max(a.x, b.x) - min(a.x + a.width, b.x + b.width)
    return above < 0.5 * min(a.height, b.height) and beside < 0


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
    )


def _is_worth_a_word(caption: Caption) -> bool:
    """It stands for a second and is as wide as a word."""
    return caption.end - caption.start >= 1 and caption.box.width > 1.5 * caption.box.height


def _name_places(captions: list[Caption] | tuple[Caption, ...]) -> str:
    named = ", ".join(str(one) for one in captions[:_NAMED])
    more = len(captions) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def _describe_nothing(path: Path, region: Box | None, left_out: list[Caption]) -> str:
    where = f" in region {region}" if region is not None else ""
    if left_out:
        return (
            f"no text in '{path}'{where} is surely burned in; what stands still may belong to the"
            f" scene: {_name_places(left_out)}. Name its place with `region` to take it"
        )
    return f"no burned-in text was found in '{path}'{where}; mark it with a box or a mask instead"
