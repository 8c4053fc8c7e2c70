"""Take screenshots of the page of `cleanplate serve` in Debian's Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WINDOW = {"width": 1200, "height": 760}
PHONE = {"width": 400, "height": 800}
CORNERS = (216, 20), (302, 106)
"""Box around the ball on frame 25 of the ride."""
SIZE = (432, 240)
PATIENCE = 240_000
"""Timeout in milliseconds for a job on a busy machine."""


def photograph_page(clip: Path, folder: Path) -> None:
    """Mark, track, remove and compare on the page; write `folder/page-*.jpg`."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("no chromium on the PATH; install it")
    with serve() as address, sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.set_input_files("#file", clip)
        page.locator("#picture[data-shown='0']").wait_for()
        show(page, 25)
        drag(page, CORNERS)
        work(page, "#track")
        show(page, 27)
        shoot(page, folder / "page-mark.jpg")
        page.set_viewport_size(PHONE)
        shoot(page, folder / "page-phone.jpg")
        page.set_viewport_size(WINDOW)
        work(page, "#remove")
        show(page, 27)
        shoot(page, folder / "page-compare.jpg")
        browser.close()


@contextmanager
def serve() -> Iterator[str]:
    """Start a server and yield its address; stop it at the end."""
    command = [sys.executable, "-m", "cleanplate", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield next(
                found[0] for line in server.stdout if (found := re.search(r"http://\S+", line))
            )
        finally:
            server.terminate()


def show(page, index: int) -> None:
    page.locator("#scrub").fill(str(index))
    page.locator(f"#picture[data-shown='{index}']").wait_for()


def drag(page, corners) -> None:
    """Draw from one corner of the box to the other, in pixels of the video."""
    area = page.locator("#overlay").bounding_box()
    first, last = (
        (area["x"] + x * area["width"] / SIZE[0], area["y"] + y * area["height"] / SIZE[1])
        for x, y in corners
    )
    page.mouse.move(*first)
    page.mouse.down()
    page.mouse.move(*last, steps=8)
    page.mouse.up()


def work(page, button: str) -> None:
    """Start a job and wait for its end."""
    page.click(button)
    page.locator("#job").wait_for(state="visible")
    page.locator("#job").wait_for(state="hidden")


def shoot(page, target: Path) -> None:
    """Encode a JPEG with the best quality that fits into 60 kB."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    for quality in range(88, 20, -4):
        page.screenshot(path=target, type="jpeg", quality=quality)
        if target.stat().st_size <= 60_000:
            return
