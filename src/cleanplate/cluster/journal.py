"""What a batch has done already, in a file beside its jobs that survives any crash."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from cleanplate import __version__
from cleanplate.cluster.jobs import Job, known_options
from cleanplate.cluster.work import Outcome
from cleanplate.errors import InputError, OutputError, WeightsError
from cleanplate.model import info as model_info

Stamp = list[Any] | None
"""Tells one state of a file or folder from another by names, sizes and times; None: not there."""


@dataclass(frozen=True)
class _Entry:
    fingerprint: str
    result: Stamp


class Journal:
    """A context manager around the file of finished jobs, one JSON object a line.

    One process may hold it at a time. A line that a crash cut short is passed over. Raises
    OutputError when the file cannot be written, InputError when another batch holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, _Entry] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> Journal:
        try:
            self._file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"the journal '{self.path}' cannot be written: {error.strerror}; name another"
                " place with `journal`"
            ) from None
        try:
            _lock(self._file, self.path)
        except BaseException:
            self._file.close()
            raise
        self._read(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def is_done(self, job: Job) -> bool:
        """Whether the job's output is there, from the same input, masks, options and version."""
        entry = self._entries.get(job.output)
        return self.made(job) and entry is not None and entry.fingerprint == fingerprint(job)

    def made(self, job: Job) -> bool:
        """Whether the file at the job's output is one that this batch made, as it left it."""
        entry = self._entries.get(job.output)
        return entry is not None and entry.result is not None and entry.result == _stamp(job.output)

    def add(self, job: Job, print_of_job: str, outcome: Outcome) -> None:
        """Note a finished job; `print_of_job` is its `fingerprint` from before the work."""
        assert self._file is not None
        entry = _Entry(print_of_job, _stamp(job.output))
        self._entries[job.output] = entry
        line = {"output": job.output, "fingerprint": entry.fingerprint, "result": entry.result}
        self._file.write(json.dumps({**line, "report": outcome.report}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, file: TextIO) -> None:
        file.seek(0)
        text = file.read()
        for line in text.splitlines():
            try:
                found = json.loads(line)
                self._entries[found["output"]] = _Entry(found["fingerprint"], found["result"])
            except (ValueError, KeyError, TypeError):
                continue
        if text and not text.endswith("\n"):
            file.write("\n")  # the next line must not be glued to the one cut short


def fingerprint(job: Job) -> str:
    """A digest that changes when input, masks, boxes, options, weights or version change.

    Files count by size and time of change, as hours of video are too much to read twice.
    """
    options = {name: value for name, value in job.options.items() if name != "overwrite"}
    parts = {
        "version": __version__,
        "input": [job.input, _stamp(job.input)],
        "masks": [[path, _stamp(path)] for path in job.mask],
        "marks": [job.box, job.invert, job.mask_threshold],
        "options": options,
        "model": _identify_model(str(job.options.get("model", "default"))),
    }
    assert set(options) <= set(known_options())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _stamp(path: str) -> Stamp:
    """See Stamp; the same after a round trip through JSON."""
    try:
        if not os.path.isdir(path):
            status = os.stat(path)
            return [["", status.st_size, status.st_mtime_ns]]
        with os.scandir(path) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return None
    return sorted([name, status.st_size, status.st_mtime_ns] for name, status in found)


@cache
def _identify_model(name: str) -> str | None:
    try:
        return model_info(name).checksum
    except WeightsError:
        return None


def _lock(file: TextIO, path: Path) -> None:
    """Keep other batches away from the journal until the file is closed."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another batch is using '{path}'; wait until it has ended") from None
    except OSError:
        return  # a file system without locks
