"""The built site asks no other host, complains of nothing and has all that its pages show."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.patience import PATIENCE

SITE = Path(__file__).parents[1] / "build" / "site"
PAGES = sorted(SITE.rglob("*.html"))
pytestmark = pytest.mark.skipif(not PAGES, reason="no site here; `make docs` builds it")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(Quiet, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(SITE).as_posix() for page in PAGES])
def test_pages_load_whole_and_alone(page, browser, watch, address):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(1000 * PATIENCE)
    seen = watch(opened)
    opened.goto(f"{address}/{page.relative_to(SITE).as_posix()}", wait_until="networkidle")
    broken = opened.evaluate(
        "[...document.images].filter(one => !one.naturalWidth).map(one => one.src)"
    )
    opened.close()
    assert broken == []
    assert seen.errors == []
    assert {one.split("/")[2] for one in seen.requests} == {address.split("/")[2]}


@pytest.mark.parametrize("name", ["index.html", "guides/moving-object.html", "faq.html"])
def test_pages_fit_a_phone(name, browser, address):
    opened = browser.new_page(viewport={"width": 400, "height": 800})
    opened.set_default_timeout(1000 * PATIENCE)
    opened.goto(f"{address}/{name}", wait_until="networkidle")
    width = opened.evaluate("document.documentElement.scrollWidth")
    opened.close()
    assert width <= 400


def test_options_without_a_default_have_none():
    commands = (SITE / "reference" / "commands.html").read_text(encoding="utf-8")
    for page in (*PAGES, SITE / "search" / "search_index.json"):
        assert "Sentinel" not in page.read_text(encoding="utf-8"), page
    assert "<td>none</td>" in commands
    assert "<td>required</td>" in commands
    assert "_required" not in commands


def test_references_are_generated():
    commands = (SITE / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--mask-threshold" in commands
    assert "completion" in commands
    python = (SITE / "reference" / "python.html").read_text(encoding="utf-8")
    for name in ("cleanplate.remove", "cleanplate.Engine", "cleanplate.errors.MaskError"):
        assert f'id="{name}"' in python, name
