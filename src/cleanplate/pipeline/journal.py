"""What a run has filled so far, on disk beside its output, so that it can go on after a crash.

A folder with one file for the job's description and one for each span of frames that were filled
together (`spans`). Only whole segments are given back (see `engine.Store`); encoding begins anew,
from the same frames, and so gives the same file.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from cleanplate.errors import OccupiedError, OutputError, StaleError, name_count
from cleanplate.inputs import MOST_TEXT, parse_json, read_file
from cleanplate.pipeline.engine import Pixels
from cleanplate.pipeline.spans import (
    Head,
    Seen,
    choose_whole_segments,
    find_whole_segments,
    name_span,
    read_pixels,
    write_file,
    write_span,
)
from cleanplate.video.lock import check_own

_log = logging.getLogger(__name__)

_OWN = re.compile(r"job\.(json|part)|\d+\.(span|part)")
"""All names in a journal."""

Job = Mapping[str, str]
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
        anew: without `resume`, throw away finished work of this very job, too. Otherwise that is
            refused with OutputError, since it was most likely not meant.
        parts: folders of other journals; what they have of this very job is given back as well.
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
                " `resume=True` out to begin anew"
            )
        if before is not None and not differing:
            self._kept = find_whole_segments(folder)
        if self._kept and not resume and not anew:
            raise OutputError(
                "an earlier run of this job was cut off with"
                f" {name_count(self.kept_frames, 'frame')} done; use"
                " `resume=True` to go on with it, or `overwrite=True` to begin anew"
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
                f" {frames.stop} differ from those it was given; give the same, or leave"
                " `resume=True` out to begin anew"
            )
        pixels = read_pixels(path, head)
        if pixels is None:
            raise StaleError(f"'{path}' is damaged; leave `resume=True` out to begin anew")
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


def holds_job(folder: Path, job: Job) -> bool:
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


def _differences(before: Job, now: Job) -> list[str]:
    """What differs, in words; long values such as checksums are not shown."""
    differing = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, "unknown"), now.get(name, "unknown")
        if old != new:
            short = max(len(old), len(new)) <= 40
            differing.append(f"{name} was {old} and is now {new}" if short else f"{name} differs")
    return differing
