"""A process that does the page's work, one request after the other: `python -m` this module.

It reads a request a line from stdin and writes what happens, a line each, to stdout, all of it
JSON. The server ends it to cancel: nothing that runs here has to be asked to stop, and a decoder
that crashes on a hostile file takes no server with it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from importlib import import_module
from typing import IO, Any

from cleanplate.errors import CleanplateError

_PAUSE = 0.1
"""Seconds between two reports of progress; more often, nobody sees it."""


def main() -> None:
    """Serve requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server, who gets it too, ends us
    replies = _keep_stdout()
    logging.basicConfig(level=logging.ERROR)
    for name in sys.argv[1:]:
        import_module(name)
    for line in sys.stdin:
        _answer(json.loads(line), replies)


def _keep_stdout() -> IO[str]:
    """The pipe to the server; what a library prints to stdout goes to stderr from now on."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _answer(request: dict[str, Any], replies: IO[str]) -> None:
    from cleanplate.webui.tasks import TASKS

    last = 0.0
    stage = ""

    def report(what: str, done: int, total: int | None) -> None:
        nonlocal last, stage
        now = time.monotonic()
        if what != stage or done == total or now - last >= _PAUSE:
            last, stage = now, what
            _say(replies, {"stage": what, "done": done, "total": total})

    try:
        _say(replies, {"result": TASKS[request["task"]](request, report)})
    except CleanplateError as error:
        _say(replies, {"error": str(error)})
    except MemoryError:
        _say(replies, {"error": "there is not enough memory for this video; make it smaller"})
    except Exception as error:
        logging.exception("unexpected")
        _say(replies, {"error": f"unexpected {type(error).__name__}: {error}"})


def _say(replies: IO[str], message: dict[str, Any]) -> None:
    """Write one line; a server that is gone ends the process."""
    try:
        replies.write(json.dumps(message) + "\n")
        replies.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
