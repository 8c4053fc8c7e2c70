"""FFmpeg's log messages, for facts that PyAV has no attribute for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av.logging

_lock = threading.Lock()
"""The log level is one for the whole process."""


@contextmanager
def collect_messages() -> Iterator[list[str]]:
    """Collect what FFmpeg logs in this thread at level INFO and above while the block runs."""
    with _lock:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        messages: list[str] = []
        try:
            with av.logging.Capture() as lines:
                yield messages
            messages += [message for _, _, message in lines]
        finally:
            av.logging.set_level(before)
