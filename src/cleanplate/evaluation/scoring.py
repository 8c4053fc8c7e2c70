"""One method on one clip: its frames are scored as they come, and forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cleanplate.errors import InputError
from cleanplate.evaluation.clips import Clip, Frame, Survey
from cleanplate.evaluation.methods import Method
from cleanplate.evaluation.metrics import Features, Metric, PooledMetric
from cleanplate.evaluation.strips import draw_strip


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
