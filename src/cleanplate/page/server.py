"""Web server: routes of the HTTP API, startup and shutdown."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import h11
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from cleanplate import __version__
from cleanplate.errors import CleanplateError, InputError
from cleanplate.page.clips import Clip, Conflict, Gone
from cleanplate.page.downloads import Stream, attach, encode_mask, name_frame, send_file, zip_masks
from cleanplate.page.limits import ServerSettings, TooLarge, TooMuch, UploadStopped
from cleanplate.page.marks import ClickMark, Marks, Point, read_click
from cleanplate.page.queue import QueueFull
from cleanplate.page.sessions import Guard, Sessions, session_of
from cleanplate.types import Size

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_SWEEP = 60.0
"""Interval in seconds at which idle sessions are removed."""
_STATUS: dict[type[CleanplateError], int] = {
    Conflict: 409,
    Gone: 410,
    QueueFull: 503,
    TooLarge: 413,
    TooMuch: 429,
    UploadStopped: 408,
}
_NOT_THERE = "this does not exist or was deleted"
_LONGEST_MESSAGE = 300
_KEPT = "private, max-age=86400, immutable"
"""Cache header of pictures, whose URLs carry a version."""


class Marking(BaseModel):
    """New marks, and the revision of the clip that they are based on."""

    model_config = ConfigDict(extra="forbid")
    revision: int
    marks: Marks


class Order(BaseModel):
    """A request for a job."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["track", "remove"]
    dilate: Annotated[int, Field(ge=0, le=200)] = 4
    lossless: bool = False
    first: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    last: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    tried: bool = False


class Click(BaseModel):
    """A point on a frame."""

    model_config = ConfigDict(extra="forbid")
    frame: Annotated[int, Field(ge=0, le=10_000_000)]
    point: Point


def create_app(settings: ServerSettings, sessions: Sessions) -> FastAPI:
    """Create the app with its guard; close `sessions` when the server stops."""

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(_tidy(sessions))
        yield
        sweeper.cancel()
        await run_in_threadpool(sessions.close)

    app = FastAPI(lifespan=live, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router)
    app.add_exception_handler(CleanplateError, _explain)
    app.add_exception_handler(RequestValidationError, _explain_form)
    app.add_exception_handler(HTTPException, _explain_status)
    app.add_exception_handler(Exception, _explain_bug)
    app.add_middleware(Guard, settings=settings, sessions=sessions)
    return app


router = APIRouter()


def _find_clip(request: Request, clip_id: str) -> Clip:
    """Find a clip of this session; clips of other sessions give 404."""
    clip = session_of(request.scope).clips.get(clip_id)
    if clip is None:
        raise HTTPException(404, "this clip was deleted; upload the video again")
    return clip


Own = Annotated[Clip, Depends(_find_clip)]


@router.get("/")
@router.get("/static/{name}")
def send_static(name: str = "index.html") -> Response:
    """Send a static file of the page."""
    found = _static().get(name)
    if found is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "no-cache"}
    return Response(found, headers=headers, media_type=_TYPES[Path(name).suffix])


@router.get("/api/session")
def describe_session(request: Request) -> dict[str, Any]:
    """List the clips of this session, oldest first, and the limits."""
    session = session_of(request.scope)
    return {
        "version": __version__,
        "limits": session.limits.to_json(),
        "finds_text": _finds_text(),
        "clips": [clip.to_json() for clip in list(session.clips.values()) if clip.source.exists()],
    }


@router.post("/api/clips", status_code=201)
async def add_clip(request: Request, name: str = "video") -> dict[str, Any]:
    """Receive a video as the request body and queue its preparation; `name` is a label."""
    session = session_of(request.scope)
    session.check_jobs()
    length = request.headers.get("content-length", "")
    clip = session.add_clip(_clean_name(name))
    try:
        announced = int(length) if length.isdecimal() else None
        await session.receive(clip, request.stream(), announced)
    except BaseException as error:
        await run_in_threadpool(session.drop_clip, clip)
        if isinstance(error, ClientDisconnect):
            raise UploadStopped("the upload was interrupted") from None
        raise
    return clip.to_json()


@router.get("/api/clips/{clip_id}")
def describe_clip(clip: Own) -> dict[str, Any]:
    """Describe a clip, without pictures."""
    return clip.to_json()


@router.delete("/api/clips/{clip_id}", status_code=204)
def drop_clip(request: Request, clip: Own) -> None:
    """Close a clip and delete its files."""
    session_of(request.scope).drop_clip(clip)


@router.get("/api/clips/{clip_id}/times")
def list_times(clip: Own) -> list[float]:
    """List the timestamp of each frame in seconds."""
    return clip.seconds


@router.get("/api/clips/{clip_id}/frames/{index}")
def send_frame(clip: Own, index: int) -> Response:
    """Send a frame as JPEG."""
    return _send_picture(clip, _need(clip.video).folder, index, "jpg")


@router.get("/api/clips/{clip_id}/masks/{version}/{index}")
def send_mask(clip: Own, version: int, index: int) -> Response:
    """Send a frame's mask as PNG, white where pixels are marked."""
    return _send_picture(clip, _need(clip.find_masks(version)).folder, index, "png")


@router.get("/api/clips/{clip_id}/results/{version}/frames/{index}")
def send_result_frame(clip: Own, version: int, index: int) -> Response:
    """Send a frame of the result as JPEG."""
    result = _need(clip.result, version)
    return _send_picture(clip, result.folder / "frames", result.place(index), "jpg")


@router.get("/api/clips/{clip_id}/results/{version}/origins/{index}")
def send_origins(clip: Own, version: int, index: int) -> Response:
    """Send a map of where the pixels of a frame of the result are from, black where unchanged."""
    result = _need(clip.result, version)
    folder = result.folder / "origins"
    return _send_picture(clip, folder, result.place(index), "png", digits=5)


@router.put("/api/clips/{clip_id}/marks")
def mark_clip(clip: Own, marking: Marking) -> dict[str, Any]:
    """Replace the marks."""
    clip.mark(marking.marks, marking.revision)
    return clip.to_json()


@router.post("/api/clips/{clip_id}/click")
def look_at_click(clip: Own, click: Click) -> Response:
    """Send the region that a click selects, as a PNG of the preview's size."""
    video = _need(clip.video)
    mark = ClickMark(kind="click", frame=click.frame, point=click.point)
    found = read_click(video.folder, Size(video.width, video.height), mark)
    return Response(encode_mask(found), media_type="image/png")


@router.post("/api/clips/{clip_id}/job", status_code=202)
def start_job(request: Request, clip: Own, order: Order) -> dict[str, Any]:
    """Queue a tracking or removal job."""
    session_of(request.scope).check_jobs()
    if order.kind == "track":
        clip.track()
    else:
        clip.remove(
            dilate=order.dilate,
            lossless=order.lossless,
            first=order.first,
            last=order.last,
            tried=order.tried,
        )
    return clip.to_json()


@router.delete("/api/clips/{clip_id}/job")
def cancel_job(clip: Own) -> dict[str, Any]:
    """Cancel the job; return after it has stopped."""
    clip.cancel()
    return clip.to_json()


@router.get("/api/clips/{clip_id}/result")
def send_result(request: Request, clip: Own) -> Response:
    """Send the finished video, or byte ranges of it."""
    return send_file(_need(clip.result).output, request.headers, clip.result_name)


@router.get("/api/clips/{clip_id}/plates/{version}/{number}")
def send_plate(clip: Own, version: int, number: int, origin: bool = False) -> Response:
    """Send a clean plate as PNG, or the map of where its pixels came from."""
    plates = _need(clip.plates, version)
    name = plates.find(number)["origin" if origin else "picture"]
    try:
        return Response((plates.folder / name).read_bytes(), media_type="image/png")
    except OSError:  # the clip was closed or the plates were replaced
        raise HTTPException(404, _NOT_THERE) from None


@router.put("/api/clips/{clip_id}/plates/{version}/{number}", status_code=202)
async def replace_plate(request: Request, clip: Own, version: int, number: int) -> dict[str, Any]:
    """Receive an edited plate as the request body and queue its check."""
    session = session_of(request.scope)
    session.check_jobs()
    plates = _need(clip.plates, version)
    plates.find(number)
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdecimal() else None
    try:
        await session.receive_plate(clip, request.stream(), announced, plates, number)
    except ClientDisconnect:
        raise UploadStopped("the upload was interrupted") from None
    return clip.to_json()


@router.delete("/api/clips/{clip_id}/plates/{version}/{number}")
def restore_plate(clip: Own, version: int, number: int) -> dict[str, Any]:
    """Drop the edits of a clean plate."""
    clip.restore_plate(_need(clip.plates, version), number)
    return clip.to_json()


@router.get("/api/clips/{clip_id}/masks")
def send_masks(clip: Own) -> Response:
    """Send a ZIP of mask PNGs: those used for the result, otherwise the tracked ones."""
    folders = _need(clip.list_masks() or None)
    name = f"{Path(clip.name).stem}-masks.zip".encode("ascii", "replace").decode().replace("?", "_")
    return Stream(zip_masks(folders), headers=attach(name), media_type="application/zip")


def _need(made: Any, version: int | None = None) -> Any:
    """Return `made` if it exists in the requested version; otherwise raise 404."""
    if made is None or (version is not None and made.version != version):
        raise HTTPException(404, _NOT_THERE)
    return made


def _send_picture(
    clip: Clip, folder: Path, index: int, suffix: str, *, digits: int = 6
) -> Response:
    frames = _need(clip.video).frames
    if not 0 <= index < frames:
        raise HTTPException(404, f"there is no frame {index + 1}; the video has {frames}")
    try:
        picture = (folder / name_frame(index, suffix, digits)).read_bytes()
    except OSError:  # the clip was closed or the mask was replaced
        raise HTTPException(404, _NOT_THERE) from None
    kind = "image/jpeg" if suffix == "jpg" else "image/png"
    return Response(picture, media_type=kind, headers={"Cache-Control": _KEPT})


def _clean_name(name: str) -> str:
    """Sanitize a file name for display and download; it is never part of a path."""
    plain = "".join(
        c for c in name.replace("\\", "/").split("/")[-1] if c.isprintable() and c not in '"<>|:*?'
    )
    return plain.strip(". ")[-100:] or "video"


@cache
def _finds_text() -> bool:
    """Whether the extra `[text]` is installed."""
    return all(find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))


@cache
def _static() -> dict[str, bytes]:
    """List the static files by name; nothing else is served."""
    folder = resources.files("cleanplate.page") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


async def _tidy(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        await run_in_threadpool(sessions.tidy)


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, CleanplateError)
    return JSONResponse({"error": str(error)}, _STATUS.get(type(error), 400))


async def _explain_form(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    words = f"{place}: {first['msg']}"
    if len(words) > _LONGEST_MESSAGE:  # the error may quote the request
        words = f"{words[:_LONGEST_MESSAGE]} ..."
    return JSONResponse({"error": f"the request cannot be read: {words}"}, 422)


async def _explain_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _explain_bug(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "internal server error; try again"}, 500)


_CONNECTIONS = 500
_PATIENCE = 3
"""Timeout in seconds for open requests at shutdown."""
_SILENCE = 30.0
"""Timeout in seconds for the next complete request on a connection."""
_TWO_LENGTHS = re.compile(
    rb"\ncontent-length[ \t]*:(?:[^\n]*,|.*\ncontent-length[ \t]*:)", re.I | re.S
)
"""Matches request headers with two Content-Length values."""


def serve(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is called with the address to open.

    Raises InputError if the address cannot be bound, OutputError if the folder for uploads cannot
    be created. All uploads and results are deleted at the end.
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
    """A connection with an idle timeout, so that silent clients do not hold a slot."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout for the first request."""
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        """Restart the timeout for the next request."""
        super().on_response_complete()
        self._deadline.cancel()
        self._expect()

    def handle_events(self) -> None:
        """Handle received data; refuse a request with two lengths, as in `Content-Length: 5, 5`.

        h11 merges equal values, as RFC 9110 allows, but a sender of such a header may never send
        the announced body.
        """
        if self.conn.their_state is h11.IDLE and _names_two_lengths(self.conn.trailing_data[0]):
            self.send_400_response("Invalid HTTP request received.")
            return
        super().handle_events()

    def send_400_response(self, msg: str) -> None:
        """Respond to invalid HTTP; drop a request that is being answered."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # the response has begun
            self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(_SILENCE, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def _names_two_lengths(received: bytes) -> bool:
    """Whether a possibly incomplete request has two Content-Length values."""
    head = re.split(rb"\n\r?\n", received, maxsplit=1)[0]
    unfolded = re.sub(rb"\r?\n[ \t]+", b" ", head)
    return _TWO_LENGTHS.search(unfolded) is not None


class _Server(uvicorn.Server):
    """Announce readiness; record the signals that stop the server for the caller.

    uvicorn raises them again inside the event loop, where an exception interrupts its shutdown.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self.caught: list[int] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving and announce it."""
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop the server on SIGINT and SIGTERM, unless they are ignored."""
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
    """Format the address to open, with the token if there is one."""
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
