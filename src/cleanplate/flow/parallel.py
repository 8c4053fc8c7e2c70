"""Work on many frames at the same time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

import cv2
import numpy as np

from cleanplate.machine import count_processors

T = TypeVar("T")
R = TypeVar("R")


class Spread(Protocol):
    """`map`, or a pool's."""

    def __call__(self, work: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]:
        """What `work` makes of each of the items, in order."""


@contextmanager
def spread_over(threads: int) -> Iterator[Spread]:
    """A `map` that works in so many threads, in this one alone where that is 1.

    Its threads handle floating-point errors as the caller does: numpy keeps that for each thread.
    OpenCV's number of threads stays as it is: it is the whole process's, and to lower it hangs in a
    forked child, which has none of the threads that OpenCV would wait for.
    """
    if threads == 1:
        yield map
        return
    state = partial(np.seterr, **np.geterr())
    with ThreadPoolExecutor(threads, initializer=state) as pool:
        yield pool.map


def limit_threads(threads: int) -> None:
    """Let OpenCV and torch use at most `threads` threads in this process, and one a processor.

    For processes of our own only, such as workers: the numbers are the whole process's.
    """
    threads = min(threads, count_processors())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # for libraries that are loaded later, torch among them
    cv2.setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
