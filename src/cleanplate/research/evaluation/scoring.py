"""Score one method on one clip, frame by frame, with cached flow and picture strips."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError
from cleanplate.motion import DisFlow, FlowEstimator
from cleanplate.research.evaluation.clips import Clip, Frame, Mask, Shot, Survey
from cleanplate.research.evaluation.methods import Method
from cleanplate.research.metrics import Features, Metric, PooledMetric

_CELL = 240
"""Width of a picture in a strip, pixels."""
_GAP = 4
_QUALITY = 88
_TINT = np.array([255, 0, 255], np.uint8)


def draw_strip(pictures: Sequence[Frame]) -> bytes:
    """JPEG data of `pictures` (h, w, 3) of one size, made small, side by side."""
    height, width = pictures[0].shape[:2]
    size = (_CELL, max(1, round(_CELL * height / width)))
    cells: list[Frame] = []
    for picture in pictures:
        cells.append(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8))
        cells.append(np.full((size[1], _GAP, 3), 128, np.uint8))
    strip = np.hstack(cells[:-1])
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return cv2.imencode(".jpg", np.ascontiguousarray(strip[..., ::-1]), quality)[1].tobytes()


def tint(frame: Frame, mask: Mask) -> Frame:
    """`frame` with its hole in magenta, half seen through."""
    shown = frame.copy()
    shown[mask] = shown[mask] // 2 + _TINT // 2
    return shown


def draw_case(shots: Iterator[Shot], moments: Sequence[int]) -> dict[str, bytes]:
    """Strips of what a case is: `input` with holes in magenta, and `truth` where it is known."""
    shown = [shot for index, shot in enumerate(shots) if index in moments]
    strips = {"input": draw_strip([tint(shot.frame, shot.mask) for shot in shown])}
    truths = [shot.truth for shot in shown if shot.truth is not None]
    return strips | ({"truth": draw_strip(truths)} if truths else {})


_BUDGET = 256 * 2**20
"""Bytes of flow that are kept: about 150 frames at 432x240. What is beyond is estimated anew."""


class _Prepared(NamedTuple):
    digest: bytes
    image: Any


class RememberedFlow(FlowEstimator):
    """Gives the flow between two pictures that it has seen before without estimating it again."""

    def __init__(self, estimator: FlowEstimator, budget: int = _BUDGET) -> None:
        self._estimator = estimator
        self._left = budget
        self._known: dict[tuple[bytes, bytes], npt.NDArray[np.float32]] = {}

    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:
        """See FlowEstimator.prepare; pictures are told apart by what they show."""
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        return _Prepared(digest, self._estimator.prepare(image))

    def flow(self, source: Any, target: Any) -> npt.NDArray[np.float32]:
        """See FlowEstimator.flow; the array must not be changed."""
        key = (source.digest, target.digest)
        if key in self._known:
            return self._known[key]
        found = self._estimator.flow(source.image, target.image)
        found.flags.writeable = False
        if found.nbytes <= self._left:
            self._known[key] = found
            self._left -= found.nbytes
        return found


class SequenceFlow:
    """One memory for each sequence in turn; the one before is forgotten."""

    def __init__(self) -> None:
        self._sequence: str | None = None
        self._flow: FlowEstimator = DisFlow()

    def choose(self, sequence: str, *, has_truth: bool) -> FlowEstimator:
        """The estimator for a sequence; without a truth no two methods share anything."""
        if not has_truth:
            return DisFlow()
        if sequence != self._sequence:
            self._sequence, self._flow = sequence, RememberedFlow(DisFlow())
        return self._flow


@dataclass(frozen=True)
class Score:
    """What came out.

    Attributes:
        values: of each metric over the clip; None where there is none.
        curves: of each metric, a value or None for each frame; metrics without any are left out.
        features: of metrics over all sequences.
        strip: JPEG data of the frames at the survey's moments.
        seconds: spent by the method, reading its input included.
        scoring_seconds: spent on metrics, reading the truth included.
    """

    values: dict[str, float | None]
    curves: dict[str, list[float | None]]
    features: dict[str, Features]
    strip: bytes
    seconds: float
    scoring_seconds: float


def score(
    method: Method,
    clip: Clip,
    found: Survey,
    metrics: Sequence[Metric],
    advance: Callable[[], None] = lambda: None,
) -> Score:
    """Run `method` on `clip`; `advance` is called after each frame.

    Known pixels are put back before scoring: numbers are of the composited picture, as the
    field's are. Raises what the method raises, and InputError when its frames are too few, too
    many or of another size.
    """
    watch = _Stopwatch(method.fill(clip, found))
    curves: dict[str, list[float | None]] = {metric.name: [] for metric in metrics}
    shown: list[Frame] = []
    began = time.monotonic()
    for index, shot in enumerate(clip):
        made = watch.next_frame(clip)
        frame = np.where(shot.mask[..., None], made, shot.frame)
        for metric in metrics:
            curves[metric.name].append(metric.add(frame, shot.truth, shot.mask))
        if index in found.moments:
            shown.append(frame)
        advance()
    watch.check_end(clip)
    return Score(
        values={metric.name: metric.result() for metric in metrics},
        curves={name: curve for name, curve in curves.items() if _says_something(curve)},
        features=_keep_features(metrics),
        strip=draw_strip(shown),
        seconds=watch.seconds,
        scoring_seconds=time.monotonic() - began - watch.seconds,
    )


class _Stopwatch:
    """Takes frames from a method and the time that it needs for them."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._taken = 0
        self.seconds = 0.0

    def next_frame(self, clip: Clip) -> Frame:
        """The next frame; raises InputError when there is none or it has another size."""
        frame = self._take()
        if frame is None:
            raise InputError(
                f"gave {self._taken} frames, but the clip has {clip.count}; the numbers must agree"
            )
        if frame.shape != (*clip.size.shape, 3):
            raise InputError(
                f"gave a frame of {frame.shape[1]}x{frame.shape[0]}, but the clip is {clip.size}"
            )
        self._taken += 1
        return frame

    def check_end(self, clip: Clip) -> None:
        """Raises InputError when there is more than was asked for."""
        if self._take() is not None:
            raise InputError(f"gave more than the clip's {clip.count} frames")

    def _take(self) -> Frame | None:
        began = time.monotonic()
        frame = next(self._frames, None)
        self.seconds += time.monotonic() - began
        return frame


def _says_something(curve: Sequence[float | None]) -> bool:
    return any(value is not None for value in curve)


def _keep_features(metrics: Sequence[Metric]) -> dict[str, Features]:
    kept = {
        metric.name: metric.features() for metric in metrics if isinstance(metric, PooledMetric)
    }
    return {name: features for name, features in kept.items() if features is not None}
