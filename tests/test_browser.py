"""The browser that tests of pages use notices what it should."""

from tests.patience import PATIENCE


def test_requests_and_errors_are_noticed(browser, watch, tmp_path):
    file = tmp_path / "page.html"
    file.write_text('<img src="missing.png"><script>nothing()</script>', encoding="utf-8")
    page = browser.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    seen = watch(page)
    page.goto(file.as_uri())
    page.close()
    assert [address.rsplit("/", 1)[1] for address in seen.requests] == ["page.html", "missing.png"]
    assert any("nothing is not defined" in error for error in seen.errors)
