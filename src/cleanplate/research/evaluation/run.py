"""Fill the clips of a protocol with each method, and score what was filled."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import CleanplateError, InputError, OutputError
from cleanplate.machine import Device, choose_device
from cleanplate.motion import DisFlow, FlowEstimator
from cleanplate.options import Precision
from cleanplate.removal.identity import describe_code, describe_libraries, describe_processor
from cleanplate.research.evaluation.clips import Clip, Frame, Mask, Shot, Survey, Unsuitable, survey
from cleanplate.research.evaluation.methods import Method, choose_methods
from cleanplate.research.evaluation.page import write_page
from cleanplate.research.evaluation.protocols import PROTOCOLS, Found, Protocol, find_cases
from cleanplate.research.evaluation.report import (
    Ledger,
    Report,
    Row,
    pack_features,
    summarise,
    unpack_features,
)
from cleanplate.research.metrics import (
    Features,
    Metric,
    Networks,
    PooledMetric,
    load_networks,
    make_metrics,
    pool_features,
)

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
"""Flow cache size in bytes: about 150 frames at 432x240. Flow beyond it is estimated again."""


class _Prepared(NamedTuple):
    digest: bytes
    image: Any


class RememberedFlow(FlowEstimator):
    """Flow estimator with a cache for pairs of pictures."""

    def __init__(self, estimator: FlowEstimator, budget: int = _BUDGET) -> None:
        self._estimator = estimator
        self._left = budget
        self._known: dict[tuple[bytes, bytes], npt.NDArray[np.float32]] = {}

    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:
        """See FlowEstimator.prepare; pictures are identified by a digest of their content."""
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
    """Flow cache of the current sequence; dropped at the next one."""

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
    """Results of an evaluation.

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


Progress = Callable[[int, int | None], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """Files of networks that metrics need; without them their columns say so."""

    i3d: Path | None = None
    lpips: Path | None = None


def evaluate(
    data: Path,
    output: Path,
    *,
    protocol: str = "folder",
    methods: Sequence[str] = ("auto",),
    model: str | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    split: str | None = None,
    only: Sequence[str] = (),
    weights: Weights | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Measure methods side by side on a data set, and write a report.

    Args:
        data: root of the data set; see `protocols`.
        output: folder for `report.json`, `report.md` and `report.html`, and what they are made of.
        protocol: one of PROTOCOLS.
        methods: see `choose_methods`.
        model: the network of `auto` and `network`; None: as in `cleanplate remove`.
        device: of networks.
        precision: of networks.
        split: of a published data set.
        only: names of sequences; none takes all.
        weights: of metrics that need a network.
        resume: keep what was measured before, if the settings are the same.
        progress: called with the frames done and their number, all methods counted.

    Returns:
        The report; `failures` in it are of methods, the other methods and sequences went on.

    Raises:
        InputError: the data, a method or the output folder cannot be used; nothing was measured.
    """
    chosen = PROTOCOLS[protocol]
    ledger = Ledger(output, resume=resume)
    ready = choose_methods(methods, model=model, device=device, precision=precision)
    files = weights or Weights()
    networks = load_networks(i3d=files.i3d, lpips=files.lpips, device=choose_device(device))
    found = find_cases(chosen, data, masks=output / "masks", split=split, only=only)
    clips = [Clip(case) for case in found.cases]
    settings = _settle(chosen, data, split, clips, ready, networks.checksums)
    ledger.settle(settings)

    make = _MetricMaker(chosen, networks)
    counter = _Counter(progress, sum(clip.count for clip in clips) * len(ready))
    run = _Run(ledger, ready, make, counter)
    rows = [row for clip in clips for row in run.measure(clip)]
    report = _report(chosen, settings, found, rows, make(clips[0]))
    report.write(ledger)
    write_page(report, ledger, found.cases)
    return report


def _settle(
    protocol: Protocol,
    data: Path,
    split: str | None,
    clips: Sequence[Clip],
    methods: Sequence[Method],
    checksums: Mapping[str, str],
) -> dict[str, Any]:
    """Everything that the results depend on."""
    return {
        "protocol": {
            "name": protocol.name,
            "version": protocol.version,
            "summary": protocol.summary,
            "size": str(protocol.size) if protocol.size else "as given",
            "conventions": asdict(protocol.conventions),
        },
        "data": {"folder": str(data.resolve()), "split": split},
        "cases": [f"{clip.case}: {clip.count} frames of {clip.size}" for clip in clips],
        "methods": {method.name: method.describe() for method in methods},
        "metric_weights": dict(checksums),
        "code": describe_code(without=("batch", "page")),
        "libraries": describe_libraries(),
        "machine": _describe_machine(),
    }


def _describe_machine() -> str:
    """Kind of processor, number of cores, and the accelerator if there is one."""
    import torch

    text = f"{describe_processor()}, {os.cpu_count()} cores"
    return f"{text}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else text


class _MetricMaker:
    """Makes fresh metrics for a clip, which share what is known of its sequence."""

    def __init__(self, protocol: Protocol, networks: Networks) -> None:
        self._conventions, self._networks = protocol.conventions, networks
        self._flows = SequenceFlow()

    def __call__(self, clip: Clip) -> list[Metric]:
        known, sequence = clip.has_truth, clip.case.sequence
        return make_metrics(
            self._conventions,
            truth=known,
            networks=self._networks,
            flow=lambda: self._flows.choose(sequence, has_truth=known),
        )


class _Counter:
    """Turns frames done into progress."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, frames: int = 1) -> None:
        self._done += frames
        if self._progress is not None:
            self._progress(self._done, self._total)

    def reach(self, done: int) -> None:
        """Set the progress to `done` frames after skipped or interrupted work."""
        self.advance(done - self._done)

    @property
    def done(self) -> int:
        return self._done


class _Run:
    """Measure the results missing from the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        methods: Sequence[Method],
        make: _MetricMaker,
        counter: _Counter,
    ) -> None:
        self._ledger, self._methods, self._make = ledger, methods, make
        self._counter = counter

    def measure(self, clip: Clip) -> list[Row]:
        """A row for each method."""
        known = {method.name: self._ledger.find(clip.case, method.name) for method in self._methods}
        found: Survey | CleanplateError | None = None
        rows = []
        for method in self._methods:
            end = self._counter.done + clip.count
            row = known[method.name]
            if row is None:
                found = found or self._look(clip)
                row = self._measure(clip, found, method)
            self._counter.reach(end)
            rows.append(row)
        return rows

    def _look(self, clip: Clip) -> Survey | CleanplateError:
        """Survey the clip and keep its pictures; an error is of this clip, the others go on."""
        try:
            found = survey(clip)
            self._ledger.keep_pictures(clip.case, draw_case(iter(clip), found.moments))
        except OutputError:
            raise
        except CleanplateError as error:
            return error
        return found

    def _measure(self, clip: Clip, found: Survey | CleanplateError, method: Method) -> Row:
        row = _describe_case(clip, found) | {"method": method.name}
        strip = None
        try:
            if isinstance(found, CleanplateError):
                raise found
            result = score(method, clip, found, self._make(clip), self._counter.advance)
        except Unsuitable as reason:
            row["left_out"] = str(reason)
        except Exception as error:  # whatever a method does, the others go on
            _log.debug("%s on %s failed", method.name, clip.case, exc_info=True)
            row["error"] = " ".join(f"{error}".split()) or type(error).__name__
        else:
            strip = result.strip
            row |= result.values | {
                "seconds": round(result.seconds, 3),
                "scoring_seconds": round(result.scoring_seconds, 3),
                "curves": result.curves,
                "features": pack_features(result.features),
            }
        self._ledger.keep(clip.case, method.name, row, strip)
        return row


def _describe_case(clip: Clip, found: Survey | CleanplateError) -> Row:
    about = {
        "sequence": clip.case.sequence,
        "mask": clip.case.mask,
        "frames": clip.count,
        "size": str(clip.size),
    }
    if isinstance(found, CleanplateError):
        return about
    return about | {
        "frames_without_hole": clip.count - found.with_hole,
        "hole_share": found.share,
        "mask_checksum": found.checksum,
    }


def _report(
    protocol: Protocol,
    settings: dict[str, Any],
    found: Found,
    rows: Sequence[Row],
    metrics: Sequence[Metric],
) -> Report:
    """Assemble the results."""
    names = [metric.name for metric in metrics]

    def pool(name: str, measured: Sequence[Row]) -> float | None:
        kept = [row["features"][name] for row in measured if name in row["features"]]
        return pool_features([unpack_features(each) for each in kept]) if kept else None

    origin = {"protocol": protocol.label, "code": settings["code"]}
    about = settings["methods"]
    return Report(
        settings=settings,
        metrics=tuple(names),
        gaps={metric.name: metric.gap for metric in metrics if metric.gap},
        rows=tuple(
            row
            | origin
            | {key: about[row["method"]].get(key, "none") for key in ("weights", "device")}
            for row in rows
        ),
        means=summarise(rows, names, pool),
        notes=(*found.notes, *_note(rows)),
    )


def _note(rows: Sequence[Row]) -> list[str]:
    """Notes for readers of the results."""
    cases = {(row["sequence"], row["mask"]): row for row in rows}
    return [
        f"{sequence}, {mask}: {row['frames_without_hole']} of {row['frames']} frames have no hole"
        " and are not scored"
        for (sequence, mask), row in cases.items()
        if row.get("frames_without_hole")
    ]
