"""Decide whether text is burned in, and find its pixels: letters, outline, shadow, bar."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.captions import CaptionTrack, Moment
from cleanplate.masks.source import Shape, dilate_ellipse, ellipse
from cleanplate.masks.template import Template
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_TRAVEL = 3.0
"""Pixels that the picture must move under text before its motion counts as evidence."""
_NOISE = 1.0
"""Maximum median difference in levels between two frames of a static picture."""
_AGREE = 0.4
"""Fraction of the tracked points that must agree on the camera motion."""
_STILL = 1.0
"""Pixels of travel up to which the camera counts as static."""
_CALM = 2.5
"""Deviation in levels below which letters certainly do not move with the picture."""
_LONG = 0.8
"""Seconds that text must last for its place to count as evidence."""
_SUDDEN, _AROUND = 25.0, 0.3
"""Minimum change in levels of letters that appear at once; maximum fraction of it around them."""


class Evidence(Enum):
    """Reason to treat text as burned in."""

    CAMERA = "it is static while the camera moves"
    BACKGROUND = "it is static while the picture behind it changes"
    SUDDEN = "it appears or vanishes from one frame to the next"
    PLACE = "it is at the usual place of captions"
    REGION = "it is static in the given region"


class CameraMotion:
    """Motion of the whole picture between the frames in which text is detected."""

    def __init__(self) -> None:
        self._last: tuple[int, Frame] | None = None
        self._steps: list[tuple[int, int, npt.NDArray[np.float64] | None]] = []

    def push(self, moment: Moment) -> None:
        """Add the next of these frames."""
        gray = np.asarray(cv2.cvtColor(moment.frame, cv2.COLOR_RGB2GRAY), np.uint8)
        if self._last is not None:
            index, before = self._last
            self._steps.append((index, moment.index, _estimate_motion(before, gray)))
        self._last = moment.index, gray

    def travel(self, box: Box, first: int, last: int) -> float | None:
        """Measure how far the picture under the centre of `box` moved from frame `first`.

        Returns the largest distance in pixels until frame `last`, or None if the motion is not
        known all the time.
        """
        start = np.array([box.x + box.width / 2, box.y + box.height / 2])
        place, most = start, 0.0
        steps = [step for step in self._steps if step[0] >= first and step[1] <= last]
        for _, _, motion in steps:
            if motion is None:
                # Enough travel before the gap is evidence all the same.
                return None if most < _TRAVEL else most
            place = motion @ np.array([*place, 1.0])
            most = max(most, float(np.hypot(*(place - start))))
        return most if steps else None


def weigh(track: CaptionTrack, camera: CameraMotion, size: Size) -> Evidence | None:
    """Return why `track` in frames of `size` is burned in; None without evidence."""
    box = track.template.box
    if not track.is_steady:
        return None
    travel = camera.travel(box, track.first.index, track.last.index)
    lively, letters = _measure_change(track)
    # The strongest evidence first: text that keeps its place while the scene moves is not part of
    # the scene. If the letters change with the scene, the camera may follow a sign.
    if travel is not None and travel > _TRAVEL:
        stays = letters < _CALM or lively > max(4.0, 1.3 * letters)
        return Evidence.CAMERA if stays else None
    # Objects that pass behind a real sign change its surroundings, too, but with a static camera.
    # So a changing background counts only if the camera moves, or its motion is unknown.
    if travel is None and lively > max(6.0, 1.6 * letters):
        return Evidence.BACKGROUND
    if travel is not None and travel > _STILL and lively > max(6.0, 2.5 * letters):
        return Evidence.BACKGROUND
    # Nothing in a scene appears from one frame to the next.
    if _comes_at_once(track):
        return Evidence.SUDDEN
    # In a static picture only the place is left, and only for text that stays for a while.
    calm = travel is None or travel <= _STILL or letters < _CALM
    stands_long = track.last.time - track.first.time >= _LONG
    return Evidence.PLACE if calm and stands_long and _is_caption_place(box, size) else None


def _measure_change(track: CaptionTrack) -> tuple[float, float]:
    """Measure the deviation over time between or around the letters, and that of the letters."""
    template = track.template
    strokes, deviation = template.strokes, template.deviation
    # Keep off the letters' antialiased edges, unless too few pixels are left.
    between = template.inside & ~_grow(strokes, 2)
    if between.sum() < 30:
        between = template.inside & ~_grow(strokes, 1)
    around = float(np.median(deviation[~template.inside]))
    inside = float(np.percentile(deviation[between], 60)) if between.any() else 0.0
    return max(inside, around), float(np.median(deviation[strokes]))


def _comes_at_once(track: CaptionTrack) -> bool:
    """Whether the letters appear or vanish between two frames while their surroundings stay."""
    pairs = ((track.before, track.full[0]), (track.after, track.full[1]))
    return any(gone is not None and _differs(track, gone, there) for gone, there in pairs)


def _differs(track: CaptionTrack, gone: Moment, there: Moment) -> bool:
    """Whether the letters, and only they, are in `there` and not in `gone`."""
    # Text that is nearby in the other frame has moved, not vanished.
    if abs(gone.index - there.index) > 1 or track.template.is_beside(gone.frame):
        return False
    area = track.template.area.slices
    change = cv2.absdiff(gone.frame[area], there.frame[area]).max(axis=2)
    # A cut changes the rim as much as the letters.
    rim = np.ones(change.shape, np.bool_)
    rim[2:-2, 2:-2] = False
    letters = float(np.median(change[track.template.strokes]))
    return letters > _SUDDEN and float(np.percentile(change[rim], 75)) < _AROUND * letters


def _is_caption_place(box: Box, size: Size) -> bool:
    """Whether the box is a line in the middle of the lower third, or at the top."""
    x, y = (box.x + box.width / 2) / size.width, (box.y + box.height / 2) / size.height
    is_line = box.width > 2 * box.height
    return is_line and abs(x - 0.5) < 0.1 and (y > 0.7 or y < 0.15)


def _estimate_motion(before: Frame, after: Frame) -> npt.NDArray[np.float64] | None:
    """Estimate the similarity transform `(2, 3)` of most points; None if they disagree."""
    points = cv2.goodFeaturesToTrack(before, 200, 0.01, 8)
    if points is not None and len(points) >= 12:
        moved, back = _follow(before, after, points)
        # Forward-backward consistency drops points that are occluded or mistracked.
        good = np.abs(back - points).max(axis=(1, 2)) < 1
        if good.sum() >= 10:
            motion, agree = cv2.estimateAffinePartial2D(
                points[good], moved[good], ransacReprojThreshold=1.5
            )
            if motion is not None and agree.sum() >= _AGREE * len(points):
                return np.asarray(motion, np.float64)
    # Too little texture to track: a picture without any change has not moved.
    unchanged = float(np.median(cv2.absdiff(before, after))) <= _NOISE
    return np.eye(2, 3) if unchanged else None


def _follow(
    before: Frame, after: Frame, points: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Track `points` `(n, 1, 2)` forward and back again; lost points are far away."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, maxLevel=4)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, moved, None, maxLevel=4)
    back[(found[:, 0] == 0) | (found_back[:, 0] == 0)] = -1e4
    return moved, back


def _grow(mask: Mask, pixels: int) -> Mask:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel), np.bool_)


_INK = 0.15
"""Contrast of ink, as a fraction of the letters' strongest."""
_STRONG_INK = 0.5
"""The same left and right of the box, where detectors leave out dashes and quotation marks."""
_CHANGED = 4.0
"""Minimum change in levels where a bar appears."""
_FILLED, _OUTSIDE = 0.8, 0.6
"""Minimum changed fraction of a bar's rows and columns; maximum of those next to it."""
_STEP = 2.5
"""Mean difference over time, in levels, between a bar and the picture next to it."""


def find_shape(track: CaptionTrack, *, bars: bool = True) -> Shape:
    """Find all pixels of `track`: its letters and, with `bars`, the bar behind them."""
    area, letters = track.template.area, find_letters(track.template)
    bar = find_bar(track) if bars else None
    if bar is None:
        return Shape(area, letters)
    # Compression blurs the edge of a bar into the pixels next to it.
    around = Box(bar.x - 1, bar.y - 1, bar.width + 2, bar.height + 2)
    height, width = track.first.frame.shape[:2]
    return join_shapes([Shape(area, letters), _fill_box(around, Size(width, height))])


def join_shapes(shapes: Sequence[Shape]) -> Shape:
    """Join shapes to one that covers all of them."""
    left, top = (min(getattr(shape.area, name) for shape in shapes) for name in ("x", "y"))
    right = max(shape.area.x + shape.area.width for shape in shapes)
    bottom = max(shape.area.y + shape.area.height for shape in shapes)
    joined = np.zeros((bottom - top, right - left), np.bool_)
    for area, covers in shapes:
        x, y = area.x - left, area.y - top
        joined[y : y + area.height, x : x + area.width] |= covers
    return Shape(Box(left, top, right - left, bottom - top), joined)


def _fill_box(box: Box, size: Size) -> Shape:
    """Make a shape of the part of a rectangle inside a frame of `size`."""
    inside = box.clipped(size)
    if inside is None:
        raise ValueError(f"box {box} is outside the frame")
    return Shape(inside, np.ones(inside.size.shape, np.bool_))


def find_letters(template: Template) -> Mask:
    """Find the letters with outline and shadow, bool `(h, w)` in the template's area.

    Ink differs from the coarse structure of the mean picture. It is closed and grown by a fraction
    of the line's height, since an outline or a shadow may be faint.
    """
    height = template.box.height
    reach = max(2, round(0.12 * height))
    mean = template.mean
    side = max(3, height // 2) | 1
    detail = np.abs(mean - cv2.blur(mean, (side, side))).max(axis=2)
    strong = float(np.percentile(detail[template.inside], 95))
    # Inside the box faint ink counts, as letters are known to be there. Left and right of it only
    # strong ink does, as the background has texture, too.
    ink = (detail > _INK * strong) & dilate_ellipse(template.inside, max(1, reach // 2))
    ink |= (detail > _STRONG_INK * strong) & _beside(template)
    closed = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_CLOSE, ellipse(reach))
    return dilate_ellipse(closed.astype(np.bool_), reach)


def _beside(template: Template) -> Mask:
    """Mark the rows of the area that the box spans."""
    band = np.zeros(template.area.size.shape, np.bool_)
    band[template.inside.any(axis=1)] = True
    return band


def find_bar(track: CaptionTrack) -> Box | None:
    """Find the bar behind the text, in the frame's pixels; None if there is none.

    It is the rectangle around the letters that changes when the caption appears or vanishes. If no
    frame shows that, it is the rectangle with four straight edges in the mean picture over time.
    """
    pairs = ((track.before, track.full[0]), (track.after, track.full[1]))
    found = [_find_changed(track, gone, there) for gone, there in pairs if gone is not None]
    bars = [box for box in found if box is not None]
    if bars:
        # Motion around the bar can only make the changed area larger, so take the smaller one.
        return min(bars, key=lambda box: box.width * box.height)
    return _find_edged(track.template)


def _find_changed(track: CaptionTrack, gone: Moment, there: Moment) -> Box | None:
    """Find the rectangle that differs between a frame without the caption and one with it."""
    box = track.template.box
    change = cv2.absdiff(gone.frame, there.frame).max(axis=2)
    # A bar covers less than 40 % of the frame: this percentile is the change by motion and noise.
    usual = float(np.percentile(change, 60))
    changed = change > max(_CHANGED, 1.5 * usual)
    rows = _run_around(changed[:, box.slices[1]].mean(axis=1), box.y + box.height // 2)
    if rows is None:
        return None
    # Columns only over the rows found, or the picture above and below would decide.
    columns = _run_around(changed[rows].mean(axis=0), box.x + box.width // 2)
    if columns is None:
        return None
    bar = Box(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    return bar if _is_bar(bar, box) else None


def _run_around(share: npt.NDArray[np.floating], middle: int) -> slice | None:
    """Find the run of high shares around `middle`; None unless the shares next to it are low."""
    low = np.flatnonzero(share < _FILLED)
    before, after = low[low < middle], low[low > middle]
    start = int(before[-1]) + 1 if len(before) else 0
    stop = int(after[0]) if len(after) else len(share)
    if share[middle] < _FILLED:
        return None
    # The next line may be half covered, so the one beyond it decides.
    beside = [share[at] for at in (start - 2, stop + 1) if 0 <= at < len(share)]
    return slice(start, stop) if all(value < _OUTSIDE for value in beside) else None


def _find_edged(template: Template) -> Box | None:
    """Find the rectangle around the box whose four edges stay while the picture moves."""
    area, box = template.area, template.box
    mean = template.mean.mean(axis=2)
    x, y = box.x - area.x, box.y - area.y
    # The median along a line ignores letters, which cover less than half of it.
    down = np.median(np.diff(mean[:, x : x + box.width], axis=0), axis=1)
    top, bottom = _find_edges(down, y + box.height // 4, y + box.height * 3 // 4)
    if top is None or bottom is None:
        return None
    across = np.median(np.diff(mean[top:bottom], axis=1), axis=0)
    left, right = _find_edges(across, x + box.height // 2, x + box.width - box.height // 2)
    if left is None or right is None:
        return None
    bar = Box(area.x + left, area.y + top, right - left, bottom - top)
    return bar if _is_bar(bar, box) else None


def _find_edges(
    steps: npt.NDArray[np.floating], before: int, after: int
) -> tuple[int | None, int | None]:
    """Find the largest steps: one before `before`, one of the opposite sign from `after` on."""
    size = np.abs(steps)
    if not 0 < before <= after < len(steps):
        return None, None
    first, last = int(size[:before].argmax()), after + int(size[after:].argmax())
    # A bar is darker or brighter than both sides, so its two edges have opposite signs.
    opposite = steps[first] * steps[last] < 0
    if not opposite or min(size[first], size[last]) < _STEP:
        return None, None
    return first + 1, last + 1


def _is_bar(bar: Box, text: Box) -> bool:
    """Whether `bar` encloses one or a few lines of text, and hardly more."""
    encloses = bar.width > 0.9 * text.width and bar.height > 0.9 * text.height
    return encloses and bar.height < 4 * text.height
