"""Work on many frames at the same time, in threads of our own alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

import cv2
import numpy as np

T = TypeVar("T")
R = TypeVar("R")


class Spread(Protocol):
    """`map`, or a pool's."""

    def __call__(self, work: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]:
        """What `work` makes of each of the items, in order."""


class _Stillness:
    """Keeps OpenCV from starting threads while some of ours work: they would fight for the cores.

    OpenCV's number of threads is the process's, so users are counted and the last one restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._usual = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._usual = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                cv2.setNumThreads(self._usual)


_stillness = _Stillness()


@contextmanager
def spread_over(threads: int) -> Iterator[Spread]:
    """A `map` that works in so many threads, in this one alone where that is 1.

    They handle floating-point errors as the caller does: numpy keeps that for each thread.
    """
    with _stillness:
        if threads == 1:
            yield map
            return
        state = partial(np.seterr, **np.geterr())
        with ThreadPoolExecutor(threads, initializer=state) as pool:
            yield pool.map
