"""Is it burned in? What tells a caption from text on a wall, a shirt or a screen.

Whatever follows here has stood still on the screen for a while already (`text_captions`). It counts
as burned in when, while it stands,

- the camera moves and the text does not (`CAMERA`),
- the picture between and around its letters changes and the letters do not (`BACKGROUND`),
- or all its letters come or go from one frame to the next while the picture stays (`SUDDEN`).

A sign filmed from a tripod shows none of these, and neither does a caption over a still picture.
Where nothing tells, text is kept only where captions are expected: in the middle of the lower third
or at the top (`PLACE`), or where the user said to look.
"""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.text_captions import Moment, Track
from cleanplate.types import Box, Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_TRAVEL = 3.0
"""Pixels that the picture moves under text for that to say something."""
_NOISE = 1.0
"""Levels by which most pixels of a picture that does not move differ at most."""
_AGREE = 0.4
"""Share of the points followed that has to agree on how the camera moved."""
_STILL = 1.0
"""Pixels of travel up to which the camera counts as standing still."""
_CALM = 2.5
"""Deviation in levels of letters that surely do not move with the picture."""
_LONG = 0.8
"""Seconds that text has to stand for its place to count."""
_SUDDEN, _AROUND = 25.0, 0.3
"""Levels by which letters change when they come or go, and the share of it seen around them."""


class Evidence(Enum):
    """Why text is taken for burned in."""

    CAMERA = "it stands still while the camera moves"
    BACKGROUND = "it stands still while the picture behind it changes"
    SUDDEN = "it appears or vanishes at once"
    PLACE = "it stands where captions are"
    REGION = "it stands still where text was to be looked for"


class CameraMotion:
    """How the picture as a whole moves between the frames in which text is looked for."""

    def __init__(self) -> None:
        self._last: tuple[int, Frame] | None = None
        self._steps: list[tuple[int, int, npt.NDArray[np.float64] | None]] = []

    def push(self, moment: Moment) -> None:
        """Take in the next of these frames."""
        gray = np.asarray(cv2.cvtColor(moment.frame, cv2.COLOR_RGB2GRAY), np.uint8)
        if self._last is not None:
            index, before = self._last
            self._steps.append((index, moment.index, _estimate_motion(before, gray)))
        self._last = moment.index, gray

    def travel(self, box: Box, first: int, last: int) -> float | None:
        """Pixels that the picture under the middle of `box` moved away at most, between frames.

        None when the motion is not known all the time, 0 when nothing moved.
        """
        start = np.array([box.x + box.width / 2, box.y + box.height / 2])
        place, most = start, 0.0
        steps = [step for step in self._steps if step[0] >= first and step[1] <= last]
        for _, _, motion in steps:
            if motion is None:
                return None if most < _TRAVEL else most
            place = motion @ np.array([*place, 1.0])
            most = max(most, float(np.hypot(*(place - start))))
        return most if steps else None


def weigh(track: Track, camera: CameraMotion, size: Size) -> Evidence | None:
    """Why `track` in frames of `size` is burned in; None when nothing says so."""
    box = track.template.box
    if not track.is_steady:
        return None
    travel = camera.travel(box, track.first.index, track.last.index)
    lively, letters = _measure_change(track)
    if travel is not None and travel > _TRAVEL:
        stays = letters < _CALM or lively > max(4.0, 1.3 * letters)
        return Evidence.CAMERA if stays else None
    # What passes by a sign changes its surroundings too, but then the camera stands still.
    if travel is None and lively > max(6.0, 1.6 * letters):
        return Evidence.BACKGROUND
    if travel is not None and travel > _STILL and lively > max(6.0, 2.5 * letters):
        return Evidence.BACKGROUND
    if _comes_at_once(track):
        return Evidence.SUDDEN
    calm = travel is None or travel <= _STILL or letters < _CALM
    stands_long = track.last.time - track.first.time >= _LONG
    return Evidence.PLACE if calm and stands_long and _is_caption_place(box, size) else None


def _measure_change(track: Track) -> tuple[float, float]:
    """Deviation over time of what lies between and around the letters, and of the letters."""
    template = track.template
    strokes, deviation = template.strokes, template.deviation
    between = template.inside & ~_grow(strokes, 2)
    if between.sum() < 30:
        between = template.inside & ~_grow(strokes, 1)
    around = float(np.median(deviation[~template.inside]))
    inside = float(np.percentile(deviation[between], 60)) if between.any() else 0.0
    return max(inside, around), float(np.median(deviation[strokes]))


def _comes_at_once(track: Track) -> bool:
    """The letters come or go between two frames, and the picture around them stays."""
    pairs = ((track.before, track.full[0]), (track.after, track.full[1]))
    return any(gone is not None and _differs(track, gone, there) for gone, there in pairs)


def _differs(track: Track, gone: Moment, there: Moment) -> bool:
    """The letters, and only they, are in `there` and not in `gone`."""
    if abs(gone.index - there.index) > 1 or track.template.is_beside(gone.frame):
        return False
    area = track.template.area.slices
    change = cv2.absdiff(gone.frame[area], there.frame[area]).max(axis=2)
    rim = np.ones(change.shape, np.bool_)
    rim[2:-2, 2:-2] = False
    letters = float(np.median(change[track.template.strokes]))
    return letters > _SUDDEN and float(np.percentile(change[rim], 75)) < _AROUND * letters


def _is_caption_place(box: Box, size: Size) -> bool:
    """A line in the middle of the lower third, or of the top."""
    x, y = (box.x + box.width / 2) / size.width, (box.y + box.height / 2) / size.height
    is_line = box.width > 2 * box.height
    return is_line and abs(x - 0.5) < 0.1 and (y > 0.7 or y < 0.15)


def _estimate_motion(before: Frame, after: Frame) -> npt.NDArray[np.float64] | None:
    """The similarity `(2, 3)` that most points of the picture move by; None when they disagree."""
    points = cv2.goodFeaturesToTrack(before, 200, 0.01, 8)
    if points is not None and len(points) >= 12:
        moved, back = _follow(before, after, points)
        good = np.abs(back - points).max(axis=(1, 2)) < 1
        if good.sum() >= 10:
            motion, agree = cv2.estimateAffinePartial2D(
                points[good], moved[good], ransacReprojThreshold=1.5
            )
            if motion is not None and agree.sum() >= _AGREE * len(points):
                return np.asarray(motion, np.float64)
    unchanged = float(np.median(cv2.absdiff(before, after))) <= _NOISE
    return np.eye(2, 3) if unchanged else None


def _follow(
    before: Frame, after: Frame, points: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Where `points` `(n, 1, 2)` go, and where these come from (far away when lost)."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, maxLevel=4)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, moved, None, maxLevel=4)
    back[(found[:, 0] == 0) | (found_back[:, 0] == 0)] = -1e4
    return moved, back


def _grow(mask: Mask, pixels: int) -> Mask:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel), np.bool_)
