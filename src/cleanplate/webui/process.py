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

Listener = Callable[[str, int, int | None], None]


class WorkerLost(CleanplateError):
    """The process ended before it answered."""


class WorkerProcess:
    """One worker, started when it is needed and after it was ended; `imports` are loaded ahead."""

    def __init__(self, imports: tuple[str, ...] = ()) -> None:
        self._imports = imports
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process, unless it runs; the first request then waits for nothing."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._release()
            # -P: nothing is imported from the folder in which the server was started.
            command = [sys.executable, "-P", "-m", "cleanplate.webui.worker", *self._imports]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )

    def ask(self, request: dict[str, Any], listen: Listener) -> dict[str, Any]:
        """Have `request` done by the started worker; `listen` hears each report of progress.

        Raises CleanplateError in the worker's words, WorkerLost when it ended or was ended.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerLost(
                "no worker could be started, most likely for lack of memory; try again"
            )
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
        raise WorkerLost(
            "the work stopped before it was done, most likely because memory ran out; try again"
            " with a smaller or shorter video"
        )

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
