"""What every request must pass, and what every answer carries."""

import re

import pytest

TOKEN = "a-token-that-is-long-enough"


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "[::1]:80", "192.168.1.7"])
def test_addresses_and_localhost_are_our_names(visitor, host):
    assert visitor.ask("GET", "/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "a:b:c", "[::1"])
def test_other_names_are_refused(visitor, host):
    answer = visitor.ask("GET", "/api/session", headers={"Host": host})
    assert answer.status_code == 421
    assert "--allow-host" in answer.json()["error"]
    assert "set-cookie" not in answer.headers


def test_every_answer_carries_the_headers(visitor):
    for path in ("/", "/static/main.js", "/api/session", "/nothing", "/api/clips/none"):
        headers = visitor.ask("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "cache-control" in headers


def test_the_page_has_no_inline_scripts_and_no_foreign_address(visitor):
    page = visitor.ask("GET", "/").text
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    assert " style=" not in page
    assert " onclick" not in page
    names = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert names
    for name in names:
        answer = visitor.ask("GET", name)
        assert answer.status_code == 200, name
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text


def test_requests_that_change_must_come_from_the_page(visitor):
    del visitor.client.headers["X-Cleanplate"]
    assert visitor.ask("POST", "/api/clips", content=b"x").status_code == 403
    with_mark = {"X-Cleanplate": "1", "Origin": "http://evil.example"}
    assert visitor.ask("POST", "/api/clips", content=b"x", headers=with_mark).status_code == 403
    with_mark["Origin"] = "http://[::1"
    assert visitor.ask("POST", "/api/clips", content=b"x", headers=with_mark).status_code == 403
    with_mark["Origin"] = "http://127.0.0.1"
    assert visitor.ask("POST", "/api/clips", content=b"", headers=with_mark).status_code == 400


def test_a_token_is_asked_for_once(open_app):
    visit = open_app(token=TOKEN)
    visitor = visit()
    for path in ("/", "/api/session", "/static/main.js", "/?token=wrong", f"/?token={TOKEN}x"):
        answer = visitor.ask("GET", path)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    answer = visitor.ask("GET", f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("cleanplate-80=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert visitor.ask("GET", "/api/session").status_code == 200
    assert visit().ask("GET", "/api/session").status_code == 401


def test_a_made_up_or_broken_cookie_opens_nothing(open_app):
    visitor = open_app(token=TOKEN)()
    for cookie in (
        "cleanplate-80=guess",
        "cleanplate-80=",
        "=;;=\x01",
        "cleanplate-80=" + "a" * 5000,
    ):
        answer = visitor.ask("GET", "/api/session", headers={"Cookie": cookie})
        assert answer.status_code == 401


def test_cookies_of_other_servers_do_not_hide_ours(open_app):
    visitor = open_app(token=TOKEN)()
    visitor.ask("GET", f"/?token={TOKEN}")
    mine = f"cleanplate-80={visitor.client.cookies['cleanplate-80']}"
    for cookie in (f'theirs={{"a": 1}}; {mine}', f'a="\\"; \x01=é;;=;{mine}', f"{mine}; =;[]"):
        headers = {"Cookie": cookie.encode("latin-1")}
        visitor.client.cookies.clear()
        assert visitor.ask("GET", "/api/session", headers=headers).status_code == 200


def test_too_many_requests_are_slowed_down(open_app):
    visitor = open_app(rate=0.5)()
    codes = [visitor.ask("GET", "/api/session").status_code for _ in range(6)]
    assert codes[0] == 200
    assert codes[-1] == 429
    assert "0.5 requests a second" in visitor.ask("GET", "/api/session").json()["error"]


def test_long_bodies_are_refused_before_they_are_read(open_app):
    visitor = open_app(body=1000)()
    path = "/api/clips/none/marks"
    answer = visitor.ask("PUT", path, content=b"x" * 1001)
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["error"]
    assert visitor.ask("PUT", path, content=iter([b"x"])).status_code == 411


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2Fapp.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static//etc/passwd",
        "/static/main.js%00",
        "/api/clips/..%2F..%2Fetc/frames/0",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_path_leads_out(visitor, path):
    answer = visitor.ask("GET", path)
    assert answer.status_code == 404
    assert "error" in answer.json()
