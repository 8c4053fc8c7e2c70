"""Serving the page until somebody stops it."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cleanplate.errors import InputError
from cleanplate.page.routes import create_app
from cleanplate.page.sessions import Sessions
from cleanplate.page.settings import ServerSettings

_CONNECTIONS = 500
_PATIENCE = 3
"""Seconds that open requests get when the server stops."""
_SILENCE = 30.0
"""Seconds within which the next request must have come, or its connection is closed."""
_TWO_LENGTHS = re.compile(
    rb"\ncontent-length[ \t]*:(?:[^\n]*,|.*\ncontent-length[ \t]*:)", re.I | re.S
)
"""A head that names the length of its body twice."""


def serve(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is given the address to open.

    Raises InputError when the address cannot be listened on, OutputError when there is no room for
    files. Everything that visitors brought is removed at the end.
    """
    with closing(_listen(settings)) as listener:
        sessions = Sessions(settings)
        try:
            config = uvicorn.Config(
                create_app(settings, sessions),
                http=Connection,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_PATIENCE,
            )
            address = describe_address(settings, listener.getsockname()[1])
            server = _Server(config, lambda: announce(address))
            server.run([listener])
        finally:
            sessions.close()
    for number in server.caught:
        signal.raise_signal(number)


class Connection(H11Protocol):
    """A connection that is closed when no whole request comes: silence must not hold a place."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._deadline.cancel()
        self._expect()

    def handle_events(self) -> None:
        """Answer what has come; refuse a request with two lengths, as in `Content-Length: 5, 5`.

        h11 takes equal ones for one. RFC 9110 allows that, but whoever writes such a thing may not
        send what we would wait for.
        """
        if self.conn.their_state is h11.IDLE and _names_two_lengths(self.conn.trailing_data[0]):
            self.send_400_response("Invalid HTTP request received.")
            return
        super().handle_events()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; a request that is being answered meanwhile is dropped."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # its answer has begun
            self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(_SILENCE, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def _names_two_lengths(received: bytes) -> bool:
    """Whether a request that has come, perhaps only in part, names the length of its body twice."""
    head = re.split(rb"\n\r?\n", received, maxsplit=1)[0]
    unfolded = re.sub(rb"\r?\n[ \t]+", b" ", head)
    return _TWO_LENGTHS.search(unfolded) is not None


class _Server(uvicorn.Server):
    """Says when it is ready; keeps the signals that end it for its caller.

    uvicorn itself raises them again inside the event loop, where an exception makes a mess.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self.caught: list[int] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end the server, unless they are ignored."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in numbers}
        before = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
        for number in before:
            signal.signal(number, self._catch)
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught.append(number)
        self.handle_exit(number, frame)


def describe_address(settings: ServerSettings, port: int) -> str:
    """The address to open, with the token if there is one."""
    host = socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={settings.token}" if settings.token else "")


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=128)
    except OSError as error:
        raise InputError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; choose"
            " another `port` or `host`"
        ) from None
