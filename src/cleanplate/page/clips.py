"""Clip of a session: its marks, masks, result and current job."""

from __future__ import annotations

import itertools
import re
import secrets
import shutil
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from cleanplate.errors import CleanplateError, InputError
from cleanplate.page.limits import Limits, Upload
from cleanplate.page.marks import Marks, Thing
from cleanplate.page.outcomes import FoundMasks, Result, Video
from cleanplate.page.plates import PlateSet
from cleanplate.page.queue import Kind, Queue, QueuedJob
from cleanplate.types import Size

_CONTEXT = 30
"""Frames before and after a part that is tried: the near frames that a removal fills from."""
_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")


class Conflict(CleanplateError):
    """The request conflicts with an earlier change or a running job."""


class Gone(CleanplateError):
    """The clip or session was closed."""


def drop_options(message: str) -> str:
    """Drop the clauses of a message that name Python arguments in backticks."""
    clauses = re.split(r"(?<=[;,:]) ", message)
    kept = [clause for clause in clauses if "`" not in clause] or clauses
    return " ".join(kept).rstrip(";,: ")


def _closed() -> Gone:
    return Gone("this clip was closed; upload the video again")


class Clip:
    """A clip and its files below `folder`; created and removed by `Session`."""

    def __init__(self, folder: Path, name: str, queues: dict[Kind, Queue], limits: Limits) -> None:
        self.id = secrets.token_hex(8)
        self.folder = folder / self.id
        self.name = name
        self.marks = Marks()
        self.revision = 0
        self.video: Video | None = None
        self.found: dict[str, FoundMasks] = {}
        self.result: Result | None = None
        self.plates: PlateSet | None = None
        self.job: QueuedJob | None = None
        self._queues, self._limits = queues, limits
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._upload: Upload | None = None
        self._is_closed = False
        self.folder.mkdir(mode=0o700)

    @property
    def source(self) -> Path:
        """Path of the uploaded video."""
        return self.folder / "source"

    @property
    def seconds(self) -> list[float]:
        """Timestamp of each frame in seconds."""
        return [float(Fraction(time)) for time in self._ready().times]

    @property
    def is_busy(self) -> bool:
        """Whether a job waits or runs."""
        return self.job is not None and not self.job.is_over

    @property
    def is_arriving(self) -> bool:
        """Whether the video is still being received."""
        return self._upload is not None

    async def receive(self, upload: Upload, chunks: AsyncIterator[bytes]) -> None:
        """Receive the video; raise Gone if the clip is closed during the upload."""
        with self._lock:
            self._check_open()
            self._upload = upload
        try:
            await upload.receive(chunks, self.source)
        finally:
            self._upload = None

    def mark(self, marks: Marks, revision: int) -> None:
        """Replace all marks; raise Conflict unless `revision` is the current one."""
        with self._lock:
            video = self._ready()
            marks.check(Size(video.width, video.height), video.frames)
            if revision != self.revision:
                raise Conflict(
                    "this clip was changed in another tab; the page now shows the current marks,"
                    " so repeat your change"
                )
            if self.is_busy:
                raise Conflict("wait for the running job or cancel it before you change the marks")
            self.marks = marks
            self.revision += 1

    def prepare(self) -> None:
        """Queue a job that checks the upload and writes its previews."""

        def finish(result: dict[str, Any]) -> None:
            self.video = Video(folder=job.folder / "frames", **result)

        limits = {key: getattr(self._limits, key) for key in ("duration", "frames", "pixels")}
        job = self._job("prepare", {"limits": limits}, finish)
        job.request["previews"] = str(job.folder / "frames")
        self._submit(job)
        self._queues["track"].warm()

    def track(self) -> None:
        """Queue the tracking of what changed; raise Conflict or InputError if that is impossible.

        Everything is tracked again if nothing changed.
        """
        video, wanted = self._ready(), self.marks.wanted
        if not wanted:
            raise InputError("nothing is marked yet; draw a box around what to remove")
        things = [thing for thing in wanted if self._changed(thing)] or wanted

        def finish(result: dict[str, Any]) -> None:
            for thing in things:
                found = FoundMasks(
                    next(self._numbers), masks / thing.id, thing, **result["things"][thing.id]
                )
                self._drop(self.found.get(thing.id))
                self.found[thing.id] = found
            for gone in self.found.keys() - {thing.id for thing in self.marks.things}:
                self._drop(self.found.pop(gone))

        job = self._job("track", self._describe(video, things), finish)
        masks = job.folder / "masks"
        self._submit(job)

    def _changed(self, thing: Thing) -> bool:
        """Whether the marks of `thing` changed since it was found."""
        found = self.found.get(thing.id)
        return found is None or found.is_stale(thing) or found.thing.marks != thing.marks

    def remove(
        self,
        *,
        dilate: int,
        lossless: bool,
        first: int = 0,
        last: int | None = None,
        tried: bool = False,
    ) -> None:
        """Queue the removal with the tracked masks and the strokes painted since.

        `first` and `last` are the frames to write; None is the end of the clip. A part that is only
        `tried` is filled from the frames around it, too.
        """
        video, things = self._ready(), self.marks.wanted
        last = video.frames - 1 if last is None else last
        if not first <= last < video.frames:
            raise InputError(
                f"there are no frames {first + 1} to {last + 1}; the clip has {video.frames}"
            )
        if not things or any(self._base(thing) is None for thing in things):
            raise InputError("find the object in every frame first")

        around = _CONTEXT if tried else 0
        begins, ends = max(0, first - around), min(video.frames - 1, last + around)
        edited = self.plates if self.plates and self.plates.replaced else None

        def finish(result: dict[str, Any]) -> None:
            self._drop(self.result)
            self._take_plates(job.folder / "plates", result.pop("plates"))
            edits = self.plates.edits if self.plates else 0
            version = next(self._numbers)
            self.result = Result(
                version,
                job.folder,
                output,
                things,
                first,
                last,
                begins,
                tried,
                **result,
                edits=edits,
            )

        job = self._job("remove", self._describe(video, things), finish)
        output = job.folder / f"clean{self._suffix()}"
        previews = str(job.folder / "frames")
        job.request.update(output=str(output), previews=previews, dilate=dilate, lossless=lossless)
        job.request.update(origins=str(job.folder / "origins"), first=begins, last=ends)
        if edited is not None:
            job.request.update(plates=str(edited.folder))
        else:
            job.request.update(plates_out=str(job.folder / "plates"))
        self._submit(job)

    def _base(self, thing: Thing) -> FoundMasks | None:
        """The masks of `thing`, which its newer strokes correct."""
        found = self.found.get(thing.id)
        return None if found is None or found.is_stale(thing) else found

    def _take_plates(self, folder: Path, entries: list[dict[str, Any]] | None) -> None:
        """Keep the plates that a removal wrote; with None it used those that are here."""
        if entries is None:
            return
        number = next(self._numbers)
        kept = folder.rename(self.folder / f"plates-{number}")
        if self.plates is not None:
            shutil.rmtree(self.plates.folder, ignore_errors=True)
        self.plates = PlateSet(number, kept, entries)

    async def receive_plate(
        self, upload: Upload, chunks: AsyncIterator[bytes], plates: PlateSet, number: int
    ) -> None:
        """Receive an edited plate and queue its check; raise Conflict, or Gone as `receive`."""
        name = plates.find(number)["picture"]
        with self._lock:
            self._check_open()
            self._check_idle()
            self._upload = upload
        arrived = self.folder / f"arrived-{next(self._numbers)}"
        try:
            await upload.receive(chunks, arrived)

            def finish(result: dict[str, Any]) -> None:
                plates.note(number, result["edited"])
                shutil.rmtree(job.folder, ignore_errors=True)

            job = self._job("prepare", {}, finish)
            job.request.update(
                task="replace", plates=str(plates.folder), picture=name, arrived=str(arrived)
            )
            self._submit(job)
        except BaseException:
            arrived.unlink(missing_ok=True)
            raise
        finally:
            self._upload = None

    def restore_plate(self, plates: PlateSet, number: int) -> None:
        """Drop the edits of a plate; raise Conflict during a job."""
        with self._lock:
            self._check_idle()
            plates.restore(number)
            self.revision += 1

    def _check_idle(self) -> None:
        if self.is_busy or self.is_arriving:
            raise Conflict("wait for the running job or cancel it before you change a plate")

    def cancel(self) -> None:
        """Stop the job, if there is one, and remove its files."""
        job = self.job
        if job is not None:
            self._queues[job.kind].cancel(job)
            self.revision += 1

    def discard(self) -> None:
        """Stop the upload and the job and remove all files; idempotent."""
        with self._lock:
            self._is_closed = True
            if self._upload is not None:
                self._upload.stop(_closed())
        self.cancel()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()

    def _ready(self) -> Video:
        if self.video is None:
            raise Conflict("the clip is not ready yet; wait until its frames are prepared")
        return self.video

    def _suffix(self) -> str:
        suffix = Path(self.name).suffix.lower()
        return suffix if suffix in _SUFFIXES else ".mkv"

    def _describe(self, video: Video, things: list[Thing]) -> dict[str, Any]:
        """Make the fields of a worker request to track or remove."""
        bases = {thing.id: self._base(thing) for thing in things}
        return {
            "frames": str(video.folder),
            "width": video.width,
            "height": video.height,
            "times": video.times,
            "things": [
                {"thing": thing.model_dump(mode="json"), "base": base and str(base.folder)}
                for thing in things
                for base in [bases[thing.id]]
            ],
        }

    def _job(self, kind: Kind, request: dict[str, Any], finish: Any) -> QueuedJob:
        folder = self.folder / f"job-{next(self._numbers)}"
        places = {"task": kind, "source": str(self.source), "masks": str(folder / "masks")}

        def done(result: dict[str, Any]) -> None:
            with self._lock:
                finish(result)
                self.revision += 1

        return QueuedJob(kind, {**request, **places}, folder, done, self._rename)

    def _submit(self, job: QueuedJob) -> None:
        with self._lock:
            self._check_open()
            if self.is_busy:
                raise Conflict("this clip already has a running job; wait for it or cancel it")
            job.folder.mkdir(mode=0o700)
            try:
                self._queues[job.kind].submit(job)
            except CleanplateError:
                job.folder.rmdir()
                raise
            self.job = job
            self.revision += 1

    def _rename(self, message: str) -> str:
        """Replace paths on the server in a worker's message by the uploaded file name."""
        named = message.replace(str(self.source), self.name)
        return drop_options(named.replace(f"{self.folder}/", ""))

    def _drop(self, old: FoundMasks | Result | None) -> None:
        if old is not None:
            shutil.rmtree(old.folder, ignore_errors=True)

    def find_masks(self, version: int) -> FoundMasks | None:
        """The masks with this number, if they are still kept."""
        found = [one for one in list(self.found.values()) if one.version == version]
        return found[0] if found else None

    def list_masks(self) -> list[Path]:
        """Folders whose masks together are those of the result, or what was found so far."""
        if self.result is not None:
            return [self.result.folder / "masks"]
        bases = [self._base(thing) for thing in self.marks.wanted]
        return [base.folder for base in bases if base is not None]

    def to_json(self) -> dict[str, Any]:
        """Return the state of the clip for the page, without pictures."""
        with self._lock:
            job = self.job
            return {
                "id": self.id,
                "name": self.name,
                "revision": self.revision,
                "marks": self.marks.model_dump(mode="json"),
                "video": self._describe_video(),
                "masks": self._describe_found(),
                "result": self._describe_result(),
                "plates": self.plates and self.plates.to_json(),
                "job": job and job.to_json(self._queues[job.kind].ahead(job)),
            }

    def _describe_video(self) -> dict[str, Any] | None:
        if self.video is None:
            return None
        video = asdict(self.video)
        return {key: video[key] for key in video if key not in ("folder", "times")}

    def _describe_found(self) -> dict[str, Any]:
        """Describe the masks of each marked thing by its id."""
        pairs = [
            (thing, self.found[thing.id])
            for thing in self.marks.things
            if thing.is_marked and thing.id in self.found
        ]
        return {
            thing.id: {
                "version": found.version,
                "stale": found.is_stale(thing),
                "marks": len(found.thing.marks),
                "unsure": found.unsure,
                "seen": found.seen,
                "notes": [drop_options(note) for note in found.notes],
            }
            for thing, found in pairs
        }

    def _describe_result(self) -> dict[str, Any] | None:
        if self.result is None:
            return None
        plates_later = self.plates is not None and self.plates.edits != self.result.edits
        things = self.marks.wanted
        bases = [self._base(thing) for thing in things]
        found_later = any(base and base.version > self.result.version for base in bases)
        return {
            "version": self.result.version,
            "name": self.result_name,
            "stale": found_later or things != self.result.things or plates_later,
            "notes": [drop_options(note) for note in self.result.notes],
            "seconds": self.result.seconds,
            "size": self.result.size,
            "first": self.result.first,
            "last": self.result.last,
            "tried": self.result.tried,
            "origins": self.result.origins,
        }

    @property
    def result_name(self) -> str:
        """Return the file name for downloading the result."""
        return f"{Path(self.name).stem}-clean{self._suffix()}"
