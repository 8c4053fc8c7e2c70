"""Sessions, identified by a secret cookie, and the middleware that checks every request."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import os
import platform
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cleanplate.errors import OutputError
from cleanplate.page.clips import Clip, Gone
from cleanplate.page.limits import Limits, ServerSettings, TooMuch, Uploads
from cleanplate.page.plates import PlateSet, limit_picture
from cleanplate.page.queue import Kind, Queue
from cleanplate.storage.atomic import LockedError, lock_file

_PREFIX, _LOCK = "cleanplate-page-", "in-use"


class Session:
    """Session of one browser; its clips are hidden from other sessions."""

    def __init__(
        self, folder: Path, queues: dict[Kind, Queue], limits: Limits, uploads: Uploads
    ) -> None:
        self.limits = limits
        self._folder, self._queues, self._uploads = folder, queues, uploads
        self._lock = threading.Lock()
        self._is_closed = False
        self.clips: dict[str, Clip] = {}
        self.seen = time.monotonic()
        self._tokens = limits.rate * 4

    def add_clip(self, name: str) -> Clip:
        """Add a clip without a video; raise TooMuch, or Gone after `discard`."""
        with self._lock:
            if self._is_closed:
                raise Gone("this session has ended; reload the page")
            if len(self.clips) >= self.limits.clips:
                raise TooMuch(
                    f"{self.limits.clips} clips are open, which is the maximum; close one first"
                )
            self._folder.mkdir(mode=0o700, exist_ok=True)
            clip = Clip(self._folder, name, self._queues, self.limits)
            self.clips[clip.id] = clip
            return clip

    async def receive(
        self, clip: Clip, chunks: AsyncIterator[bytes], announced: int | None
    ) -> None:
        """Receive the video of `clip` and queue its preparation.

        `announced` is the Content-Length. Raises TooMuch, the errors of `Upload.receive`, and Gone
        if the clip is closed during the upload.
        """
        with self._uploads.begin(self, announced or 0) as upload:
            await clip.receive(upload, chunks)
        clip.prepare()

    async def receive_plate(
        self,
        clip: Clip,
        chunks: AsyncIterator[bytes],
        announced: int | None,
        plates: PlateSet,
        number: int,
    ) -> None:
        """Receive an edited plate of `clip` and queue its check; raises as `receive`."""
        pixels = clip.video.width * clip.video.height if clip.video else 0
        with self._uploads.begin(self, announced or 0) as upload:
            limited = limit_picture(chunks, pixels, announced or 0)
            await clip.receive_plate(upload, limited, plates, number)

    def drop_clip(self, clip: Clip) -> None:
        """Close a clip: cancel its job and delete its files."""
        self.clips.pop(clip.id, None)
        clip.discard()

    def check_jobs(self) -> None:
        """Raise TooMuch if the session has reached its job limit."""
        if sum(clip.is_busy for clip in self.clips.values()) >= self.limits.jobs:
            raise TooMuch(
                f"{self.limits.jobs} of your clips are waiting or running, which is the maximum;"
                " wait for one or cancel it"
            )

    def take_request(self) -> bool:
        """Count a request; return False when the rate limit is exceeded (token bucket)."""
        with self._lock:
            now = time.monotonic()
            full = self.limits.rate * 4
            self._tokens = min(full, self._tokens + (now - self.seen) * self.limits.rate) - 1
            self.seen = now
            if self._tokens < 0:
                self._tokens = 0.0
                return False
            return True

    @property
    def is_busy(self) -> bool:
        """Whether an upload is in progress or a job waits or runs."""
        return any(clip.is_busy or clip.is_arriving for clip in list(self.clips.values()))

    def discard(self) -> None:
        """Close the session and delete its files."""
        with self._lock:
            self._is_closed = True
        for clip in list(self.clips.values()):
            self.drop_clip(clip)
        shutil.rmtree(self._folder, ignore_errors=True)


class Sessions:
    """All sessions, in a private temporary folder that is deleted at the end."""

    def __init__(self, settings: ServerSettings) -> None:
        self.limits = settings.limits
        parent = Path(settings.folder or tempfile.gettempdir())
        _sweep(parent)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError as error:
            raise OutputError(
                f"no folder can be made in '{parent}': {error.strerror}; choose another `folder`"
            ) from None
        self._claim: int | None = _claim(self.folder / _LOCK)
        limit = settings.limits.waiting
        self._work = Queue(settings.workers, limit, ("cleanplate.removal",))
        self._quick = Queue(1, limit, ("cleanplate.page.worker",))
        self._queues: dict[Kind, Queue] = {
            "prepare": self._quick,
            "track": self._work,
            "remove": self._work,
        }
        self._sessions: dict[str, Session] = {}
        self._uploads = Uploads(self.folder, settings.limits)
        self._lock = threading.Lock()

    def find(self, secret: str | None) -> Session | None:
        """Find the session of a cookie value."""
        return self._sessions.get(_hash(secret)) if secret else None

    def create(self) -> tuple[str, Session]:
        """Create a session; return its cookie value with it. Raises TooMuch."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            if len(self._sessions) >= self.limits.sessions:
                self._make_room()
            folder = self.folder / secrets.token_hex(8)
            session = Session(folder, self._queues, self.limits, self._uploads)
            self._sessions[_hash(secret)] = session
        return secret, session

    def _make_room(self) -> None:
        """Drop the least recently used session without clips."""
        empty = [(one.seen, key) for key, one in self._sessions.items() if not one.clips]
        if not empty:
            raise TooMuch(
                f"{self.limits.sessions} sessions are open, which is the maximum; try again later"
            )
        self._sessions.pop(min(empty)[1]).discard()

    def tidy(self) -> None:
        """Stop stalled jobs and remove idle sessions."""
        for queue in (self._quick, self._work):
            queue.stop_stalled(self.limits.stall)
        border = time.monotonic() - self.limits.idle
        with self._lock:
            gone = [
                key for key, one in self._sessions.items() if one.seen < border and not one.is_busy
            ]
            idle = [self._sessions.pop(key) for key in gone]
        for session in idle:
            session.discard()

    def close(self) -> None:
        """Stop all jobs and delete all files; idempotent."""
        self._quick.close()
        self._work.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None


def _hash(secret: str) -> str:
    """Hash a secret for lookup, so that timing reveals nothing about it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _claim(path: Path) -> int:
    """Open `path` and lock it for the lifetime of this process."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    lock_file(handle)
    return handle


def _sweep(parent: Path) -> None:
    """Delete the folders that killed servers left in `parent`."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            handle = os.open(folder / _LOCK, os.O_RDWR)
        except (OSError, AttributeError):
            continue
        try:
            # Without file locks, whether the server still runs cannot be known.
            left_behind = lock_file(handle)
        except LockedError:
            left_behind = False
        finally:
            os.close(handle)
        if left_behind:
            shutil.rmtree(folder, ignore_errors=True)


MARK = "x-cleanplate"
"""Header that only the page itself sends: CORS forbids it to pages of other sites."""

_UPLOADS = re.compile(r"/api/clips(/[0-9a-f]+/plates/\d+/\d+)?")
"""Paths whose body is a file, which is counted while it is received."""

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
                    # For this browser session, hidden from scripts and other sites.
                    value = f"{_name_cookie(scope)}={cookie}; Path=/; HttpOnly; SameSite=Strict"
                    answer.append("Set-Cookie", value)
            await send(message)

        refusal = self._check(scope, headers)
        if refusal is None:
            try:
                cookie, refusal = self._admit(scope, headers)
            except TooMuch as error:
                refusal = _refuse(503, str(error))
        if not _is_upload(scope) and scope["method"] not in ("GET", "HEAD"):
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
        if _is_upload(scope):
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


def _is_upload(scope: Scope) -> bool:
    """Whether a request brings a file: a video or an edited plate."""
    return scope["method"] in ("POST", "PUT") and _UPLOADS.fullmatch(scope["path"]) is not None


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
