"""Worker threads with bounded queues that pass their error to the caller and always end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

from cleanplate.types import Size

T = TypeVar("T")

_PATIENCE = 0.1


_WAITING_PIXELS = 8_000_000


def choose_depth(size: Size) -> int:
    """Choose the queue length between threads for pictures of `size`: shorter for large ones."""
    return max(1, min(16, _WAITING_PIXELS // (size.width * size.height)))


class _Thread:
    """Daemon thread that runs `work` in the caller's context, which holds NumPy's error state.

    If a signal interrupts `join`, `threading.Thread` counts as ended (CPython 3.11) although it
    still runs. This one can be joined again.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._ended = threading.Event()
        context = copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name=name, daemon=True
        )

    def start(self) -> None:
        """Start the thread; call once."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread is running."""
        return self._thread.ident is not None and not self._ended.is_set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it ends, at most `timeout` seconds."""
        if self.is_running and self._ended.wait(timeout):
            self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()


class _End:
    """End of a queue, with the error that caused it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class ReadAhead(Generic[T]):
    """Iterate over `make()`, which runs in a thread up to `depth` items ahead.

    With a depth of 0 it runs in the caller's thread, on demand.
    """

    def __init__(self, make: Callable[[], Iterator[T]], depth: int = 4) -> None:
        self._make = make
        self._queue: Queue[T | _End] = Queue(depth)
        self._items: Iterator[T] | None = None if depth else make()
        self._stopped = threading.Event()
        self._thread: _Thread | None = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._stopped.is_set():
            raise StopIteration
        if self._items is not None:
            return next(self._items)
        if self._thread is None:
            self._thread = _Thread(self._run, "cleanplate-read")
            self._thread.start()
        item = self._queue.get()
        if not isinstance(item, _End):
            return item
        self.close()
        if item.error is not None:
            raise item.error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread at any point; idempotent."""
        self._stopped.set()
        if self._items is not None:
            getattr(self._items, "close", lambda: None)()
        while self._thread is not None and self._thread.is_running:
            with suppress(Empty):
                self._queue.get_nowait()
            self._thread.wait(_PATIENCE / 10)
        self._thread = None

    def _run(self) -> None:
        error = None
        items = self._make()
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as caught:  # passed to the caller, which raises it
            error = caught
        finally:
            with suppress(Exception):
                getattr(items, "close", lambda: None)()
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._stopped.is_set():
            with suppress(Full):
                self._queue.put(item, timeout=_PATIENCE)
                return True
        return False


class Worker(Generic[T]):
    """Run `consume(items)` in a thread; `send` blocks while `depth` items are queued.

    With a depth of 0 it waits until the item is processed, so that only one of both threads works.
    `consume` runs to its end when `finish` is called; on `abort` its iterator raises Aborted. The
    thread starts with the first item, so that an earlier interruption has nothing to abort.
    """

    def __init__(self, consume: Callable[[Iterator[T]], None], depth: int = 4) -> None:
        self._consume = consume
        self._queue: Queue[T | _End] = Queue(max(1, depth))
        self._waits = depth == 0
        self._idle = threading.Event()
        self._error: BaseException | None = None
        self._aborted = threading.Event()
        self._thread: _Thread | None = None

    def send(self, item: T) -> None:
        """Queue an item; raise the thread's error if it has failed."""
        self._idle.clear()
        thread = self._put(item)
        while self._waits and thread.is_running and not self._idle.wait(_PATIENCE):
            pass
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Wait until all items are processed; raise the thread's error."""
        self._put(_End(None)).wait()
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """End the thread without finishing its work; never raises."""
        self._aborted.set()
        if self._thread is not None:
            self._thread.wait()

    def _put(self, item: T | _End) -> _Thread:
        if self._thread is None:
            self._thread = _Thread(self._run, "cleanplate-write")
            self._thread.start()
        while self._thread.is_running and self._error is None:
            with suppress(Full):
                self._queue.put(item, timeout=_PATIENCE)
                break
        return self._thread

    def _run(self) -> None:
        try:
            self._consume(self._items())
        except BaseException as caught:  # passed to the caller, which raises it
            self._error = caught

    def _items(self) -> Iterator[T]:
        while True:
            try:
                item = self._queue.get(timeout=_PATIENCE)
            except Empty:
                if self._aborted.is_set():
                    raise Aborted from None
                continue
            if self._aborted.is_set():
                raise Aborted
            if isinstance(item, _End):
                return
            yield item
            self._idle.set()


class Aborted(Exception):
    """The caller aborted; the worker ends."""
