"""Workers on this machine: processes that a crash of one does not touch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn

from cleanplate.cluster.tasks import Ticket
from cleanplate.cluster.work import Events, Outcome, Progressed, attempt
from cleanplate.exits import explain_exit
from cleanplate.flow.parallel import limit_threads
from cleanplate.machine import share_heaps
from cleanplate.pipeline.models import DEFAULT, asks_network

_GRACE = 10.0
"""Seconds that a worker told to stop has for cleaning up."""
_LESS_MEMORY = "use fewer `workers` or set `max_memory`"


class LocalWorkers:
    """Does tasks in `count` processes with `threads` threads each.

    A task whose worker dies, or that fails by no fault of its own, is started again up to `retries`
    times, each time in a living process.
    """

    def __init__(self, count: int, *, threads: int, retries: int = 2) -> None:
        if count < 1 or threads < 1 or retries < 0:
            raise ValueError("workers and threads must be positive, retries not negative")
        self._count, self._retries = count, retries
        self.threads = threads

    def run(self, waiting: deque[Ticket]) -> Events:
        """See Workers.run."""
        crew = [_Process(place, self.threads) for place in range(self._count)]
        try:
            while waiting or any(worker.ticket for worker in crew):
                for worker in crew:
                    if worker.ticket is None and waiting:
                        worker.give(waiting.popleft())
                for worker in _wait(crew):
                    ticket, event = worker.ticket, worker.hear()
                    if isinstance(event, Outcome) and ticket is not None:
                        if event.again and ticket.attempts <= self._retries:
                            waiting.append(ticket.again())
                            continue
                        event = replace(event, attempts=ticket.attempts)
                    if event is not None:
                        yield event
        finally:
            _dismiss(crew)


class _Process:
    """One worker process, started when it is needed, and what it is working on."""

    def __init__(self, place: int, threads: int) -> None:
        self._place, self._threads = place, threads
        self._process: BaseProcess | None = None
        self.connection: Connection | None = None
        self.ticket: Ticket | None = None

    def give(self, ticket: Ticket) -> None:
        """Hand over a ticket; a dead worker shows in `hear`."""
        if self.connection is None:
            self._start()
        assert self.connection is not None
        self.ticket = ticket
        with suppress(OSError):
            self.connection.send((ticket.number, ticket.task))

    def hear(self) -> Progressed | Outcome | None:
        """What the worker has to say; the death of one with a ticket is an Outcome."""
        assert self.connection is not None
        event: Progressed | Outcome | None
        try:
            event = self.connection.recv()
        except (EOFError, OSError):
            event = self._bury()
        if isinstance(event, Outcome):
            self.ticket = None
        return event

    def dismiss(self) -> None:
        """Ask the process to end."""
        if self._process is not None:
            self._process.terminate()

    def await_end(self, deadline: float) -> None:
        """Wait for the end until `deadline`, then force it; nothing is left of an open task."""
        if self._process is None or self.connection is None:
            return
        self._process.join(max(0.0, deadline - time.monotonic()))
        self._process.kill()
        self._bury()

    def _start(self) -> None:
        # A fork would copy the threads' locks of torch and OpenCV, but not the threads.
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, self._place, self._threads), daemon=True
        )
        self._process.start()
        other.close()

    def _bury(self) -> Outcome | None:
        """Clean up behind a process that has ended."""
        assert self._process is not None
        assert self.connection is not None
        self.connection.close()
        self.connection = None
        self._process.join()
        if self.ticket is None:
            return None
        self.ticket.task.sweep()
        why = explain_exit(self._process.exitcode, memory=_LESS_MEMORY)
        return Outcome(self.ticket.number, "failed", error=why, again=True)


def _wait(crew: Sequence[_Process]) -> list[_Process]:
    """Those workers that have something to say; blocks until there is one."""
    ready = wait([worker.connection for worker in crew if worker.connection is not None])
    return [worker for worker in crew if worker.connection in ready]


def _dismiss(crew: Sequence[_Process]) -> None:
    """End all processes; they have some time to clean up."""
    for worker in crew:
        worker.dismiss()
    deadline = time.monotonic() + _GRACE
    for worker in crew:
        worker.await_end(deadline)


def _serve(connection: Connection, place: int, threads: int) -> None:
    """What a worker process does until it is told to stop, or its parent is gone."""
    # Ctrl-C reaches all processes of a terminal; the parent decides, and then says SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    share_heaps()
    threading.Thread(target=_follow_parent, daemon=True).start()
    limit_threads(threads)
    while True:
        try:
            number, task = connection.recv()
        except EOFError:
            return
        options = task.job.options
        if asks_network(options.get("model", DEFAULT), options.get("method", "auto")):
            _choose_gpu(place)
        connection.send(attempt(number, task, connection.send, threads=threads))


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second one must not break into the cleaning up
    raise SystemExit(128 + number)


def _follow_parent() -> None:
    """End with the parent, even when it was killed."""
    parent: Any = multiprocessing.parent_process()
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _choose_gpu(place: int) -> None:
    """Spread the workers over the machine's GPUs."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(place % torch.cuda.device_count())
