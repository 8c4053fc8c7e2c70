"""A real browser for the tests of pages: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REQUIRED = "CLEANPLATE_BROWSER"
"""Set to `require`, a missing browser is a failure and not a skip."""


@dataclass
class Watch:
    """What a page did while it was watched."""

    requests: list[str] = field(default_factory=list)
    """Addresses asked for, `data:` and `blob:` left out: those leave no machine."""
    errors: list[str] = field(default_factory=list)
    """Errors and warnings on the console, and exceptions nobody caught."""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium without a window; skips the test where there is none, or fails it if required."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        reason = "no chromium on the PATH"
        if os.environ.get(REQUIRED) == "require":
            pytest.fail(f"{reason}, but {REQUIRED}=require")
        pytest.skip(reason)
    if os.environ.get(REQUIRED) != "require":
        pytest.importorskip("playwright", reason="needs playwright, of the extra [dev]")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


def watch(page: Page) -> Watch:
    """Note what `page` asks for and complains about from now on."""
    seen = Watch()

    def note_request(address: str) -> None:
        if not address.startswith(("data:", "blob:")):
            seen.requests.append(address)

    page.on("request", lambda request: note_request(request.url))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on(
        "console",
        lambda message: (
            seen.errors.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    return seen
