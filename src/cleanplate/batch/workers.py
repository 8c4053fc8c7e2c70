"""Workers: processes on this machine, or tasks of a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
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

from cleanplate import __version__
from cleanplate.batch.tasks import Events, Outcome, Progressed, Task, Ticket, attempt
from cleanplate.errors import CleanplateError, InputError, explain_exit
from cleanplate.machine import share_heaps
from cleanplate.motion.propagation import limit_threads
from cleanplate.removal.networks import asks_network

_GRACE = 10.0
"""Seconds that workers get to clean up after SIGTERM or a cancel, before they are killed."""
_LESS_MEMORY = "use fewer `workers` or set `max_memory`"


class LocalWorkers:
    """Run tasks in `count` processes with `threads` threads each.

    A task whose worker dies, or whose failure was not its own (`Outcome.again`), is retried up to
    `retries` times in a live process.
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
    """One worker process, started when needed, and the ticket it works on.

    Unlike the page's (`page.queue`) it takes tasks as Python objects, and is asked to end before
    it is killed: a removal then clears its hidden folder itself.
    """

    def __init__(self, place: int, threads: int) -> None:
        self._place, self._threads = place, threads
        self._process: BaseProcess | None = None
        self.connection: Connection | None = None
        self.ticket: Ticket | None = None

    def give(self, ticket: Ticket) -> None:
        """Send a ticket to the process; if it has died, `hear` reports that."""
        if self.connection is None:
            self._start()
        assert self.connection is not None
        self.ticket = ticket
        with suppress(OSError):
            self.connection.send((ticket.number, ticket.task))

    def hear(self) -> Progressed | Outcome | None:
        """Receive the worker's next event; the death of one with a ticket is an Outcome."""
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
        """Wait for the end until `deadline`, then kill; remove what an open task left."""
        if self._process is None or self.connection is None:
            return
        self._process.join(max(0.0, deadline - time.monotonic()))
        self._process.kill()
        self._bury()

    def _start(self) -> None:
        # A fork would copy the locks of torch's and OpenCV's threads, but not the threads.
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, self._place, self._threads), daemon=True
        )
        self._process.start()
        other.close()

    def _bury(self) -> Outcome | None:
        """Clean up after a process that has ended."""
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
    """Block until workers have sent something; return those workers."""
    ready = wait([worker.connection for worker in crew if worker.connection is not None])
    return [worker for worker in crew if worker.connection in ready]


def _dismiss(crew: Sequence[_Process]) -> None:
    """End all processes, with `_GRACE` seconds to clean up."""
    for worker in crew:
        worker.dismiss()
    deadline = time.monotonic() + _GRACE
    for worker in crew:
        worker.await_end(deadline)


def _serve(connection: Connection, place: int, threads: int) -> None:
    """Run tasks in a worker process until SIGTERM, or until the parent is gone."""
    # Ctrl-C reaches all processes of a terminal; only the parent handles it, and sends SIGTERM.
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
        if asks_network(options.get("model"), options.get("method", "auto")):
            _choose_gpu(place)
        connection.send(attempt(number, task, connection.send, threads=threads))


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the cleanup
    raise SystemExit(128 + number)


def _follow_parent() -> None:
    """End this process when the parent ends, even if killed."""
    parent: Any = multiprocessing.parent_process()
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _choose_gpu(place: int) -> None:
    """Spread the workers over the machine's GPUs."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(place % torch.cuda.device_count())


_LOOKED_AT = 1.0
"""Seconds between two polls of the progress."""
_SUBMITTED = 1000
"""Tasks submitted to Ray at once, enough for an autoscaler to see the demand."""


class RayWorkers:
    """Run tasks on the Ray cluster at `address`, which must be running.

    Each task reserves `threads` processors and `gpus` GPUs, which may be a fraction. A task whose
    worker or node dies, or whose failure was not its own, is retried up to `retries` times. All
    nodes must see inputs and outputs under the same paths and have the same version of cleanplate.

    Anyone who can reach the cluster's ports can run code on it, so its network must be trusted.
    This class never starts a cluster, because Ray listens on all interfaces.
    """

    def __init__(
        self, address: str, *, threads: int = 1, gpus: float = 0.0, retries: int = 2
    ) -> None:
        if address == "local":
            raise InputError(
                "`ray` must be the address of a running cluster; without it the workers are"
                " processes of this machine"
            )
        self._address, self._gpus, self._retries = address, gpus, retries
        self.threads = threads

    def run(self, waiting: deque[Ticket]) -> Events:
        """See Workers.run."""
        ray = _connect(self._address)
        try:
            yield from self._run(ray, waiting)
        finally:
            ray.shutdown()

    def _run(self, ray: Any, waiting: deque[Ticket]) -> Events:
        board = ray.remote(num_cpus=0, max_restarts=-1)(_Board).remote()
        needs = {"num_cpus": self.threads, "num_gpus": self._gpus}
        perform = ray.remote(**needs, max_retries=0, max_calls=0)(_perform)
        running: dict[Any, Ticket] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _SUBMITTED:
                    ticket = waiting.popleft()
                    ref = perform.remote(
                        ticket.number, ticket.task, board, self.threads, __version__
                    )
                    running[ref] = ticket
                ended, _ = ray.wait(list(running), num_returns=1, timeout=_LOOKED_AT)
                yield from _look_at(ray, board)
                for ref in ended:
                    ticket = running.pop(ref)
                    outcome = _collect(ray, ref, ticket.number)
                    if outcome.again:
                        ticket.task.sweep()
                    if outcome.again and ticket.attempts <= self._retries:
                        waiting.append(ticket.again())
                    else:
                        yield replace(outcome, attempts=ticket.attempts)
        finally:
            _cancel(ray, list(running))
            for ticket in running.values():
                ticket.task.sweep()


class _Board:
    """A Ray actor to which all tasks report their progress."""

    def __init__(self) -> None:
        self._news: dict[int, Progressed] = {}

    def put(self, news: Progressed) -> None:
        """Record the progress of a task."""
        self._news[news.number] = news

    def take(self) -> list[Progressed]:
        """Return the progress reported since the last call."""
        news, self._news = list(self._news.values()), {}
        return news


def _perform(number: int, task: Task, board: Any, threads: int, version: str) -> Outcome:
    """Run one task on a node of the cluster."""
    limit_threads(threads)
    return attempt(number, task, board.put.remote, version, threads=threads)


def _connect(address: str) -> Any:
    """Connect to the cluster and return the ray module; raises InputError on failure."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError("`ray` needs Ray; install cleanplate[cluster]") from None
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level="error", **_loopback(address))
    except Exception as error:  # Ray raises many kinds
        reason = " ".join(str(error).split())
        raise InputError(
            f"no Ray cluster can be reached at '{address}': {reason[:200]}; start one with"
            " `ray start --head` on a trusted network"
        ) from None
    return ray


def _knock(address: str) -> None:
    """Raise OSError at once when `address` is unreachable; Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _loopback(address: str) -> dict[str, str]:
    """Keep Ray on loopback for a local cluster; by default it takes a network address."""
    host = address.rpartition(":")[0]
    return {"_node_ip_address": host} if host.startswith("127.") else {}


def _look_at(ray: Any, board: Any) -> Events:
    """Yield progress since the last poll; nothing while the board's node is unreachable."""
    with suppress(ray.exceptions.RayError):
        yield from ray.get(board.take.remote(), timeout=_GRACE)


def _collect(ray: Any, ref: Any, number: int) -> Outcome:
    """Return a task's Outcome; also for the loss of its worker or node."""
    try:
        outcome: Outcome = ray.get(ref)
        return outcome
    except ray.exceptions.RayTaskError as error:
        reason = " ".join(str(error.cause).split())
        return Outcome(number, "failed", error=f"the node could not run it: {reason}")
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())
        return Outcome(number, "failed", error=f"its worker died: {reason[:200]}", again=True)


def _cancel(ray: Any, refs: list[Any]) -> None:
    """Cancel tasks, then kill those that do not stop within `_GRACE` seconds."""
    for force in (False, True):
        if not refs:
            return
        for ref in refs:
            with suppress(ray.exceptions.RayError, CleanplateError):
                ray.cancel(ref, force=force)
        _, refs = ray.wait(refs, num_returns=len(refs), timeout=_GRACE)
