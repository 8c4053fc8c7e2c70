"""Where the time goes: busy seconds of each stage of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

Stage = Literal["decode", "mask", "flow", "network", "blend", "encode"]
T = TypeVar("T")


class Stages:
    """Adds up the seconds spent in each stage; threads may use it at the same time.

    Stages overlap, so together they may exceed the wall time. "decode" and "encode" run in threads
    of their own: counted is how long the run waited for them, not how long they worked.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Count what happens inside for `stage`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._add(stage, time.perf_counter() - began)

    def watch(self, stage: Stage, items: Iterable[T]) -> Iterator[T]:
        """Pass `items` on, counting the time it takes to get each of them."""
        iterator = iter(items)
        while True:
            with self.time(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def seconds(self) -> dict[str, float]:
        """Seconds by stage."""
        with self._lock:
            return dict(self._seconds)

    def _add(self, stage: Stage, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
