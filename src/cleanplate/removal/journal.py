"""The journal of a run: filled pixels on disk, so that an interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from cleanplate.errors import OccupiedError, OutputError, StaleError, name_count
from cleanplate.removal.engine import START_OVER, Pixels
from cleanplate.removal.regions import Frame, Mask
from cleanplate.storage.atomic import check_own, write_file
from cleanplate.storage.paths import MOST_TEXT, parse_json, read_file

_CHECKSUM = 32
_CHANNELS = 4
"""Of a kept pixel: RGB and provenance."""
_LEVEL = 1
"""zlib's fastest level; higher ones hardly compress pixels better."""

_MOST_BYTES = 1 << 34
"""Size limit of a span's file in bytes; a larger file was not written here."""

_LARGEST = 1 << 40
"""Limit of frame numbers and pixel counts; a head with more is damaged."""


class Seen:
    """Running digests of all frames and masks that a run has read."""

    def __init__(self) -> None:
        self._frames, self._masks = hashlib.sha256(), hashlib.sha256()

    def add(self, frame: Frame, mask: Mask) -> None:
        """Add the next frame, uint8 (h, w, 3), and mask, bool (h, w)."""
        # Every eighth row is enough to distinguish videos, and costs an eighth.
        self._frames.update(frame[::8].tobytes())
        self._masks.update(np.packbits(mask).tobytes())

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 digests so far."""
        return {"frames": self._frames.hexdigest(), "masks": self._masks.hexdigest()}


@dataclass(frozen=True)
class Head:
    """Header of a span's file.

    Attributes:
        start: number of the first frame.
        stop: number of the last frame, plus one.
        begins_segment: the span is the first of a segment, so it depends on no earlier span.
        ends_segment: the span is the last of a segment, so no later span depends on it.
        seen: `Seen.digests` when the span was filled.
        counts: number of filled pixels per frame.
    """

    start: int
    stop: int
    begins_segment: bool
    ends_segment: bool
    seen: dict[str, str]
    counts: list[int]

    @classmethod
    def parse(cls, line: bytes) -> Head | None:
        """Parse the head from its line of JSON; None when `write_span` cannot have written it."""
        try:
            head = cls(**parse_json(line))
        except (ValueError, TypeError):
            return None
        numbers = [head.start, head.stop, *head.counts] if isinstance(head.counts, list) else [-1]
        if not all(type(number) is int and 0 <= number < _LARGEST for number in numbers):
            return None
        whole = len(head.counts) == len(head.frames) > 0
        plain = type(head.begins_segment) is type(head.ends_segment) is bool
        known = isinstance(head.seen, dict) and head.seen.keys() == Seen().digests().keys()
        return head if whole and plain and known else None

    @property
    def frames(self) -> range:
        """Frame numbers of the span."""
        return range(self.start, self.stop)


def name_span(start: int) -> str:
    """Name the file of the span whose first frame is `start`."""
    return f"{start:09d}.span"


def read_span(path: Path) -> tuple[Head, bytes] | None:
    """Read head and compressed pixels of a file; None when it is missing or damaged."""
    try:
        data = read_file(path, _MOST_BYTES)
    except OSError:
        return None
    body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if hashlib.sha256(body).digest() != checksum:
        return None
    line, _, packed = body.partition(b"\n")
    head = Head.parse(line)
    return None if head is None else (head, packed)


def read_pixels(path: Path, head: Head) -> list[Pixels] | None:
    """Read the pixels of each frame; None when the file does not match `head`."""
    content = read_span(path)
    if content is None or content[0] != head:
        return None
    pixels = stretch(content[1], sum(head.counts))
    return None if pixels is None else np.split(pixels, np.cumsum(head.counts)[:-1])


def write_span(path: Path, head: Head, pixels: list[Pixels]) -> None:
    """Write a span's file; raises OSError."""
    body = json.dumps(asdict(head)).encode() + b"\n" + squeeze(np.concatenate(pixels))
    write_file(path, body + hashlib.sha256(body).digest())


def find_whole_segments(folder: Path) -> dict[int, Head]:
    """Read the heads of all intact spans in `folder` of complete segments, by first frame."""
    found = {}
    for path in folder.glob("*.span"):
        content = read_span(path)
        if content is not None and name_span(content[0].start) == path.name:
            found[content[0].start] = content[0]
    return choose_whole_segments(found)


def choose_whole_segments(spans: Mapping[int, Head]) -> dict[int, Head]:
    """Keep the `spans`, by first frame, whose segment is complete."""
    chosen: dict[int, Head] = {}
    segment: dict[int, Head] = {}
    at = -1
    for start in sorted(spans):
        head = spans[start]
        if head.begins_segment:
            segment = {}
        elif not segment or start != at:
            segment = {}
            continue
        segment[start], at = head, head.stop
        if head.ends_segment:
            chosen |= segment
            segment = {}
    return chosen


def squeeze(pixels: Pixels) -> bytes:
    """Compress pixels (k, 4), RGB and provenance, as differences to the last one and to green."""
    planes = pixels.T.copy()  # (c, k)
    planes[:3:2] -= planes[1]
    planes[:, 1:] -= planes[:, :-1].copy()
    return zlib.compress(planes.tobytes(), _LEVEL)


def stretch(packed: bytes, count: int) -> Pixels | None:
    """Decompress `count` pixels (k, 4) from `squeeze`; None when the data is damaged."""
    reader = zlib.decompressobj()
    try:
        # Allow one byte too many: enough to detect excess data without allocating memory for it.
        differences = np.frombuffer(reader.decompress(packed, _CHANNELS * count + 1), np.uint8)
    except zlib.error:
        return None
    if len(differences) != _CHANNELS * count or not reader.eof:
        return None
    planes = differences.reshape(_CHANNELS, -1).cumsum(axis=1, dtype=np.uint8)
    planes[:3:2] += planes[1]
    return np.ascontiguousarray(planes.T)


_log = logging.getLogger(__name__)

_OWN = re.compile(r"job\.(json|part)|\d+\.(span|part)|\.(job\.json|\d+\.span)\.\d+\.part")
"""File names in a journal; `.part` files are unfinished, those without a dot of version 0.1."""

JobDescription = Mapping[str, str]
"""Everything the result depends on, as texts by name; the names are shown to people."""


class Journal:
    """An `engine.Store` on disk, in `folder`, which is created with the first span.

    As a context manager: when the block fails, keep only what a later run can use, and add a note
    about it to the exception. When the block succeeds, the caller removes the folder.

    Args:
        folder: the journal's own; useless files in it are removed. Raises OutputError when it
            holds anything else or is a link.
        job: describes this run.
        seen: digests of the frames and masks read so far, kept up to date by the caller.
        keep: store the spans of this run; if false, only load those of earlier runs.
        resume: continue from the spans that exist. Raises OutputError when they are of another
            job, and lists the differences. Without any spans, start from the beginning.
        discard: without `resume`, discard spans of this same job. If false, OutputError is raised
            instead, because discarding them is probably a mistake.
        parts: folders of other journals, whose spans of the same job are used too.
    """

    def __init__(
        self,
        folder: Path,
        job: JobDescription,
        seen: Seen,
        *,
        keep: bool = True,
        resume: bool = False,
        discard: bool = False,
        parts: Sequence[Path] = (),
    ) -> None:
        check_own(folder, lambda name: _OWN.fullmatch(name) is not None)
        self._folder, self._job, self._seen = folder, dict(job), seen
        self._keeps, self._kept = keep, dict[int, Head]()
        self.lost: str | None = None
        """Why storing spans stopped; None while it works."""
        before = _read_job(folder)
        differing = _differences(before, self._job) if before is not None else []
        if resume and differing:
            raise OutputError(
                f"the earlier run cannot go on: {'; '.join(differing)}; give the same, or leave"
                " `resume=True` out to start over"
            )
        if before is not None and not differing:
            self._kept = find_whole_segments(folder)
        if self._kept and not resume and not discard:
            raise OutputError(
                "an earlier run of this job was cut off with"
                f" {name_count(self.kept_frames, 'frame')} done; use"
                " `resume=True` to go on with it, or `overwrite=True` to start over"
            )
        if not resume:
            self._kept = {}
        self._sweep()
        self._given = {
            start: (part / name_span(start), head)
            for part in parts
            if holds_job(part, self._job)
            for start, head in find_whole_segments(part).items()
        }

    @property
    def kept_frames(self) -> int:
        """Number of frames that a later run can load."""
        return sum(len(head.frames) for head in choose_whole_segments(self._kept).values())

    def load(self, frames: range) -> list[Pixels] | None:
        """Load the pixels of these frames, or None; raises StaleError if an input changed."""
        path, head = self._find(frames.start)
        if head is None or head.frames != frames:
            return None
        now = self._seen.digests()
        differing = [name for name in now if head.seen[name] != now[name]]
        if differing:
            raise StaleError(
                f"the earlier run cannot go on: the {' and '.join(differing)} up to frame"
                f" {frames.stop} differ from those it was given; give the same, or"
                f" {START_OVER}"
            )
        pixels = read_pixels(path, head)
        if pixels is None:
            raise StaleError(f"'{path}' is damaged; {START_OVER}")
        return pixels

    def save(
        self, frames: range, pixels: list[Pixels], *, begins_segment: bool, ends_segment: bool
    ) -> None:
        """Store the pixels of these frames; stop storing for good when the disk fails."""
        if not self._keeps or self.lost is not None:
            return
        counts = [len(part) for part in pixels]
        seen = self._seen.digests()
        head = Head(frames.start, frames.stop, begins_segment, ends_segment, seen, counts)
        try:
            if not self._folder.exists():
                self._folder.mkdir()
                write_file(self._folder / "job.json", json.dumps(self._job).encode())
            write_span(self._path(frames.start), head, pixels)
        except OSError as error:
            self.lost = f"{error.strerror}"
            _log.info("nothing more is kept to go on from: %s", error)
            return
        self._kept[frames.start] = head

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, OccupiedError):
            return
        if not self.kept_frames:
            shutil.rmtree(self._folder, ignore_errors=True)
        elif not isinstance(error, StaleError):
            are = "frame is" if self.kept_frames == 1 else "frames are"
            error.add_note(f"{self.kept_frames} {are} kept; `resume=True` goes on from there")

    def _path(self, start: int) -> Path:
        return self._folder / name_span(start)

    def _find(self, start: int) -> tuple[Path, Head | None]:
        """Find the span that begins at frame `start`, in this journal or a part."""
        if start in self._kept:
            return self._path(start), self._kept[start]
        return self._given.get(start, (self._path(start), None))

    def _sweep(self) -> None:
        """Remove everything that no later run can use."""
        if not self._kept:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        wanted = {self._path(start) for start in self._kept} | {self._folder / "job.json"}
        for path in set(self._folder.iterdir()) - wanted:
            with suppress(OSError):
                path.unlink()


def holds_job(folder: Path, job: JobDescription) -> bool:
    """Whether the journal in `folder` belongs to this job."""
    return _read_job(folder) == dict(job)


def _read_job(folder: Path) -> dict[str, str] | None:
    """Read the job of a journal; None where there is no readable journal."""
    try:
        job = parse_json(read_file(folder / "job.json", MOST_TEXT))
    except (OSError, ValueError):
        return None
    is_plain = isinstance(job, dict) and all(isinstance(value, str) for value in job.values())
    return job if is_plain else None


def _differences(before: JobDescription, now: JobDescription) -> list[str]:
    """Describe the differences; long values such as checksums are left out."""
    differing = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, "unknown"), now.get(name, "unknown")
        if old != new:
            short = max(len(old), len(new)) <= 40
            differing.append(f"{name} was {old} and is now {new}" if short else f"{name} differs")
    return differing
