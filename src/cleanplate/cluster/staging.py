"""Where an attempt at a job writes: apart from its output, so that a killed one leaves no trace."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType

from cleanplate.cluster.jobs import Job
from cleanplate.errors import OutputError
from cleanplate.video.destination import Destination


class Staging:
    """A hidden folder beside the output for one attempt; `commit` moves the result to its place.

    It is removed at the end of the block. What a killed attempt left is removed by `sweep`.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._output = Path(job.output)
        name = f"{_prefix(job)}{secrets.token_hex(4)}"
        self._folder = self._output.parent / name
        self.path = self._folder / self._output.name

    def __enter__(self) -> Staging:
        try:
            self._folder.mkdir()
        except OSError as error:
            raise OutputError(
                f"'{self._output.parent}' cannot be written to: {error.strerror}"
            ) from None
        return self

    def commit(self) -> None:
        """Put the finished result in place; raises OutputError or EncodeError."""
        overwrite = bool(self._job.options.get("overwrite"))
        target = Destination(self._output, Path(self._job.input), overwrite=overwrite)
        target.claim()
        os.replace(self.path, target.partial)
        target.commit()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def sweep(job: Job) -> None:
    """Remove what earlier attempts at `job` left; call it when none is running."""
    prefix = _prefix(job)
    try:
        left = [
            entry.path
            for entry in os.scandir(Path(job.output).parent)
            if entry.name.startswith(prefix)
        ]
    except OSError:
        return
    for path in left:
        shutil.rmtree(path, ignore_errors=True)


def _prefix(job: Job) -> str:
    """Begins the name of every staging folder of this output, and of no other's."""
    return f".cleanplate-batch-{hashlib.sha256(os.fsencode(job.output)).hexdigest()[:12]}-"
