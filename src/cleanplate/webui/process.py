"""The server's end of a worker process: ask it, hear of its progress, end it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cleanplate.errors import CleanplateError
from cleanplate.exits import explain_exit

Listener = Callable[[str, int, int | None], None]

_LESS_MEMORY = "try again with a smaller or shorter video"
_GRACE = 10.0
"""Seconds within which a process whose pipes are closed ends by itself."""


class WorkerLost(CleanplateError):
    """The process ended before it answered."""


class WorkerProcess:
    """One worker, started when it is needed and after it was ended; `imports` are loaded ahead."""

    def __init__(self, imports: tuple[str, ...] = ()) -> None:
        self._imports = imports
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._failure = "it was not started"

    def start(self) -> None:
        """Start the process, unless it runs; the first request then waits for nothing.

        What the system refuses is raised by `ask`.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._release()
            # -P: nothing is imported from the folder in which the server was started.
            command = [sys.executable, "-P", "-m", "cleanplate.webui.worker", *self._imports]
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                )
            except OSError as error:
                self._failure = error.strerror or str(error)

    def ask(self, request: dict[str, Any], listen: Listener) -> dict[str, Any]:
        """Have `request` done by the started worker; `listen` hears each report of progress.

        Raises CleanplateError in the worker's words, WorkerLost when it ended or was ended.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerLost(f"no worker could be started: {self._failure}; try again")
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                message = json.loads(line)
                if "result" in message:
                    return dict(message["result"])
                if "error" in message:
                    raise CleanplateError(message["error"])
                listen(message["stage"], message["done"], message["total"])
        except (OSError, ValueError):  # its pipes were closed in the middle
            pass
        raise WorkerLost(explain_exit(_await_end(process), memory=_LESS_MEMORY))

    def end(self) -> None:
        """End the process at once, whatever it does."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def close(self) -> None:
        """End the process and give back its pipes."""
        self.end()
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):  # what was not yet written has no reader any more
                    if pipe is not None:
                        pipe.close()
        self._process = None


def _await_end(process: subprocess.Popen[str]) -> int | None:
    """How the process ended; None when it goes on without its pipes, which ends it now."""
    try:
        return process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
