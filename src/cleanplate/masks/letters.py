"""Decide whether text is burned in, and find its pixels: letters, outline, shadow, bar."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.band import Moment
from cleanplate.masks.shapes import fill_box, join_shapes
from cleanplate.masks.source import Shape, dilate_ellipse, ellipse
from cleanplate.masks.standing import CaptionTrack
from cleanplate.masks.template import Template
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EvidenceTuning:
    """Constants of the decision whether text is burned in.

    Deviations are over time, in levels: those of the letters, and those of the picture around them.
    """

    travel: float = 3.0
    """Minimum pixels that the picture moves under text to count: less may be an error of motion."""
    still: float = 1.0
    """Pixels of travel up to which the camera counts as static."""
    calm: float = 2.5
    """Deviation of letters that stay for certain: noise and compression reach that far."""
    lively: float = 4.0
    """Minimum deviation around letters that deviate themselves, while the camera moves."""
    lively_ratio: float = 1.3
    """The same as a multiple of the letters' deviation."""
    changing: float = 6.0
    """Minimum deviation around letters where motion proves nothing: stricter than `lively`."""
    changing_ratio: float = 1.6
    """The same as a multiple of the letters' deviation, if the camera motion is unknown."""
    changing_slow_ratio: float = 2.5
    """The same if the camera moves slightly: people passing a sign change its surroundings, too."""
    sudden: float = 25.0
    """Minimum change in levels of letters that appear from one frame to the next."""
    shift: int = 6
    """Pixels by which the camera may move from one frame to the next under these letters."""
    around: float = 0.3
    """Maximum change around them as a fraction of their own: a cut changes both."""
    long: float = 0.8
    """Seconds that text must last for its place to count as evidence."""
    middle: float = 0.1
    """Maximum distance of a caption's centre from the middle, as a fraction of the width."""
    low: float = 0.7
    """Height in the picture below which captions are usual, as a fraction from the top."""
    high: float = 0.15
    """Height in the picture above which captions are usual, as a fraction from the top."""
    agree: float = 0.4
    """Minimum fraction of the tracked points that agree on the camera motion."""
    noise: float = 1.0
    """Maximum median difference in levels between two frames of a static picture."""


_TUNING = EvidenceTuning()


class Evidence(Enum):
    """Reason to treat text as burned in."""

    CAMERA = "it is static while the camera moves"
    BACKGROUND = "it is static while the picture behind it changes"
    SUDDEN = "it appears or vanishes from one frame to the next"
    PLACE = "it is at the usual place of captions"
    REGION = "it is static in the given region"
    STYLE = "it has the style and the place of other burned-in text"


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
                return None if most < _TUNING.travel else most
            place = motion @ np.array([*place, 1.0])
            most = max(most, float(np.hypot(*(place - start))))
        return most if steps else None


def weigh(track: CaptionTrack, camera: CameraMotion, size: Size) -> Evidence | None:
    """Return why `track` in frames of `size` is burned in; None without evidence."""
    box = track.template.box
    if not track.is_steady:
        return None
    if track.is_short:
        return Evidence.SUDDEN if _comes_at_once(track, ends=2) else None
    travel = camera.travel(box, track.first.index, track.last.index)
    lively, letters = _measure_change(track)
    # The strongest evidence first: text that keeps its place while the scene moves is not part of
    # the scene. If the letters change with the scene, the camera may follow a sign.
    if travel is not None and travel > _TUNING.travel:
        stays = letters < _TUNING.calm or lively > max(
            _TUNING.lively, _TUNING.lively_ratio * letters
        )
        return Evidence.CAMERA if stays else None
    # Objects that pass behind a real sign change its surroundings, too, but with a static camera.
    # So a changing background counts only if the camera moves, or its motion is unknown.
    moves = travel is None or travel > _TUNING.still
    ratio = _TUNING.changing_ratio if travel is None else _TUNING.changing_slow_ratio
    if moves and lively > max(_TUNING.changing, ratio * letters):
        return Evidence.BACKGROUND
    # Nothing in a scene appears from one frame to the next.
    if _comes_at_once(track):
        return Evidence.SUDDEN
    # In a static picture only the place is left, and only for text that stays for a while.
    calm = travel is None or travel <= _TUNING.still or letters < _TUNING.calm
    stands_long = track.last.time - track.first.time >= _TUNING.long
    return Evidence.PLACE if calm and stands_long and _is_caption_place(box, size) else None


def _measure_change(track: CaptionTrack) -> tuple[float, float]:
    """Measure the standard deviation over time near the letters, and of the letters, in levels.

    Near the letters is between or around them, whichever is larger: a bar hides what is between.
    """
    template = track.template
    strokes, deviation = template.strokes, template.deviation
    # Leave out the antialiased edges of letters, unless too few pixels remain.
    between = template.inside & ~_grow(strokes, 2)
    if between.sum() < 30:
        between = template.inside & ~_grow(strokes, 1)
    around = float(np.median(deviation[~template.inside]))
    inside = float(np.percentile(deviation[between], 60)) if between.any() else 0.0
    return max(inside, around), float(np.median(deviation[strokes]))


def _comes_at_once(track: CaptionTrack, ends: int = 1) -> bool:
    """Whether the letters appear or vanish between two frames while their surroundings stay.

    `ends` is the number of ends at which they must.
    """
    pairs = ((track.before, track.full[0]), (track.after, track.full[1]))
    return sum(gone is not None and _differs(track, gone, there) for gone, there in pairs) >= ends


def _differs(track: CaptionTrack, gone: Moment, there: Moment) -> bool:
    """Whether the letters are in `there` but not in `gone`, with unchanged surroundings."""
    # If the other frame shows the text nearby, it moves, and that proves nothing.
    if abs(gone.index - there.index) > 1 or track.template.is_beside(gone.frame):
        return False
    area = track.template.area.slices
    # A cut changes the rim as much as the letters.
    rim = np.ones(track.template.area.size.shape, np.bool_)
    rim[2:-2, 2:-2] = False
    strokes = track.template.strokes
    change = cv2.absdiff(gone.frame[area], there.frame[area]).max(axis=2)
    letters = float(np.median(change[strokes]))
    if letters <= _TUNING.sudden:
        return False
    if float(np.percentile(change[rim], 75)) < _TUNING.around * letters:
        return True
    # The camera may move: compare with the other frame after the motion of the surroundings.
    return (
        track.ink is not None and _measure_rim(track, gone, there, rim) < _TUNING.around * letters
    )


def _measure_rim(track: CaptionTrack, gone: Moment, there: Moment, rim: Mask) -> float:
    """Measure the change of the rim in levels between two frames, after the best translation."""
    area, reach = track.template.area, _TUNING.shift
    padded = cv2.copyMakeBorder(gone.frame, reach, reach, reach, reach, cv2.BORDER_REFLECT)
    shown = there.frame[area.slices][rim]
    # Moved by x, y, the area of the padded picture begins there.
    moved = (
        padded[area.y + y : area.y + y + area.height, area.x + x : area.x + x + area.width][rim]
        for y in range(2 * reach + 1)
        for x in range(2 * reach + 1)
    )
    return min(float(np.percentile(cv2.absdiff(one, shown).max(axis=1), 75)) for one in moved)


def _is_caption_place(box: Box, size: Size) -> bool:
    """Whether the box is a line in the middle of the lower third, or at the top."""
    x, y = (box.x + box.width / 2) / size.width, (box.y + box.height / 2) / size.height
    is_line = box.width > 2 * box.height
    return is_line and abs(x - 0.5) < _TUNING.middle and (y > _TUNING.low or y < _TUNING.high)


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
            if motion is not None and agree.sum() >= _TUNING.agree * len(points):
                return np.asarray(motion, np.float64)
    # With too little texture to track, an unchanged picture still proves a static camera.
    unchanged = float(np.median(cv2.absdiff(before, after))) <= _TUNING.noise
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


@dataclass(frozen=True)
class LetterTuning:
    """Constants of finding the pixels of letters and of the bar behind them."""

    ink: float = 0.15
    """Minimum contrast of ink as a fraction of the strongest: outlines and shadows are faint."""
    strong_ink: float = 0.5
    """The same left and right of the box, where detectors leave out dashes and quotation marks."""
    outline: float = 0.12
    """Width of outline and shadow in heights of the line."""
    changed: float = 4.0
    """Minimum change in levels where a bar appears: noise stays below it."""
    usual: float = 60.0
    """Percentile of the change that motion and noise cause: a bar covers less than 40 %."""
    unusual: float = 1.5
    """Minimum change where a bar appears, as a multiple of the usual change."""
    filled: float = 0.8
    """Minimum changed fraction of a bar's rows and columns: letters on it may not change."""
    outside: float = 0.6
    """Maximum changed fraction of the rows and columns next to a bar."""
    step: float = 2.5
    """Minimum mean difference over time, in levels, between a bar and the picture next to it."""
    encloses: float = 0.9
    """Minimum size of a bar in sizes of the text: detectors draw boxes slightly too large."""
    lines: float = 4.0
    """Maximum height of a bar in heights of a line: more is an area of the scene."""


_LETTERS = LetterTuning()


def find_shape(track: CaptionTrack, *, bars: bool = True) -> Shape:
    """Find all pixels of `track`: its letters and, with `bars`, the bar behind them."""
    area, letters = track.template.area, find_letters(track.template)
    bar = find_bar(track) if bars else None
    if bar is None:
        return Shape(area, letters)
    # Compression blurs the edge of a bar into the pixels next to it.
    around = Box(bar.x - 1, bar.y - 1, bar.width + 2, bar.height + 2)
    height, width = track.first.frame.shape[:2]
    return join_shapes([Shape(area, letters), fill_box(around, Size(width, height))])


def find_letters(template: Template) -> Mask:
    """Find the letters with outline and shadow, bool `(h, w)` in the template's area.

    Ink differs from the coarse structure of the mean picture. It is closed and grown by a fraction
    of the line's height, since an outline or a shadow may be faint.
    """
    height = template.box.height
    reach = max(2, round(_LETTERS.outline * height))
    mean = template.mean
    side = max(3, height // 2) | 1
    detail = np.abs(mean - cv2.blur(mean, (side, side))).max(axis=2)
    strong = float(np.percentile(detail[template.inside], 95))
    # Inside the box, faint ink counts: it is a part of letters. Left and right of it, only strong
    # ink counts: weak contrast may be texture of the background.
    ink = (detail > _LETTERS.ink * strong) & dilate_ellipse(template.inside, max(1, reach // 2))
    ink |= (detail > _LETTERS.strong_ink * strong) & _beside(template)
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
    # Compare with the change that motion and noise cause in most of the frame.
    usual = float(np.percentile(change, _LETTERS.usual))
    changed = change > max(_LETTERS.changed, _LETTERS.unusual * usual)
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
    low = np.flatnonzero(share < _LETTERS.filled)
    before, after = low[low < middle], low[low > middle]
    start = int(before[-1]) + 1 if len(before) else 0
    stop = int(after[0]) if len(after) else len(share)
    if share[middle] < _LETTERS.filled:
        return None
    # The adjacent row or column may be half covered, so the one beyond it decides.
    beside = [share[at] for at in (start - 2, stop + 1) if 0 <= at < len(share)]
    return slice(start, stop) if all(value < _LETTERS.outside for value in beside) else None


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
    if not opposite or min(size[first], size[last]) < _LETTERS.step:
        return None, None
    return first + 1, last + 1


def _is_bar(bar: Box, text: Box) -> bool:
    """Whether `bar` encloses one or a few lines of text, and hardly more."""
    least = _LETTERS.encloses
    encloses = bar.width > least * text.width and bar.height > least * text.height
    return encloses and bar.height < _LETTERS.lines * text.height
