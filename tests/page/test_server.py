"""Connections that are slow or speak no HTTP, on a real server."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from tests.patience import PATIENCE, until

from cleanplate.page import server as module
from cleanplate.page.limits import Limits, ServerSettings
from cleanplate.page.server import create_app
from cleanplate.page.sessions import Sessions

HEAD = b"HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Cleanplate: 1\r\n"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers wait for a request as long as a busy machine needs to send it."""
    monkeypatch.setattr(module, "_SILENCE", PATIENCE)


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[[], socket.socket]]:
    """Open a connection to a server that waits as long as a busy machine needs."""
    with served(tmp_path, replace(Limits(), patience=PATIENCE)) as open_connection:
        yield open_connection


@pytest.fixture
def connect_hastily(tmp_path: Path) -> Iterator[Callable[[], socket.socket]]:
    """Open a connection to a server that waits half a second for the next part of a body."""
    with served(tmp_path, replace(Limits(), patience=0.5)) as open_connection:
        yield open_connection


@contextmanager
def served(folder: Path, limits: Limits) -> Iterator[Callable[[], socket.socket]]:
    """A server on loopback; yields what opens a connection to it."""
    settings = ServerSettings(folder=folder, limits=limits)
    app = create_app(settings, Sessions(settings))
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=module.Connection, ws="none", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    opened: list[socket.socket] = []

    def open_connection() -> socket.socket:
        opened.append(socket.create_connection(listener.getsockname(), timeout=PATIENCE))
        return opened[-1]

    yield open_connection
    for one in opened:
        one.close()
    server.should_exit = True
    thread.join()
    listener.close()


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection; raises TimeoutError if it does not."""
    said = b""
    # Closing with bytes that the server has not read resets the connection.
    with suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            said += part
    return said


@pytest.mark.parametrize("said", [b"", b"GET /api/session HT", b"GET / " + HEAD])
def test_who_never_finishes_a_request_is_left(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(module, "_SILENCE", 0.5)
    connection = connect()
    with suppress(ConnectionError):  # a slow sender may be too late
        connection.sendall(said)
    assert read_all(connection) == b""


def test_who_sends_a_byte_now_and_then_is_left_too(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    monkeypatch.setattr(module, "_SILENCE", 0.5)  # from the first answer on
    connection.sendall(b"GET /api/session " + HEAD + b"\r\n")
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")

    def is_closed() -> bool:
        time.sleep(0.05)
        try:
            connection.sendall(b"G")
        except OSError:
            return True
        return False

    until(is_closed)


def test_a_body_that_does_not_come_is_not_waited_for(
    connect_hastily: Callable[[], socket.socket],
) -> None:
    connection = connect_hastily()
    for path in ("/api/clips/none/marks", "/api/session"):
        connection.sendall(b"PUT " + path.encode() + b" " + HEAD + b"Content-Length: 50\r\n\r\n{")
        said = b"HTTP/1.1 408" if "marks" in path else b"HTTP/1.1 405"
        assert connection.recv(1 << 16).startswith(said)
        connection = connect_hastily()


def test_an_upload_that_stands_still_is_given_up(
    connect_hastily: Callable[[], socket.socket], tmp_path: Path
) -> None:
    connection = connect_hastily()
    connection.sendall(b"POST /api/clips " + HEAD + b"Content-Length: 5000\r\n\r\nbegin")
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 408")
    assert not list(tmp_path.rglob("source"))


def test_a_clip_that_is_closed_while_it_is_received_is_gone(
    connect: Callable[[], socket.socket],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def ask(method: bytes, path: bytes, more: bytes = b"") -> tuple[bytes, bytes]:
        connection = connect()
        connection.sendall(method + b" " + path + b" " + HEAD + more + b"\r\n")
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
        return head, body

    head, _ = ask(b"GET", b"/", b"Connection: close\r\n")
    cookie = re.search(rb"(?i)set-cookie: ([^;]+)", head)
    assert cookie is not None
    mine = b"Cookie: " + cookie[1] + b"\r\n"
    upload = connect()
    mine += b"Connection: close\r\n"
    upload.sendall(b"POST /api/clips " + HEAD + mine + b"Content-Length: 5000\r\n\r\nbegin")
    while not (clips := json.loads(ask(b"GET", b"/api/session", mine)[1])["clips"]):
        pass
    clip = clips[0]["id"].encode()
    assert b" 204 " in ask(b"DELETE", b"/api/clips/" + clip, mine)[0]
    answer = read_all(upload)
    assert answer.startswith(b"HTTP/1.1 410")
    assert b"this clip was closed" in answer
    assert not list(tmp_path.rglob(clips[0]["id"]))
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    "lengths",
    [b"Content-Length: 5, 5\r\n", b"content-length :5,5\r\n", b"CONTENT-LENGTH: 5,\r\n 5\r\n",
     b"Content-Length: 5\r\nX: y\r\nContent-Length: 5\r\n", b"Content-Length: 5, 6\r\n"],
)  # fmt: skip
@pytest.mark.parametrize("path", [b"PUT /api/clips/none/marks ", b"POST /api/clips "])
def test_a_length_that_is_named_twice_is_refused_at_once(
    connect: Callable[[], socket.socket], path: bytes, lengths: bytes
) -> None:
    connection = connect()
    connection.sendall(path + HEAD + lengths + b"\r\n")
    assert read_all(connection).startswith(b"HTTP/1.1 400")
    connection = connect()
    connection.sendall(b"GET /api/session " + HEAD + b"\r\n" + path + HEAD + lengths + b"\r\n")
    assert b"HTTP/1.1 400" in read_all(connection)


def test_lengths_inside_a_body_are_no_headers(
    connect: Callable[[], socket.socket],
) -> None:
    body = b"\r\nContent-Length: 5, 5\r\n\r\n"
    connection = connect()
    head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.sendall(b"PUT /api/clips/none/marks " + head + body)
    assert read_all(connection).startswith(b"HTTP/1.1 404")


def test_no_connection_becomes_a_websocket(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    connection.sendall(
        b"GET / " + HEAD + upgrade + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b" 101 " not in connection.recv(1 << 16)


@pytest.mark.parametrize("path", [b"/api/clips", b"/api/session"])
def test_a_body_that_turns_into_nonsense_is_no_fault_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: bytes
) -> None:
    start = b"POST " + path + b" " + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n"
    with served(tmp_path, replace(Limits(), patience=PATIENCE)) as connect:
        for nonsense in (b"zz\r\n", b"0\r\n\r\nGET zz\r\n\r\n"):
            connection = connect()
            connection.sendall(start + nonsense)
            assert b"HTTP/1.1 4" in read_all(connection)
    # The server has ended: nothing more will be logged.
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []
