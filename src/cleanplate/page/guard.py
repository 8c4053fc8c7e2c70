"""Middleware: checks on every request, security headers on every response."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import platform
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cleanplate.page.sessions import Session, Sessions
from cleanplate.page.settings import ServerSettings, TooMuch

MARK = "x-cleanplate"
"""Header that only the page itself sends: CORS forbids it to pages of other sites."""

UPLOADS = "/api/clips"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
        " connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Check the host name, the token, the origin and the rate; find the session.

    The session is left in `scope["state"]["session"]`.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, sessions: Sessions) -> None:
        self._app, self._settings, self._sessions = app, settings, sessions
        self._names = {"localhost", platform.node().lower(), settings.host.lower()}
        self._names.update(name.lower() for name in settings.names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on to the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookie: str | None = None

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer[name] = value
                answer.setdefault("Cache-Control", "no-store")
                if cookie is not None:
                    answer.append("Set-Cookie", _set_cookie(_name_cookie(scope), cookie))
            await send(message)

        refusal = self._check(scope, headers)
        if refusal is None:
            try:
                cookie, refusal = self._admit(scope, headers)
            except TooMuch as error:
                refusal = _refuse(503, str(error))
        if scope["path"] != UPLOADS and scope["method"] not in ("GET", "HEAD"):
            receive = _in_time(receive, self._sessions.limits.patience)
        await (refusal or self._app)(scope, receive, send_safely)

    def _check(self, scope: Scope, headers: Headers) -> Response | None:
        """Refuse requests to an unknown host name or from another site's page."""
        if not self._is_our_name(headers.get("host", "")):
            return _refuse(
                421,
                "this host name is not allowed; start the page with"
                " `cleanplate serve --allow-host NAME` to use it",
            )
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin")
            if _is_foreign(origin, headers.get("host")) or MARK not in headers:
                return _refuse(403, "this request does not come from the page itself")
            return self._check_length(scope, headers)
        return None

    def _check_length(self, scope: Scope, headers: Headers) -> Response | None:
        """Refuse a body over the limit; uploads are counted while they are received."""
        if scope["path"] == UPLOADS:
            return None
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal():
            return _refuse(411, "the request needs a Content-Length header")
        limit = self._sessions.limits.body
        if int(length) > limit:
            return _refuse(413, f"the request is longer than the limit of {limit} bytes")
        return None

    def _is_our_name(self, host: str) -> bool:
        """Whether `host` is an IP address, `localhost` or a configured name.

        Any other name that resolves to this server may be a DNS rebinding attack. Such an attack
        needs a name, so IP addresses are safe.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    def _admit(self, scope: Scope, headers: Headers) -> tuple[str | None, Response | None]:
        """Return a new cookie if one is needed, and a refusal if the visitor is not admitted."""
        session = self._sessions.find(_read_cookie(_name_cookie(scope), headers))
        cookie = None
        if session is None:
            shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if self._settings.token and not hmac.compare_digest(
                shown.encode(), self._settings.token.encode()
            ):
                return None, _refuse(401, "open the page with the address that the server printed")
            cookie, session = self._sessions.create()
        if not session.take_request():
            return cookie, _refuse(
                429, f"more than {self._sessions.limits.rate:g} requests a second; slow down"
            )
        if scope["path"] == "/" and b"token=" in scope["query_string"]:
            # Keep the token out of the history and of screenshots.
            return cookie, RedirectResponse("/", 303)
        scope.setdefault("state", {})["session"] = session
        return cookie, None


def _in_time(receive: Receive, patience: float) -> Receive:
    """Wrap `receive`: respond 408 unless the whole body arrives within `patience` seconds.

    Uploads have their own timeout.
    """
    until = time.monotonic() + patience
    is_whole = False

    async def receive_in_time() -> Message:
        nonlocal is_whole
        if is_whole:  # only a disconnect can follow, at any time
            return await receive()
        try:
            async with asyncio.timeout(until - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise HTTPException(
                408, f"the request was not complete within {patience:g} seconds; send it again"
            ) from None
        is_whole = not message.get("more_body", False)
        return message

    return receive_in_time


def session_of(scope: Scope) -> Session:
    """Return the session that the guard found."""
    found: Any = scope["state"]["session"]
    assert isinstance(found, Session)
    return found


def _is_foreign(origin: str | None, host: str | None) -> bool:
    """Whether a request's origin differs from its host."""
    try:
        return origin is not None and urlsplit(origin).netloc != host
    except ValueError:
        return True


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def _name_cookie(scope: Scope) -> str:
    """Name the cookie with the port, since browsers share cookies between ports of a machine."""
    return f"cleanplate-{scope['server'][1]}"


def _read_cookie(name: str, headers: Headers) -> str | None:
    """Read one cookie and ignore the others, which other servers may have set."""
    for cookie in headers.get("cookie", "").split(";"):
        key, _, value = cookie.partition("=")
        if key.strip() == name:
            return value.strip()
    return None


def _set_cookie(name: str, value: str) -> str:
    """Make a cookie for this browser session, hidden from scripts and other sites."""
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict"
