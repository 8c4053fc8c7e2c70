"""Where an attempt at a job writes: apart from its output, so that a killed one leaves no trace."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cleanplate.cluster.fingerprints import fingerprint, take_stamp
from cleanplate.cluster.jobs import Job
from cleanplate.errors import EncodeError, OutputError
from cleanplate.inputs import parse_json, read_text
from cleanplate.places import hide
from cleanplate.video.destination import Destination
from cleanplate.video.lock import remove_own

_PREFIX = ".cleanplate-batch-"
_TOKEN = 4
"""Random bytes in the name of a staging folder."""
_RECEIPT = "result.json"
"""In a staging folder: what was put in place. Batch journals may not know of it yet."""


@dataclass(frozen=True)
class Result:
    """A result in its place: the `fingerprint` of its job, and the report as JSON values."""

    fingerprint: str
    report: dict[str, Any]


class Staging:
    """A hidden folder beside the output for one attempt; `commit` moves the result to its place.

    It is removed at the end of the block, unless the result was put in place: then a receipt stays
    in it, by which `find_result` knows the result again. `sweep` removes all of it.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._output = Path(job.output)
        name = f"{_prefix(job)}{secrets.token_hex(_TOKEN)}"
        self._folder = self._output.parent / name
        self.path = self._folder / self._output.name
        self._fingerprint = fingerprint(job)  # from before the work
        self._is_committed = False

    def __enter__(self) -> Staging:
        try:
            self._folder.mkdir()
        except OSError as error:
            raise OutputError(
                f"'{self._output.parent}' cannot be written to: {error.strerror}"
            ) from None
        return self

    def commit(self, report: dict[str, Any]) -> None:
        """Put the finished result in place; raises OutputError or EncodeError."""
        receipt = {
            "fingerprint": self._fingerprint,
            "result": take_stamp(str(self.path)),
            "report": report,
        }
        try:
            (self._folder / _RECEIPT).write_text(json.dumps(receipt), encoding="utf-8")
        except OSError as error:
            raise EncodeError(f"'{self._folder}' cannot be written to: {error.strerror}") from None
        overwrite = bool(self._job.options.get("overwrite"))
        target = Destination(self._output, Path(self._job.input), overwrite=overwrite)
        target.claim()
        os.replace(self.path, target.partial)
        target.commit()
        self._is_committed = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_committed:
            shutil.rmtree(self._folder, ignore_errors=True)


def find_result(job: Job) -> Result | None:
    """What an attempt put at the output of `job`, if that is still as it left it."""
    for folder in _list(Path(job.output).parent):
        if not folder.name.startswith(_prefix(job)):
            continue
        with suppress(OSError, ValueError, KeyError, TypeError):
            receipt = parse_json(read_text(folder / _RECEIPT))
            is_there = receipt["result"] is not None
            if is_there and receipt["result"] == take_stamp(job.output):
                return Result(str(receipt["fingerprint"]), dict(receipt["report"]))
    return None


def sweep(jobs: Iterable[Job]) -> None:
    """Remove what earlier attempts at `jobs` left; call it when none is running."""
    outputs = {_prefix(job): Path(job.output) for job in jobs}
    for parent in {output.parent for output in outputs.values()}:
        for folder in _list(parent):
            output = outputs.get(folder.name[: -2 * _TOKEN])
            if output is not None:
                ours = {output.name, hide(output).name, _RECEIPT}
                remove_own(folder, ours.__contains__)


def _list(parent: Path) -> list[Path]:
    """The staging folders in `parent`."""
    try:
        return [path for path in parent.iterdir() if path.name.startswith(_PREFIX)]
    except OSError:
        return []


def _prefix(job: Job) -> str:
    """Begins the name of every staging folder of this output, and of no other's."""
    return f"{_PREFIX}{hashlib.sha256(os.fsencode(job.output)).hexdigest()[:12]}-"
