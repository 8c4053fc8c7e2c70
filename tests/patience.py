"""Waiting for events: tests never depend on how fast the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 900
"""Seconds after which a test gives up on an event; far beyond what a busy machine needs."""


def until(there: Callable[[], object], going: Callable[[], object] = lambda: True) -> None:
    """Wait for an event; fails as soon as `going`, which it needs, is no longer true."""
    limit = time.monotonic() + PATIENCE
    while not there():
        assert going(), "the event can no longer happen"
        assert time.monotonic() < limit, f"nothing happened in {PATIENCE} s"
        time.sleep(0.005)
