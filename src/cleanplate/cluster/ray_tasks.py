"""Workers on a Ray cluster: a task of Ray's for each of ours, on whatever node has room for it."""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cleanplate import __version__
from cleanplate.cluster.tasks import Task, Ticket
from cleanplate.cluster.work import Events, Outcome, Progressed, attempt
from cleanplate.errors import CleanplateError, InputError
from cleanplate.flow.parallel import limit_threads

_GRACE = 10.0
"""Seconds that tasks told to stop have for cleaning up."""
_LOOKED_AT = 1.0
"""Seconds between two looks at the progress."""
_SUBMITTED = 1000
"""Tasks known to Ray at once: enough for an autoscaler to see what is needed."""


class RayWorkers:
    """Does tasks as those of the Ray cluster at `address`, which must be running.

    Each task reserves `threads` processors and `gpus` of a GPU. A task whose worker or node dies,
    or that fails by no fault of its own, is started again up to `retries` times. All nodes must
    see inputs and outputs under the same paths and have the same version of cleanplate.

    Everybody who can reach the cluster's ports can run code on it: its network must be trusted.
    This class starts no cluster, as Ray listens on all interfaces.
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
    """The frames that each task has done, where all tasks can write them."""

    def __init__(self) -> None:
        self._news: dict[int, Progressed] = {}

    def put(self, news: Progressed) -> None:
        """Note how far a task is."""
        self._news[news.number] = news

    def take(self) -> list[Progressed]:
        """What was noted since the last time."""
        news, self._news = list(self._news.values()), {}
        return news


def _perform(number: int, task: Task, board: Any, threads: int, version: str) -> Outcome:
    """Do one task on a node of the cluster."""
    limit_threads(threads)
    return attempt(number, task, board.put.remote, version, threads=threads)


def _connect(address: str) -> Any:
    """The ray module, connected to the cluster; raises InputError when that cannot be."""
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
    """Raise OSError when nobody listens at `address`, for which Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _loopback(address: str) -> dict[str, str]:
    """Keeps Ray on the loopback device when the cluster is there (127.0.0.1 itself it replaces)."""
    host = address.rpartition(":")[0]
    return {"_node_ip_address": host} if host.startswith("127.") else {}


def _look_at(ray: Any, board: Any) -> Events:
    """Progress since the last look; none while the board's node is away."""
    with suppress(ray.exceptions.RayError):
        yield from ray.get(board.take.remote(), timeout=_GRACE)


def _collect(ray: Any, ref: Any, number: int) -> Outcome:
    """What came of a task; the loss of its worker or node is an Outcome, too."""
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
    """End tasks, gently first."""
    for force in (False, True):
        if not refs:
            return
        for ref in refs:
            with suppress(ray.exceptions.RayError, CleanplateError):
                ray.cancel(ref, force=force)
        _, refs = ray.wait(refs, num_returns=len(refs), timeout=_GRACE)
