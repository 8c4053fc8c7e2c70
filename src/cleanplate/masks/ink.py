"""Segment letters by their ink: the colour of the strokes and that of the rim around them.

A caption that slides, grows, is typed, or follows another one in the same band keeps its style. So
the style that one caption shows finds the letters of its neighbours in time, even single ones that
no detector takes for text. A style is used only if it finds its own caption and little else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Shape, dilate_ellipse, ellipse
from cleanplate.masks.template import Template
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class InkTuning:
    """Constants of segmentation by style. Colours lie on a line from the rim's to the fill's."""

    contrast: float = 50.0
    """Minimum distance in levels between the colours of fill and rim."""
    pure: float = 60.0
    """Percentile of contrast from which a pixel shows the pure fill: edges are mixed."""
    filled: float = 0.6
    """Place on the line from which a pixel is ink: antialiased edges of thin strokes reach it."""
    beside: float = 0.45
    """Maximum distance from the line, as a fraction of its length."""
    rim: float = 0.35
    """Place on the line up to which a pixel shows the rim."""
    bright: float = 0.85
    """Place on the line that the brightest tenth of a letter must reach."""
    off: float = 0.08
    """Distance from the line by which letters may exceed those of the caption itself."""
    ringed: float = 0.8
    """Minimum fraction of a letter's surroundings that shows the rim, of that in the caption."""
    tall: float = 1.5
    """Maximum height of a letter in heights of the line: while growing, text may overshoot."""
    low: float = 0.3
    """Minimum height of a letter in heights of the line: text may grow from a third."""
    stroke: float = 1.6
    """Maximum half width of a stroke in those of the caption, plus one pixel."""
    near: float = 0.5
    """Maximum distance of a dot from a letter in heights of the line."""
    found: float = 0.85
    """Minimum fraction of the caption's own strokes that the style must find."""
    stray: float = 0.15
    """Maximum area found beside the caption in its rows, as a fraction of that found in it."""
    alike: float = 60.0
    """Maximum distance in levels between the colours of one style."""
    size: float = 0.5
    """Minimum ratio of the heights of lines of one style: boxes of single words differ."""
    travel: int = 12
    """Pixels by which the scene may have moved under the caption."""
    same: float = 0.8
    """Correlation from which two patches show the same part of the scene."""
    reach: float = 0.14
    """Width of outline and shadow in heights of the line."""


_TUNING = InkTuning()


@dataclass(frozen=True)
class Ink:
    """Style of a caption.

    Attributes:
        fill: colour of the strokes, `(3,)`, 0 to 255.
        rim: colour around them.
        height: height of the line in pixels.
        stroke: half the width of the widest stroke in pixels.
        ringed: fraction of the letters' surroundings that shows the rim.
        apart: maximum distance from the line between the colours, as a fraction of its length.
        strokes: pixels `(h, w)` of the frame that the caption's own letters cover.
        scene: frames that show the caption, with its own letters blanked: what they show of the
            same looks belongs to the scene.
    """

    fill: npt.NDArray[np.float64]
    rim: npt.NDArray[np.float64]
    height: int
    stroke: float = float("inf")
    ringed: float = 0.0
    apart: float = _TUNING.beside
    strokes: Mask | None = None
    scene: tuple[Frame, ...] = ()

    @property
    def reach(self) -> int:
        """Pixels from a stroke to the end of outline and shadow."""
        return max(3, round(_TUNING.reach * self.height)) + 1

    def find(self, frame: Frame, region: Box, others: Sequence[Frame] = ()) -> Mask | None:
        """Find the strokes in `region` of `frame`, bool `(h, w)`; None without any.

        What frames long before or after, `others`, show in the same place belongs to the scene.
        """
        letters = self._find_letters(frame, region, (*self.scene, *others))
        if letters is None:
            return None
        whole = np.zeros(frame.shape[:2], np.bool_)
        whole[region.slices] = letters
        return whole

    def cover(self, strokes: Mask) -> Shape:
        """Cover strokes, bool `(h, w)`, with their outline and shadow."""
        x, y, width, height = cv2.boundingRect(strokes.astype(np.uint8))
        area = _widen(
            Box(x, y, width, height), self.reach, Size(strokes.shape[1], strokes.shape[0])
        )
        covers = strokes[area.slices].astype(np.uint8)
        closed = cv2.morphologyEx(covers, cv2.MORPH_CLOSE, ellipse(2))
        return Shape(area, dilate_ellipse(closed.astype(np.bool_), self.reach))

    def is_like(self, other: Ink) -> bool:
        """Whether both are one style, with letters of about the same height."""
        near = all(
            float(np.linalg.norm(a - b)) < _TUNING.alike
            for a, b in ((self.fill, other.fill), (self.rim, other.rim))
        )
        low, high = sorted((self.height, other.height))
        return near and low > _TUNING.size * high

    def without_frames(self) -> Ink:
        """Return the style alone, which is small."""
        return replace(self, strokes=None, scene=())

    def _find_letters(self, frame: Frame, region: Box, others: Sequence[Frame] = ()) -> Mask | None:
        """Find the strokes in `region`, bool `(region.height, region.width)`; None without any."""
        place, apart = self._place(frame[region.slices].astype(np.float32))
        ink = (place > _TUNING.filled) & (apart < self.apart)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8))
        if count < 2:
            return None
        letters, dots = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        shown = Size(frame.shape[1], frame.shape[0])
        for label in range(1, count):
            x, y, width, height, area = (int(value) for value in stats[label])
            if height > _TUNING.tall * self.height or area < 3:
                continue
            box = Box(x, y, width, height)
            part = labels[box.slices] == label
            if np.percentile(place[box.slices][part], 90) < _TUNING.bright:
                continue
            if not self._is_ringed(place, labels, label, box):
                continue
            place_in_frame = replace(box, x=box.x + region.x, y=box.y + region.y)
            if others and self._is_scene(frame, part, place_in_frame, others):
                continue
            at_border = region.y + y == 0 or region.y + y + height == shown.height
            if height >= _TUNING.low * self.height or (at_border and height >= 2):
                letters[label] = self._is_thin(part)
            else:
                dots[label] = True
        if not letters.any():
            return None
        found = letters[labels]
        if dots.any():
            near = dilate_ellipse(found, max(2, round(_TUNING.near * self.height)))
            touched = np.unique(labels[near & dots[labels]])
            letters[touched[touched > 0]] = True
            found = letters[labels]
        return np.asarray(found, np.bool_)

    def _place(self, pixels: Field) -> tuple[Field, Field]:
        """Project pixels on the line from rim (0) to fill (1); also return the distance from it."""
        line = (self.fill - self.rim).astype(np.float32)
        length = float(np.linalg.norm(line))
        away = pixels - self.rim.astype(np.float32)
        place = away @ line / length**2
        apart = np.linalg.norm(away - place[..., None] * line, axis=-1) / length
        return np.asarray(place, np.float32), np.asarray(apart, np.float32)

    def _is_ringed(self, place: Field, labels: npt.NDArray[np.int32], label: int, box: Box) -> bool:
        """Whether enough of the surroundings of a component shows the rim."""
        if self.ringed == 0:
            return True
        wide = _widen(box, 3, Size(place.shape[1], place.shape[0])).slices
        share = _measure_ring(place[wide], labels[wide] == label)
        return share is None or share > _TUNING.ringed * self.ringed

    def _is_scene(self, frame: Frame, part: Mask, box: Box, others: Sequence[Frame]) -> bool:
        """Whether another frame shows the same at `box`, at most moved a bit."""
        if self.strokes is not None and 2 * (part & self.strokes[box.slices]).sum() > part.sum():
            return False
        size = Size(frame.shape[1], frame.shape[0])
        wide = _widen(box, 2, size)
        patch = frame[wide.slices]
        near = _widen(wide, _TUNING.travel, size).slices
        return any(
            float(cv2.matchTemplate(other[near], patch, cv2.TM_CCOEFF_NORMED).max()) > _TUNING.same
            for other in others
        )

    def _is_thin(self, part: Mask) -> bool:
        return _measure_stroke(part) <= _TUNING.stroke * self.stroke + 1


def _measure_ring(place: Field, part: Mask) -> float | None:
    """Measure the fraction of rim one or two pixels around the strokes `part`."""
    ring = dilate_ellipse(part, 2) & ~dilate_ellipse(part, 1)
    # The lowest place nearby: compression blurs an outline of one pixel.
    lowest = cv2.erode(place, np.ones((3, 3), np.uint8))
    return float((lowest[ring] < _TUNING.rim).mean()) if ring.any() else None


def _measure_stroke(part: Mask) -> float:
    """Measure half the width of the widest stroke."""
    framed = np.pad(part.astype(np.uint8), 1)
    return float(cv2.distanceTransform(framed, cv2.DIST_L2, 3).max())


def _widen(box: Box, margin: int, size: Size) -> Box:
    wide = Box(box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin)
    inside = wide.clipped(size)
    assert inside is not None
    return inside


def learn_ink(template: Template, frames: Sequence[Frame]) -> Ink | None:
    """Learn the style of a caption from `frames` that show it; None if it is not sure."""
    strokes, signed = template.strokes, template.signed_detail
    fill = _drop_background(strokes & (signed > 0), template)
    ink = _choose_colours(template, fill, strokes & ~fill, signed)
    return _check(ink, template, fill, frames) if ink is not None else None


def _drop_background(fill: Mask, template: Template) -> Mask:
    """Drop what touches the border of the box: letters end within it, the background does not."""
    inner = cv2.erode(template.inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
    labels = cv2.connectedComponents(fill.astype(np.uint8))[1]
    outer = np.unique(labels[fill & ~inner])
    kept = fill & ~np.isin(labels, outer)
    # Where a tight box cuts its letters, too, most of the strokes would go.
    return kept if 2 * kept.sum() > fill.sum() or kept.sum() > 0.1 * template.inside.sum() else fill


def _choose_colours(template: Template, fill: Mask, other: Mask, contrast: Field) -> Ink | None:
    """Choose the colours of fill and rim from the mean picture."""
    rim = dilate_ellipse(fill, 3) & ~dilate_ellipse(fill, 1)
    rim = rim & other if (rim & other).sum() > 0.2 * rim.sum() else rim
    if fill.sum() < 10 or rim.sum() < 10:
        return None
    pure = fill & (contrast >= np.percentile(contrast[fill], _TUNING.pure))
    mean = template.mean
    colours = [np.median(mean[part], axis=0).astype(np.float64) for part in (pure, rim)]
    if np.linalg.norm(colours[0] - colours[1]) < _TUNING.contrast:
        return None
    return Ink(colours[0], colours[1], template.box.height)


def _check(ink: Ink, template: Template, fill: Mask, frames: Sequence[Frame]) -> Ink | None:
    """Measure the style in its own frames; None if it misses its letters or finds others."""
    size = Size(frames[0].shape[1], frames[0].shape[0])
    box, area = template.box, _widen(template.box, max(2, template.box.height // 4), size)
    rows = Box(0, box.y, size.width, box.height)
    own = np.zeros(size.shape, np.bool_)
    own[area.slices] = True
    wanted = np.zeros(size.shape, np.bool_)
    wanted[template.area.slices] = fill
    own, wanted = own[rows.slices], (wanted & own)[rows.slices]
    ink = _measure_looks(ink, frames, rows, wanted)
    for frame in frames:
        letters = ink._find_letters(frame, rows)
        if letters is None:
            return None
        if (dilate_ellipse(letters, 2) & wanted).sum() < _TUNING.found * wanted.sum():
            return None
        if (letters & ~own).sum() > _TUNING.stray * (letters & own).sum():
            return None
    strokes = np.zeros(size.shape, np.bool_)
    strokes[rows.slices] = dilate_ellipse(wanted, 1)
    return replace(ink, strokes=strokes, scene=tuple(_blank(frame, area) for frame in frames))


def _blank(frame: Frame, area: Box) -> Frame:
    """Make `area` of a frame flat, so that nothing there is like anything else."""
    blanked = frame.copy()
    blanked[area.slices] = 0
    return blanked


def _measure_looks(ink: Ink, frames: Sequence[Frame], rows: Box, wanted: Mask) -> Ink:
    """Measure strokes, their colours, and how much of the rim surrounds them."""
    strokes, rings, distances = [], [], []
    for frame in frames:
        place, apart = ink._place(frame[rows.slices].astype(np.float32))
        near = (place > _TUNING.filled) & dilate_ellipse(wanted, 1)
        letters = near & (apart < _TUNING.beside)
        if not letters.any():
            return ink
        strokes.append(_measure_stroke(letters))
        rings.append(_measure_ring(place, letters) or 0.0)
        distances.append(float(np.percentile(apart[letters], 95)))
    return replace(
        ink,
        stroke=float(np.median(strokes)),
        ringed=float(min(rings)),
        apart=min(_TUNING.beside, max(distances) + _TUNING.off),
    )
