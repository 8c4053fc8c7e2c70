"""The report of a run, the busy seconds of each stage, and where each pixel came from."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import __version__
from cleanplate.arguments import check_number, check_whole
from cleanplate.errors import DecodeError, MaskError, VideoError, name_count, tame
from cleanplate.masks import MaskSource
from cleanplate.masks.writing import MaskWriter
from cleanplate.options import Method
from cleanplate.plates.provenance import Provenance
from cleanplate.removal.engine import ALL_COVERED, Finished
from cleanplate.removal.filling import Stages
from cleanplate.removal.identity import (
    describe_code,
    describe_environment,
    describe_libraries,
    describe_processor,
)
from cleanplate.removal.journal import Seen
from cleanplate.removal.networks import Chosen
from cleanplate.storage.paths import digest_file
from cleanplate.video import Picture, Reader, VideoInfo, Writer
from cleanplate.video.changes import name_codec
from cleanplate.video.info import name_order

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

NOTHING_LEFT = f"{ALL_COVERED}; use a smaller mask (or `invert=True`, if it is the wrong way round)"


_WORTH_SAYING = 0.02
"""Fraction made up from which a note says so."""
_NAMED = 3
"""Spans that a note names."""


class Tally:
    """Counts what passes by, and keeps the masks where that is wanted."""

    def __init__(self, kept: MaskWriter | None, digests: Seen, stages: Stages) -> None:
        self._kept, self._digests, self._stages = kept, digests, stages
        self.seen = 0
        self.done = 0
        self.with_hole = 0
        self.hole_pixels = 0
        self.covered = 0
        self._origins = np.zeros(len(Provenance), np.int64)
        self._made_up: list[bool] = []
        self._times: list[float] = []

    def watch(
        self, reader: Reader, source: MaskSource, waiting: deque[Picture]
    ) -> Iterator[tuple[Frames, Masks]]:
        """Frames with their masks for the engine; each picture is put in `waiting` as well.

        Raises MaskError at the end when nothing was left open in any frame.
        """
        for picture in self._stages.watch("decode", reader):
            with self._stages.time("mask"):
                mask = source.mask(picture.index, picture.time)
                if self._kept is not None:
                    self._kept.write(picture, mask)
                self._digests.add(picture.rgb, mask)
            waiting.append(picture)
            self.seen += 1
            marked = int(np.count_nonzero(mask))
            self.with_hole += marked > 0
            self.hole_pixels += marked
            self.covered += marked == mask.size
            yield picture.rgb, mask
        if self.covered and self.covered == self.seen:
            raise MaskError(NOTHING_LEFT)

    def pass_on(self, writer: Writer, picture: Picture, finished: Finished) -> None:
        """Write what the engine made of a picture."""
        with self._stages.time("encode"):
            touched = finished.touched
            writer.write(picture, finished.frame, touched)
        self.done += 1
        self._times.append(float(picture.time))
        counts = np.bincount(finished.provenance[touched], minlength=len(Provenance))
        self._origins += counts
        self._made_up.append(2 * counts[Provenance.MADE_UP] > counts.sum())

    def report(
        self,
        info: VideoInfo,
        output: Path,
        chosen: Chosen,
        method: Method,
        seconds: float,
        origin: Origin,
    ) -> Report:
        """Build the report of a run of `seconds`."""
        notes = [*chosen.notes, *(chosen.filler.notes if chosen.filler else ())]
        if not self.with_hole:
            notes.append(
                "the mask marks nothing in any frame: the output is a plain copy of the input"
            )
        area = info.size.width * info.size.height * max(1, self.done)
        return Report(
            input=str(info.path),
            output=str(output),
            frames=self.done,
            frames_with_hole=self.with_hole,
            hole_share=self.hole_pixels / area,
            filled_from=self._share_origins(),
            size=str(info.size),
            display_size=str(info.display_size),
            rate=str(info.rate),
            field_order=name_order(info.field_order),
            method=method,
            model=chosen.name,
            device=chosen.device,
            precision=chosen.precision,
            seconds=seconds,
            stages=self._stages.seconds(),
            origin=origin.to_json(self._digests.digests()["masks"]),
            notes=notes,
        )

    def _share_origins(self) -> dict[str, float]:
        """Fraction of the filled pixels of each origin, by its name in lower case."""
        total = max(1, int(self._origins.sum()))
        return {
            origin.name.lower(): round(int(self._origins[origin]) / total, 6)
            for origin in Provenance
            if origin is not Provenance.SOURCE
        }

    def describe_made_up(self, info: VideoInfo, chosen: Chosen) -> list[str]:
        """Say how much no frame showed, who filled it, and where that is most of the hole."""
        share = self._share_origins()["made_up"]
        if share < _WORTH_SAYING:
            return []
        spans = list_runs(self._made_up)
        if len(self._times) == 1:  # a photograph has no times
            spans = []
        times = [*self._times, self._times[-1] + float(1 / info.rate)]
        times = [info.since_start + time for time in times]
        named = ", ".join(
            f"{times[one.start]:.2f}-{times[one.stop]:.2f} s" for one in spans[:_NAMED]
        )
        more = f" and in {len(spans) - _NAMED} more spans" if len(spans) > _NAMED else ""
        most = f"; most of the hole at {named}{more}" if spans else ""
        how = "the network filled it" if chosen.filler else "it was made up"
        return [f"no frame shows {100 * share:.0f} % of what was filled, so {how}{most}"]


def list_runs(flags: Sequence[bool]) -> list[range]:
    """The runs of true values, as ranges of their indices."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, np.int8), [0]])))
    return [range(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


@dataclass(frozen=True)
class Origin:
    """Everything that determines a result, except the masks.

    Attributes:
        source: SHA-256 of the input; see `digest_source`.
        weights: SHA-256 of the network's weights; None: no network is asked.
        options: of the removal, by name.
        threads: of OpenCV, and of torch where a network is asked.
        stamps: size and time of change of each input file, by path.
    """

    source: str
    weights: str | None
    options: Mapping[str, str | int | bool | None]
    threads: Mapping[str, int]
    stamps: Mapping[Path, os.stat_result]

    def job(self) -> dict[str, str]:
        """The same as texts, to tell one job from another."""
        return {
            "input": self.source,
            "weights": str(self.weights),
            **describe_environment(),
            **{f"threads of {name}": str(count) for name, count in self.threads.items()},
            **{name: str(value) for name, value in self.options.items()},
        }

    def to_json(self, masks: str) -> dict[str, Any]:
        """Plain values; `masks` is the digest of the masks that were used."""
        return {
            "code": describe_code(),
            "libraries": describe_libraries(),
            "processor": describe_processor(),
            "threads": dict(self.threads),
            "checksums": {"input": self.source, "weights": self.weights, "masks": masks},
            "options": dict(self.options),
        }

    def check_source(self) -> None:
        """Raise DecodeError when an input file is no longer what it was when the run began.

        One that was moved, deleted or replaced was still read to its end.
        """
        for path, before in self.stamps.items():
            try:
                now = path.stat()
            except OSError:
                continue
            same = (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
            if os.path.samestat(now, before) and not same:
                raise DecodeError(
                    f"'{path}' was changed while it was read; run again when nothing writes to it"
                )


def describe_origin(
    info: VideoInfo, chosen: Chosen, options: Mapping[str, str | int | bool | None]
) -> Origin:
    """Look at everything that a removal depends on; reads all of the input once.

    Raises VideoError when the input cannot be read.
    """
    threads = {"opencv": cv2.getNumThreads()}
    if chosen.filler is not None:
        threads["torch"] = sys.modules["torch"].get_num_threads()
    files = info.files or (info.path,)
    try:
        stamps = {path: path.stat() for path in files}
    except OSError as error:
        raise VideoError(f"'{error.filename}' cannot be read: {error.strerror}") from None
    return Origin(digest_source(info), chosen.weights, dict(options), threads, stamps)


def digest_source(info: VideoInfo) -> str:
    """SHA-256 of a video file, or of the names and contents of a folder's images.

    Raises VideoError when something cannot be read.
    """
    try:
        if info.kind == "video":
            return digest_file(info.path)
        digest = hashlib.sha256()
        for file in info.files:
            digest.update(os.fsencode(file.name) + f"\n{digest_file(file)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        raise VideoError(f"'{error.filename}' cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class Report:
    """The outcome of one removal.

    Attributes:
        input: path of the source.
        output: path of the result.
        frames: number of frames written.
        frames_with_hole: number of frames in which the mask marks something.
        hole_share: mean share of the picture that the mask marks, before it grows, 0 to 1.
        filled_from: fraction of the filled pixels that "near" frames show, "far" ones of the shot,
            that was "made_up", "painted" by the user, or "solved" from what shines through.
        size: "WIDTHxHEIGHT" as coded.
        display_size: "WIDTHxHEIGHT" after rotation, the one people see (pixel aspect not applied).
        rate: frames a second, as an exact fraction.
        field_order: "progressive", "top field first" or "bottom field first".
        method: "auto", "flow" or "network".
        model: name of the network that was used, or None.
        device: where it ran.
        precision: of the network.
        seconds: of wall time.
        video: "source" and "written", each with "codec" and "pixel_format" by FFmpeg's names and
            the "depth" in bits of a sample; "exact" when untouched samples are the source's.
        stages: seconds in each stage; filling and encoding overlap, so they may add up to more.
        origin: what is needed to make it again: code, libraries, processor, threads, checksums
            (SHA-256) of input, weights and masks, options. No step draws random numbers.
        notes: what a person should know, a line each.
    """

    input: str
    output: str
    frames: int
    frames_with_hole: int
    hole_share: float
    size: str
    display_size: str
    rate: str
    field_order: str
    method: str
    model: str | None
    device: str
    precision: str
    seconds: float
    filled_from: dict[str, float] = field(default_factory=dict)
    video: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_whole("Report.frames", self.frames, 0)
        check_whole("Report.frames_with_hole", self.frames_with_hole, 0)
        check_number("Report.hole_share", self.hole_share, 0)
        check_number("Report.seconds", self.seconds, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with this program's version."""
        return {"cleanplate": __version__, **asdict(self)}

    def summary(self) -> list[str]:
        """Format the report for the terminal, with control characters of file names removed."""
        rate = self.frames / max(self.seconds, 1e-6)
        lines = [
            f"{self.output}: {name_count(self.frames, 'frame')} of"
            f" {self.display_size}{self._name_coding()}"
            f" in {self.seconds:.1f} s ({rate:.1f} a second), a hole in {self.frames_with_hole},"
            f" {100 * self.hole_share:.1f} % of the picture",
            *(f"note: {note}" for note in self.notes),
        ]
        return [tame(line) for line in lines]

    def _name_coding(self) -> str:
        """What was written, such as " as H.264 (yuv420p)"."""
        written = self.video.get("written")
        return f" as {name_codec(written['codec'])} ({written['pixel_format']})" if written else ""
