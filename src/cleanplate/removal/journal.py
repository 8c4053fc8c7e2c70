"""The journal of a run: filled pixels on disk, so that an interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
import logging
import os
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
from cleanplate.removal.filling import Frame, Mask
from cleanplate.storage.atomic import check_own
from cleanplate.storage.paths import MOST_TEXT, parse_json, read_file

_CHECKSUM = 32
_LEVEL = 1
"""zlib's quickest: the pixels are worth no more time, and hardly become smaller by it."""

_MOST_BYTES = 1 << 34
"""No span is larger; a file that is was not written here."""

_LARGEST = 1 << 40
"""No count of frames or pixels is larger; a head that claims more is damaged."""


class Seen:
    """Running digests of all frames and masks that a run was given."""

    def __init__(self) -> None:
        self._frames, self._masks = hashlib.sha256(), hashlib.sha256()

    def add(self, frame: Frame, mask: Mask) -> None:
        """Take the next frame, uint8 (h, w, 3), and mask, bool (h, w)."""
        # Every eighth row tells one video from another, and takes a hundredth of the work.
        self._frames.update(frame[::8].tobytes())
        self._masks.update(np.packbits(mask).tobytes())

    def digests(self) -> dict[str, str]:
        """SHA-256 of what was seen so far."""
        return {"frames": self._frames.hexdigest(), "masks": self._masks.hexdigest()}


@dataclass(frozen=True)
class Head:
    """What a span's file says of itself.

    Attributes:
        start: number of the first frame.
        stop: number of the one behind the last.
        begins_segment: nothing but frames was carried into it.
        ends_segment: nothing but frames was carried on.
        seen: `Seen.digests` when it was filled.
        counts: for each frame the number of its pixels.
    """

    start: int
    stop: int
    begins_segment: bool
    ends_segment: bool
    seen: dict[str, str]
    counts: list[int]

    @classmethod
    def parse(cls, line: bytes) -> Head | None:
        """The head from its line of JSON; None when it is not what `write_span` writes."""
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
        """Numbers of the frames."""
        return range(self.start, self.stop)


def name_span(start: int) -> str:
    """Name of the file of the span whose first frame is `start`."""
    return f"{start:09d}.span"


def read_span(path: Path) -> tuple[Head, bytes] | None:
    """Head and compressed pixels of a file; None when it is not there, torn or damaged."""
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
    """The pixels of each frame; None when they are not those that `head` tells of."""
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
    """Heads of all sound spans in `folder` that belong to a whole segment, by their first frame."""
    found = {}
    for path in folder.glob("*.span"):
        content = read_span(path)
        if content is not None and name_span(content[0].start) == path.name:
            found[content[0].start] = content[0]
    return choose_whole_segments(found)


def choose_whole_segments(spans: Mapping[int, Head]) -> dict[int, Head]:
    """Those of the `spans`, given by their first frame, whose segment is there from end to end."""
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
    """Pixels (k, 3) as what they differ by from the one before and from green, compressed."""
    planes = pixels.T.copy()  # (c, k)
    planes[::2] -= planes[1]
    planes[:, 1:] -= planes[:, :-1].copy()
    return zlib.compress(planes.tobytes(), _LEVEL)


def stretch(packed: bytes, count: int) -> Pixels | None:
    """The `count` pixels that `squeeze` was given; None when it was given anything else."""
    reader = zlib.decompressobj()
    try:
        # One byte more than there should be tells of others, and takes no memory for them.
        differences = np.frombuffer(reader.decompress(packed, 3 * count + 1), np.uint8)
    except zlib.error:
        return None
    if len(differences) != 3 * count or not reader.eof:
        return None
    planes = differences.reshape(3, -1).cumsum(axis=1, dtype=np.uint8)
    planes[::2] += planes[1]
    return np.ascontiguousarray(planes.T)


def write_file(path: Path, data: bytes) -> None:
    """Put a file in its place, whole, so that it is still there after a power cut."""
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


_log = logging.getLogger(__name__)

_OWN = re.compile(r"job\.(json|part)|\d+\.(span|part)")
"""All names in a journal."""

JobDescription = Mapping[str, str]
"""All that the result depends on, by the name people know it by."""


class Journal:
    """An `engine.Store` in `folder`, which is made when the first span is kept.

    As a context manager it leaves only what a later run can use when the block fails, and says so
    in a note on the exception. When the block ends well, the folder is the caller's to remove.

    Args:
        folder: the journal's own. OutputError when it holds anything else, or is a link: what is
            of no use is removed.
        job: describes this run.
        seen: of the frames and masks that the engine was given, kept up to date by the caller.
        keep: keep what this run fills; else only give back what an earlier one did.
        resume: go on with what is there; raises OutputError when it is another job's, and says
            what differs. A job that was not begun yet begins.
        replace: without `resume`, discard finished work of this very job. Otherwise raise
            OutputError, since that was most likely not intended.
        parts: folders of other journals; what they have of this very job is given back as well.
    """

    def __init__(
        self,
        folder: Path,
        job: JobDescription,
        seen: Seen,
        *,
        keep: bool = True,
        resume: bool = False,
        replace: bool = False,
        parts: Sequence[Path] = (),
    ) -> None:
        check_own(folder, lambda name: _OWN.fullmatch(name) is not None)
        self._folder, self._job, self._seen = folder, dict(job), seen
        self._keeps, self._kept = keep, dict[int, Head]()
        self.lost: str | None = None
        """Why nothing more could be kept, if so."""
        before = _read_job(folder)
        differing = _differences(before, self._job) if before is not None else []
        if resume and differing:
            raise OutputError(
                f"the earlier run cannot go on: {'; '.join(differing)}; give the same, or leave"
                " `resume=True` out to start over"
            )
        if before is not None and not differing:
            self._kept = find_whole_segments(folder)
        if self._kept and not resume and not replace:
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
        """How many frames a later run can have back."""
        return sum(len(head.frames) for head in choose_whole_segments(self._kept).values())

    def load(self, frames: range) -> list[Pixels] | None:
        """What was kept of these frames, or None; raises StaleError for other frames or masks."""
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
        """Keep the pixels of these frames; a disk that takes no more ends the keeping."""
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
        """Where the span that begins at frame `start` was kept, here or in a part."""
        if start in self._kept:
            return self._path(start), self._kept[start]
        return self._given.get(start, (self._path(start), None))

    def _sweep(self) -> None:
        """Remove what is not, or no longer, of use."""
        if not self._kept:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        wanted = {self._path(start) for start in self._kept} | {self._folder / "job.json"}
        for path in set(self._folder.iterdir()) - wanted:
            with suppress(OSError):
                path.unlink()


def holds_job(folder: Path, job: JobDescription) -> bool:
    """Whether the journal in `folder` is of this very job."""
    return _read_job(folder) == dict(job)


def _read_job(folder: Path) -> dict[str, str] | None:
    """The job that a journal is of; None where there is no journal, or none that can be read."""
    try:
        job = parse_json(read_file(folder / "job.json", MOST_TEXT))
    except (OSError, ValueError):
        return None
    is_plain = isinstance(job, dict) and all(isinstance(value, str) for value in job.values())
    return job if is_plain else None


def _differences(before: JobDescription, now: JobDescription) -> list[str]:
    """What differs, in words; long values such as checksums are not shown."""
    differing = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, "unknown"), now.get(name, "unknown")
        if old != new:
            short = max(len(old), len(new)) <= 40
            differing.append(f"{name} was {old} and is now {new}" if short else f"{name} differs")
    return differing
