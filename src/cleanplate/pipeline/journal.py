"""What a run has filled so far, on disk beside its output, so that it can go on after a crash.

A folder with one file for the job's description and one for each span of frames that were filled
together: their touched pixels, compressed. Each file is written whole or not at all, and carries a
checksum, so that a torn one is noticed. Only whole segments are given back (see `engine.Store`);
encoding begins anew, from the same frames, and so gives the same file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from cleanplate.errors import InputError, OutputError
from cleanplate.pipeline.engine import Frame, Mask, Pixels

_log = logging.getLogger(__name__)

_CHECKSUM = 32
_LEVEL = 1
"""zlib's quickest: the pixels are worth no more time, and hardly become smaller by it."""

_LARGEST = 1 << 40
"""No count of frames or pixels is larger; a head that claims more is damaged."""

Job = Mapping[str, str]
"""All that the result depends on, by the name people know it by."""


@dataclass(frozen=True)
class _Kept:
    """The head of a span's file."""

    start: int
    stop: int
    ends_segment: bool
    seen: dict[str, str]
    counts: list[int]

    @classmethod
    def parse(cls, head: bytes) -> _Kept | None:
        """What a span's head says; None when it is not what `_pack` writes."""
        try:
            kept = cls(**json.loads(head))
        except (ValueError, TypeError, RecursionError):
            return None
        numbers = [kept.start, kept.stop, *kept.counts] if isinstance(kept.counts, list) else [-1]
        if not all(type(number) is int and 0 <= number < _LARGEST for number in numbers):
            return None
        whole = len(kept.counts) == len(kept.frames) > 0 and type(kept.ends_segment) is bool
        known = isinstance(kept.seen, dict) and kept.seen.keys() == Seen().digests().keys()
        return kept if whole and known else None

    @property
    def frames(self) -> range:
        return range(self.start, self.stop)


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


class Journal:
    """An `engine.Store` in `folder`, which is made when the first span is kept.

    As a context manager it leaves only what a later run can use when the block fails, and says so
    in a note on the exception. When the block ends well, the folder is the caller's to remove.

    Args:
        folder: the journal's own; whatever else is in it is removed.
        job: describes this run.
        seen: of the frames and masks that the engine was given, kept up to date by the caller.
        keep: keep what this run fills; else only give back what an earlier one did.
        resume: go on with what is there; raises OutputError when it is another job's, and says
            what differs. A job that was not begun yet begins.
        anew: without `resume`, throw away finished work of this very job, too. Otherwise that is
            refused with OutputError, since it was most likely not meant.
    """

    def __init__(
        self,
        folder: Path,
        job: Job,
        seen: Seen,
        *,
        keep: bool = True,
        resume: bool = False,
        anew: bool = False,
    ) -> None:
        self._folder, self._job, self._seen = folder, dict(job), seen
        self._keeps, self._kept = keep, dict[int, _Kept]()
        self.lost: str | None = None
        """Why nothing more could be kept, if so."""
        before = _read_job(folder)
        differing = _differences(before, self._job) if before is not None else []
        if resume and differing:
            raise OutputError(
                f"the earlier run cannot go on: {'; '.join(differing)}; give the same, or leave"
                " --resume out to begin anew"
            )
        if before is not None and not differing:
            self._kept = _find_whole_segments(folder)
        if self._kept and not resume and not anew:
            raise OutputError(
                f"an earlier run of this job was cut off with {self.kept_frames} frames done; use"
                " --resume to go on with it, or --overwrite to begin anew"
            )
        if not resume:
            self._kept = {}
        self._sweep()

    @property
    def kept_frames(self) -> int:
        """How many frames a later run can have back."""
        whole = [span.stop for span in self._kept.values() if span.ends_segment]
        return max(whole, default=0)

    def load(self, frames: range) -> list[Pixels] | None:
        """What was kept of these frames, or None; raises InputError for other frames or masks."""
        kept = self._kept.get(frames.start)
        if kept is None or kept.frames != frames:
            return None
        now = self._seen.digests()
        differing = [name for name in now if kept.seen[name] != now[name]]
        if differing:
            raise InputError(
                f"the earlier run cannot go on: the {' and '.join(differing)} up to frame"
                f" {frames.stop} differ from those it was given; give the same, or leave --resume"
                " out to begin anew"
            )
        content = _read_span(self._path(frames.start))
        pixels = _stretch(content[1], sum(kept.counts)) if content is not None else None
        if pixels is None:
            raise InputError(
                f"'{self._path(frames.start)}' is damaged; leave --resume out to begin anew"
            )
        return np.split(pixels, np.cumsum(kept.counts)[:-1])

    def save(self, frames: range, pixels: list[Pixels], *, ends_segment: bool) -> None:
        """Keep the pixels of these frames; a disk that takes no more ends the keeping."""
        if not self._keeps or self.lost is not None:
            return
        counts = [len(part) for part in pixels]
        kept = _Kept(frames.start, frames.stop, ends_segment, self._seen.digests(), counts)
        try:
            if not self._folder.exists():
                self._folder.mkdir()
                _write(self._folder / "job.json", json.dumps(self._job).encode())
            _write(self._path(frames.start), _pack(kept, pixels))
        except OSError as error:
            self.lost = f"{error.strerror}"
            _log.info("nothing more is kept to go on from: %s", error)
            return
        self._kept[frames.start] = kept

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return
        if not self.kept_frames:
            shutil.rmtree(self._folder, ignore_errors=True)
        elif not isinstance(error, InputError):
            error.add_note(f"{self.kept_frames} frames are kept; --resume goes on from there")

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:09d}.span"

    def _sweep(self) -> None:
        """Remove what is not, or no longer, of use."""
        if not self._kept:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        wanted = {self._path(start) for start in self._kept} | {self._folder / "job.json"}
        for path in set(self._folder.iterdir()) - wanted:
            with suppress(OSError):
                path.unlink()


def _read_job(folder: Path) -> dict[str, str] | None:
    """The job that a journal is of; None where there is no journal, or none that can be read."""
    try:
        job = json.loads((folder / "job.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    is_plain = isinstance(job, dict) and all(isinstance(value, str) for value in job.values())
    return job if is_plain else None


def _differences(before: Job, now: Job) -> list[str]:
    """What differs, in words; long values such as checksums are not shown."""
    differing = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, "unknown"), now.get(name, "unknown")
        if old != new:
            short = max(len(old), len(new)) <= 40
            differing.append(f"{name} was {old} and is now {new}" if short else f"{name} differs")
    return differing


def _find_whole_segments(folder: Path) -> dict[int, _Kept]:
    """The sound spans from the first frame on without a gap, as far as whole segments go."""
    found: dict[int, _Kept] = {}
    whole, at = 0, 0
    while (content := _read_span(folder / f"{at:09d}.span")) is not None:
        kept = content[0]
        if kept.start != at or kept.stop <= at:
            break
        found[at] = kept
        at = kept.stop
        whole = at if kept.ends_segment else whole
    return {start: kept for start, kept in found.items() if start < whole}


def _read_span(path: Path) -> tuple[_Kept, bytes] | None:
    """Head and pixels of a span's file; None when it is not there, torn or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if hashlib.sha256(body).digest() != checksum:
        return None
    head, _, packed = body.partition(b"\n")
    kept = _Kept.parse(head)
    return None if kept is None else (kept, packed)


def _pack(kept: _Kept, pixels: list[Pixels]) -> bytes:
    """A span's file: a line of JSON, the pixels, a checksum."""
    body = json.dumps(asdict(kept)).encode() + b"\n" + _squeeze(np.concatenate(pixels))
    return body + hashlib.sha256(body).digest()


def _squeeze(pixels: Pixels) -> bytes:
    """Pixels (k, 3) as what they differ by from the one before and from green, compressed."""
    planes = pixels.T.copy()  # (c, k)
    planes[::2] -= planes[1]
    planes[:, 1:] -= planes[:, :-1].copy()
    return zlib.compress(planes.tobytes(), _LEVEL)


def _stretch(packed: bytes, count: int) -> Pixels | None:
    """The `count` pixels that `_squeeze` was given; None when it was given anything else."""
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


def _write(path: Path, data: bytes) -> None:
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
