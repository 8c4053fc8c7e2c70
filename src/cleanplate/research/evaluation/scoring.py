"""Score one method on one clip; keep and summarise the scores of many."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError, OutputError
from cleanplate.motion import DisFlow, FlowEstimator
from cleanplate.research.evaluation.clips import (
    Case,
    Clip,
    Frame,
    Survey,
    draw_strip,
)
from cleanplate.research.evaluation.methods import Method
from cleanplate.research.evaluation.metric import Features, Metric, PooledMetric
from cleanplate.storage.atomic import build_file
from cleanplate.storage.paths import parse_json, read_file, read_text

_BUDGET = 256 * 2**20
"""Flow cache size in bytes: about 150 frames at 432x240. Flow beyond it is estimated again."""


class _Prepared(NamedTuple):
    digest: bytes
    image: Any


class RememberedFlow(FlowEstimator):
    """Cache of flow between pairs of pictures."""

    def __init__(self, estimator: FlowEstimator, budget: int = _BUDGET) -> None:
        self._estimator = estimator
        self._left = budget
        self._known: dict[tuple[bytes, bytes], npt.NDArray[np.float32]] = {}

    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:
        """See FlowEstimator.prepare; the cache key is a hash of the pixels."""
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
    """One flow cache for the current sequence; a new sequence clears it."""

    def __init__(self) -> None:
        self._sequence: str | None = None
        self._flow: FlowEstimator = DisFlow()

    def choose(self, sequence: str, *, has_truth: bool) -> FlowEstimator:
        """Return the estimator for a sequence; without ground truth, methods share no flow."""
        if not has_truth:
            return DisFlow()
        if sequence != self._sequence:
            self._sequence, self._flow = sequence, RememberedFlow(DisFlow())
        return self._flow


@dataclass(frozen=True)
class Score:
    """Result of one method on one clip.

    Attributes:
        values: value of each metric over the clip; None without one.
        curves: per metric, a value or None for each frame; metrics without values are left out.
        features: features of metrics that are defined over all sequences.
        strip: JPEG data of the frames at the survey's moments.
        seconds: time of the method, including reading its input.
        scoring_seconds: time of the metrics, including reading the truth.
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

    Known pixels are restored before scoring: the composited picture is scored, by the field's
    convention. Raises what the method raises, and InputError if its frames are too few, too many
    or of another size.
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
    """Read frames from a method and measure its time."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._taken = 0
        self.seconds = 0.0

    def next_frame(self, clip: Clip) -> Frame:
        """Return the next frame; raise InputError if there is none or it has another size."""
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
        """Raise InputError if the method yields too many frames."""
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


Row = dict[str, Any]


Means = dict[str, dict[str, Row]]


Pool = Callable[[str, Sequence[Row]], float | None]
"""Compute a metric, by its name, that is defined over all rows together."""


_DRAWS = 2000


_SHARE = 0.95


_SEED = 0


def summarise(rows: Sequence[Row], metrics: Sequence[str], pool: Pool) -> Means:
    """Average rows by mask and method.

    Args:
        rows: rows of all sequences; those that failed or were left out have no values.
        metrics: names of columns.
        pool: computes the metrics that are no means.

    Returns:
        `means[mask][method]`: `sequences` (number measured), `of` (total number), the mean of each
        metric over sequences, and `intervals` with its 95 % bootstrap interval over sequences.
    """
    means: Means = {}
    for mask in dict.fromkeys(row["mask"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            chosen = [row for row in rows if (row["mask"], row["method"]) == (mask, method)]
            means.setdefault(mask, {})[method] = _summarise(chosen, metrics, pool)
    return means


def _summarise(rows: Sequence[Row], metrics: Sequence[str], pool: Pool) -> Row:
    measured = [row for row in rows if "error" not in row and "left_out" not in row]
    mean: Row = {"sequences": len(measured), "of": len(rows), "intervals": {}}
    for name in metrics:
        values = [row[name] for row in measured if row.get(name) is not None]
        mean[name] = float(np.mean(values)) if values else pool(name, measured)
        if len(values) > 1:
            mean["intervals"][name] = bootstrap(values)
    return mean


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """Compute the 95 % percentile interval of the mean of `values` (Efron 1979).

    2000 resamples with replacement, from a fixed seed. With few values the interval is too narrow,
    and it never extends beyond the smallest and largest value.
    """
    rng = np.random.default_rng(_SEED)
    draws = rng.integers(0, len(values), (_DRAWS, len(values)))
    tails = [(1 - _SHARE) / 2, (1 + _SHARE) / 2]
    low, high = np.quantile(np.asarray(values)[draws].mean(axis=1), tails)
    return float(low), float(high)


_SETTINGS = "settings.json"


_MOST_BYTES = 1 << 30
"""Size limit of a result file in bytes; features of long clips take megabytes."""


class Ledger:
    """Folder of an evaluation: its settings and the rows measured so far.

    Raises OutputError if the folder holds something else, or an evaluation with other settings.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder = folder
        self._resumes = resume
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"'{folder}' is a file; name a folder")
        # A run that stopped before its first measurement leaves only drawn masks.
        there = folder.is_dir() and any(path.name != "masks" for path in folder.iterdir())
        if there and not (folder / _SETTINGS).is_file():
            raise OutputError(f"'{folder}' holds other files; name another folder")
        if there and not resume:
            raise OutputError(
                f"'{folder}' holds an evaluation; continue it with `resume=True` or name another"
            )

    def settle(self, settings: dict[str, Any]) -> None:
        """Store the settings, or compare them with those of the run to resume."""
        file = self.folder / _SETTINGS
        if file.is_file():
            old = _read(file)
            differing = [name for name in settings if old.get(name) != settings[name]]
            if differing:
                name = differing[0]
                raise OutputError(
                    f"'{self.folder}' was begun with other settings: {', '.join(differing)}"
                    f" ({name}: {_shorten(old.get(name))}, now {_shorten(settings[name])});"
                    " name another folder"
                )
        self.write(file.name, json.dumps(settings, indent=1))

    def find(self, case: Case, method: str) -> Row | None:
        """Return the stored row of `method` on `case`; None after a failure, which is retried."""
        file = self._place(case) / f"{method}.json"
        row = _read(file) if file.is_file() else None
        return None if row is None or "error" in row else row

    def keep(self, case: Case, method: str, row: Row, strip: bytes | None) -> None:
        """Store a row; its picture is written first, so that a stored row is complete."""
        place = self._place(case).relative_to(self.folder)
        if strip is not None:
            self.write(place / f"{method}.jpg", strip)
        self.write(place / f"{method}.json", json.dumps(row))

    def keep_pictures(self, case: Case, strips: dict[str, bytes]) -> None:
        """Store the strips of the case (input and ground truth)."""
        for name, strip in strips.items():
            self.write(self._place(case).relative_to(self.folder) / f"={name}.jpg", strip)

    def picture(self, case: Case, name: str) -> bytes | None:
        """Read a strip: of a method, or of the case (`=input`, `=truth`)."""
        file = self._place(case) / f"{name}.jpg"
        return read_file(file, _MOST_BYTES) if file.is_file() else None

    def write(self, name: str | Path, content: str | bytes) -> None:
        """Write a file below the folder atomically; raises OutputError."""
        file = self.folder / name
        data = content.encode(errors="replace") if isinstance(content, str) else content
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with build_file(file) as partial:
                partial.write_bytes(data)
        except OSError as error:
            raise OutputError(
                f"cannot write '{file}': {error.strerror}; free some space or name another folder"
            ) from None

    def _place(self, case: Case) -> Path:
        return self.folder / "results" / case.sequence / case.mask


def pack_features(features: dict[str, Features]) -> dict[str, dict[str, list[list[float]]]]:
    """Convert features to JSON values."""
    return {
        name: {"made": kept.made.tolist(), "true": kept.true.tolist()}
        for name, kept in features.items()
    }


def unpack_features(packed: dict[str, list[list[float]]]) -> Features:
    """Convert JSON values to the features of one metric."""
    return Features(np.array(packed["made"], np.float64), np.array(packed["true"], np.float64))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(file, _MOST_BYTES))
    except (OSError, ValueError) as error:
        raise OutputError(f"'{file}' cannot be read ({error}); delete it") from None
    if not isinstance(content, dict):
        raise OutputError(f"'{file}' is not what an evaluation writes; delete it")
    return content


def _shorten(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
