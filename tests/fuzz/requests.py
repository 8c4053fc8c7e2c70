"""Hostile requests to the page: a real server on loopback, spoken to byte by byte."""

from __future__ import annotations

import atexit
import json
import logging
import os
import socket
import tempfile
import threading
import time
from dataclasses import replace
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from tests.patience import PATIENCE

from .mutation import spoil, spoil_text, spoil_value
from .surfaces import Place, Plan

TOKEN = "the-token-of-the-fuzzer"
_WORDS = (
    "clips", "frames", "..", "%2e%2e", "%00", "-1", "1e9", "9" * 40, "9" * 300, "9" * 5000, "é", "",
    "static", "job",
)  # fmt: skip
_HEADERS = (
    "Host: evil.example", "Host:", "Host: 127.0.0.1:99999", "Origin: null", "Origin: http://[::1",
    "X-Cleanplate: 1", "Cookie: cleanplate=x", "Cookie: ;;=;\x01", "Transfer-Encoding: chunked",
    "Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999",
    "Content-Type: multipart/form-data; boundary=" + "x" * 99, "Content-Type: \t", "Range: bytes=-",
    "Range: bytes=" + "0-1," * 99, "Range: bytes=0-0,5-9,-2", "Range: bytes=9-1", "Range: lines=1-",
    "Range: bytes=" + "9" * 5000 + "-", "If-Range: x", "Content-Length: 5, 5",
    "Content-Length: 5,\r\n 6", "Cookie: a={\"b\": 1}; cleanplate=\"\\400\"",
    "Expect: 100-continue", "Upgrade: websocket", "X: " + "y" * 9000,
    "If-None-Match: \x7f", "Content-Encoding: gzip",
)  # fmt: skip


def make_requests(place: Place, random: Random) -> Plan:
    return {"requests": [_draw(place, random) for _ in range(random.choice((1, 1, 2, 4)))]}


def _draw(place: Place, random: Random) -> dict[str, Any]:
    """One request: what it asks for, spoilt as a value, as a text, as bytes or not at all."""
    video = random.choice(("vp8.webm", "h264.mp4"))
    method, path, body = random.choice(_orders(place.bytes_of(video)))
    headers: list[str] = []
    if random.random() < 0.4:
        headers = random.sample(_HEADERS, random.choice((1, 1, 2, 3)))
    if random.random() < 0.3:
        path = random.choice((spoil_text(path, random), "/".join(random.choices(_WORDS, k=4))))
    if random.random() < 0.1:
        method = random.choice(("PUT", "PATCH", "OPTIONS", "TRACE", "HEAD", "DELETE", "\x00", "é"))
    if isinstance(body, bytes):
        data = spoil(body, random) if body and random.random() < 0.7 else body
    else:
        data = json.dumps(spoil_value(body, random)).encode()
        data = spoil(data, random) if random.random() < 0.2 else data
    spoilt = random.randrange(5) or random.randrange(1 << 40)
    return {
        "method": method, "path": path, "headers": headers, "body": data,
        "stranger": random.random() < 0.2, "spoil": spoilt,
    }  # fmt: skip


def _orders(video: bytes) -> list[tuple[str, str, Any]]:
    """What the page itself asks for; CLIP stands for a clip that is there."""
    box = {"kind": "box", "frame": 0, "box": [4, 4, 9.5, 8]}
    click = {"kind": "click", "frame": 1, "point": [9, 9]}
    stroke = {"kind": "brush", "frame": 2, "radius": 2, "points": [[1, 1], [20, 20.5]]}
    marks = {"kind": "moving", "shadows": False, "marks": [box, click, stroke]}
    marking = {"revision": 1, "marks": marks}
    long = {"revision": int("9" * 300), "marks": {"marks": [{**click, "frame": int("9" * 300)}]}}
    fixed = {"revision": None, "marks": {"kind": "fixed", "marks": [stroke, box]}}
    pictures = ("/times", "/frames/0", "/masks/1/0", "/results/1/frames/0", "/result", "/masks")
    looks = [("GET", f"/api/clips/CLIP{end}", b"") for end in ("", *pictures)]
    return [
        *looks,
        ("GET", "/", b""),
        ("GET", f"/?token={TOKEN}", b""),
        ("GET", "/static/main.js", b""),
        ("GET", "/api/session", b""),
        ("POST", "/api/clips?name=a.mp4", video),
        ("POST", "/api/clips?name=a.mp4", video),
        ("POST", "/api/clips?name=..%2f%00%0d%0a%22.mp4", b"video"),
        ("DELETE", "/api/clips/CLIP/job", b""),
        ("POST", "/api/clips/CLIP/click", {"frame": 1, "point": [4, 5]}),
        ("GET", "/api/clips/CLIP/frames/" + "9" * 300, b""),
        ("PUT", "/api/clips/CLIP/marks", long),
        ("PUT", "/api/clips/CLIP/marks", marking),
        ("PUT", "/api/clips/CLIP/marks", fixed),
        ("PUT", "/api/clips/CLIP/marks", fixed),
        ("POST", "/api/clips/CLIP/job", {"kind": "track"}),
        ("POST", "/api/clips/CLIP/job", {"kind": "remove", "dilate": 1, "lossless": True}),
    ]


def run_requests(place: Place, plan: Plan) -> None:
    """Nothing is answered as a fault of the server, and it goes on serving."""
    server = _server(place.originals)
    server.faults.clear()
    for request in plan["requests"]:
        server.ready()
        answer = server.send(server.write(request))
        if answer is not None:
            if answer[0] == 500:
                time.sleep(0.5)  # what is wrong is logged after it is answered
            assert not server.faults, server.faults[0]
            _check_answer(*answer)
    server.settle()
    assert not server.faults, server.faults[0]


def _check_answer(status: int, body: bytes) -> None:
    assert status < 500 or b'"error"' in body, f"{status}: {body[:300]!r}"
    assert status not in (500, 501, 502), f"{status}: {body[:300]!r}"
    for word in (b"Traceback", b"cleanplate-page-", b"unexpected "):
        assert word not in body, f"{status} says {word!r}: {body[:300]!r}"


class _Server(logging.Handler):
    """A server in this process, with one clip that is ready, and what it complained of."""

    def __init__(self, originals: Path) -> None:
        super().__init__(logging.ERROR)
        import uvicorn

        from cleanplate.page.limits import Limits, ServerSettings
        from cleanplate.page.server import Connection, create_app
        from cleanplate.page.sessions import Sessions

        self.faults: list[str] = []
        logging.getLogger("uvicorn.error").addHandler(self)
        logging.getLogger("uvicorn.error").propagate = False
        # Beside the child's own folders, which must stay empty.
        folder = Path(tempfile.mkdtemp(prefix="server-", dir=Path(os.environ["HOME"]).parent))
        limits = replace(Limits(), upload=1 << 20, rate=1e6, stall=PATIENCE, patience=15.0)
        settings = ServerSettings(token=TOKEN, folder=folder, limits=limits)
        self._sessions = Sessions(settings)
        atexit.register(self._sessions.close)
        app = create_app(settings, self._sessions)
        listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            app, http=Connection, ws="none", log_config=None, server_header=False
        )
        self._server = uvicorn.Server(config)
        threading.Thread(target=self._server.run, args=([listener],), daemon=True).start()
        self._cookie = self._enter()
        self._video = (originals / "vp8.webm").read_bytes()
        self._clip = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what uvicorn reports of exceptions in the app."""
        self.faults.append(logging.Formatter().format(record)[-3000:])

    def _enter(self) -> str:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        connection.request("GET", f"/?token={TOKEN}")
        cookie = connection.getresponse().getheader("set-cookie")
        assert cookie is not None
        connection.close()
        return cookie.partition(";")[0]

    def _ask(self, method: str, path: str, body: bytes = b"") -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        connection.request(method, path, body, {"Cookie": self._cookie, "X-Cleanplate": "1"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status == 404:
            return None
        assert answer.status < 300, f"{method} {path}: {answer.status} {text[:300]!r}"
        return json.loads(text) if text else None

    def ready(self) -> None:
        """Make sure that the clip is there."""
        clips = self._ask("GET", "/api/session")["clips"]
        if self._clip not in [clip["id"] for clip in clips]:
            self._clip = self._ask("POST", "/api/clips?name=a.webm", self._video)["id"]
            self._wait()

    def settle(self) -> None:
        """Let the work end, look at how it ended, and close what was opened."""
        for clip in self._ask("GET", "/api/session")["clips"]:
            ended = self._wait(clip["id"])
            if ended is None:
                continue  # its upload was broken off, and now it is gone
            message = (ended["job"] or {}).get("message", "")
            assert "unexpected" not in message, message
            for words in ("memory ran out", "program crashed", "ended early"):
                assert words not in message, message
            if clip["id"] != self._clip:
                self._ask("DELETE", f"/api/clips/{clip['id']}")

    def _wait(self, clip: str | None = None) -> Any:
        while True:
            now = self._ask("GET", f"/api/clips/{clip or self._clip}")
            if (
                now is None
                or now["job"] is None
                or now["job"]["status"] in ("done", "failed", "cancelled")
            ):
                return now
            time.sleep(0.02)

    def write(self, request: dict[str, Any]) -> bytes:
        """The request's bytes, spoilt if it is to be."""
        body = request["body"]
        now = self._ask("GET", f"/api/clips/{self._clip}")
        body = body.replace(b'"revision": null', b'"revision": %d' % now["revision"])
        path = request["path"].replace("CLIP", self._clip)
        if request["spoil"] % 3:
            path = quote(path.encode("utf-8", "replace"), safe="/?&=%+:@")
        lines = [f"{request['method']} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        if not request["stranger"]:
            lines.append(f"Cookie: {self._cookie}")
        lines += ["X-Cleanplate: 1", "Connection: close", f"Content-Length: {len(body)}"]
        if body[:1] in (b"{", b"["):
            lines.append("Content-Type: application/json")
        head = "\r\n".join([*lines, *request["headers"]]).encode("utf-8", "surrogatepass")
        if request["spoil"] > 4:
            head = spoil(head, Random(request["spoil"]))
        return head + b"\r\n\r\n" + body

    def send(self, data: bytes) -> tuple[int, bytes] | None:
        """The answer's status and body; None when the connection was closed without one."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answer = HTTPResponse(connection)
                answer.begin()
                return answer.status, answer.read()
            except TimeoutError:
                raise AssertionError(f"no answer in {PATIENCE:g} s to {data[:300]!r}") from None
            except (OSError, HTTPException, ValueError):
                return None


@cache
def _server(originals: Path) -> _Server:
    return _Server(originals)
