"""What a batch has done already, in a file beside its jobs that survives any crash."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BufferedRandom
from pathlib import Path
from types import TracebackType
from typing import Any

from cleanplate import __version__
from cleanplate.cluster.jobs import Job, known_options
from cleanplate.cluster.work import Outcome
from cleanplate.errors import InputError, OutputError, WeightsError
from cleanplate.inputs import open_log, parse_json

_BEGINNING = b'{"output": '
"""Of every line of a journal."""
_LONGEST_LINE = 1 << 20

Stamp = list[Any] | None
"""Tells one state of a file or folder from another by names, sizes and times; None: not there."""


@dataclass(frozen=True)
class _Entry:
    fingerprint: str
    result: Stamp


class Journal:
    """A context manager around the file of finished jobs, one JSON object a line.

    One process may hold it at a time. A line that a crash cut short is passed over. A file that is
    new and still empty at the end is removed. Raises
    OutputError when the file cannot be written, InputError when another batch holds it or it is
    something else than a journal; it is unchanged then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, _Entry] = {}
        self._places: dict[str, str] | None = None  # outputs by their paths without links
        self._file: BufferedRandom | None = None
        self._is_new = False

    def __enter__(self) -> Journal:
        self._is_new = not os.path.lexists(self.path)
        try:
            self._file = open_log(self.path)
        except OSError as error:
            raise OutputError(
                f"the journal '{self.path}' cannot be written: {error.strerror}; name another"
                " place with `journal`"
            ) from None
        try:
            _lock(self._file, self.path)
            self._read(self._file)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        if self._is_new and not self._entries:
            with suppress(OSError):
                self.path.unlink()
        self._file.close()

    def is_done(self, job: Job) -> bool:
        """Whether the job's output is there, from the same input, masks, options and version."""
        entry = self._entries.get(job.output)
        return self.made(job) and entry is not None and entry.fingerprint == fingerprint(job)

    def made(self, job: Job) -> bool:
        """Whether the file at the job's output is one that this batch made, as it left it."""
        entry = self._entries.get(job.output)
        return entry is not None and entry.result is not None and entry.result == _stamp(job.output)

    def holds(self, path: str) -> bool:
        """Whether this batch made the file or folder at `path`, and left it as it is."""
        if self._places is None:
            outputs = [output for output in self._entries if "\0" not in output]
            self._places = {os.path.realpath(output): output for output in outputs}
        output = self._places.get(os.path.realpath(path))
        return output is not None and self._entries[output].result == _stamp(output)

    def add(self, job: Job, print_of_job: str, outcome: Outcome) -> None:
        """Note a finished job; `print_of_job` is its `fingerprint` from before the work."""
        assert self._file is not None
        entry = _Entry(print_of_job, _stamp(job.output))
        self._entries[job.output] = entry
        line = {"output": job.output, "fingerprint": entry.fingerprint, "result": entry.result}
        self._file.write(json.dumps({**line, "report": outcome.report}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, file: BufferedRandom) -> None:
        file.seek(0)
        line, is_journal = b"\n", False
        for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
            is_known = self._take(line.rstrip())
            if not is_known and not is_journal:
                raise InputError(
                    f"'{self.path}' is no journal of a batch and was not changed; name another"
                    " place with `journal`"
                )
            is_journal = is_journal or bool(line.strip())
        if not line.endswith(b"\n"):
            file.write(b"\n")  # the next line must not be glued to the one cut short

    def _take(self, line: bytes) -> bool:
        """Read one line; False when it is neither an entry nor the beginning of one."""
        try:
            found = parse_json(line)
            os.fsencode(found["output"])  # raises for what is no path
            self._entries[found["output"]] = _Entry(found["fingerprint"], found["result"])
        except (KeyError, TypeError):
            return False
        except ValueError:
            return _BEGINNING.startswith(line[: len(_BEGINNING)])
        return True


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
    from cleanplate.model import info  # loads torch, which workers without a network do not need

    try:
        return info(name).checksum
    except WeightsError:
        return None


def _lock(file: BufferedRandom, path: Path) -> None:
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
    if not _is_at(file, path):
        raise InputError(f"another batch has just ended with '{path}'; run the command again")


def _is_at(file: BufferedRandom, path: Path) -> bool:
    """Whether the open file is still the one at `path`: an empty one is removed at its end."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except OSError:
        return False
