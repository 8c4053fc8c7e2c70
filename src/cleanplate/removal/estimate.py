"""Estimate the time, memory and disk space of a removal from one that was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cleanplate.arguments import describe_bytes
from cleanplate.plates.keyframes import KeyframeTuning
from cleanplate.removal.preparation import Prepared
from cleanplate.removal.survey import Survey


@dataclass(frozen=True)
class ForecastTuning:
    """Constants of the forecast of a run's time."""

    sample: int = 24
    """Frames that a forecast fills to measure the speed of this machine."""
    fixed: int = 25_000
    """Pixels of hole that take as long as what every frame with a hole takes, whatever its size."""
    few: float = 0.05
    """Fraction of frames without a hole from which their speed is measured as well."""
    kept: float = 2.5
    """Bytes per filled pixel that the journal keeps."""


TUNING = ForecastTuning()


@dataclass(frozen=True)
class Estimate:
    """What a run takes on this machine.

    Attributes:
        seconds: wall time.
        memory: bytes at the peak.
        disk: bytes next to the output while it runs, with the output.
    """

    seconds: float
    memory: int
    disk: int

    def __str__(self) -> str:
        return (
            f"about {describe_seconds(self.seconds)}, up to {describe_bytes(self.memory)} of memory"
            f" and {describe_bytes(self.disk)} of disk space"
        )


def describe_seconds(seconds: float) -> str:
    """Format a duration for people, such as "42 s", "3 min 20 s" or "2 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@dataclass(frozen=True)
class Measured:
    """A removal of some frames: wall time in seconds, and size of its output in bytes."""

    frames: range
    seconds: float
    size: int


def has_plain(survey: Survey) -> bool:
    """Whether enough frames are without a hole that their speed matters."""
    return 1 - survey.frames_with_hole / survey.frames > TUNING.few


def estimate_seconds(
    survey: Survey, measured: Measured | None, startup: float, plain: float
) -> float:
    """Estimate the seconds of all frames: each takes some, and each hole by its size.

    `startup` are the seconds before the first frame, which `measured` includes; `plain` are those
    of a frame without a hole.
    """
    total = survey.frames * plain
    if measured is None:
        return total
    at = slice(measured.frames.start, measured.frames.stop)
    spent = max(measured.seconds - startup, 0.2 * measured.seconds)
    filled = max(spent - plain * len(measured.frames), 0.1 * spent)
    return total + filled * _weigh(survey, slice(None)) / _weigh(survey, at)


def _weigh(survey: Survey, at: slice) -> float:
    """Pixels of the holes of some frames, and what every hole takes as pixels."""
    areas = survey.areas[at]
    return float(areas.sum() + TUNING.fixed * np.count_nonzero(areas))


def estimate_disk(prepared: Prepared, survey: Survey, measured: Measured | None) -> int:
    """Estimate the bytes of the output, the journal and the keyframes of a shot."""
    size, options, tuning = prepared.info.size, prepared.options, KeyframeTuning()
    pixels = size.width * size.height
    output = 0.0 if measured is None else measured.size / len(measured.frames) * survey.frames
    journal = TUNING.kept * float(survey.areas.sum()) if options.journal else 0.0
    most = max(tuning.least, min(tuning.most, tuning.pixels // pixels))
    looks_ahead = options.method != "network" and prepared.info.frame_count > 1
    keyframes = 3 * pixels * min(most, survey.longest_shot) if looks_ahead else 0
    return round(output + journal + keyframes)
