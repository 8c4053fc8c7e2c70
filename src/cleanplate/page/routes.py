"""The page's addresses: each checks what it is given, calls one function and answers in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cleanplate import __version__
from cleanplate.errors import CleanplateError
from cleanplate.page.clips import Clip, Conflict, Gone
from cleanplate.page.downloads import Stream, attach, encode_mask, name_frame, send_file, zip_masks
from cleanplate.page.guard import Guard, session_of
from cleanplate.page.marks import ClickMark, Marks, Point, read_click
from cleanplate.page.queue import QueueFull
from cleanplate.page.sessions import Sessions
from cleanplate.page.settings import ServerSettings, TooMuch
from cleanplate.page.uploads import TooLarge, UploadStopped
from cleanplate.types import Size

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_SWEEP = 60.0
"""Seconds between two looks for what nobody uses any more."""
_STATUS: dict[type[CleanplateError], int] = {
    Conflict: 409,
    Gone: 410,
    QueueFull: 503,
    TooLarge: 413,
    TooMuch: 429,
    UploadStopped: 408,
}
_NOT_THERE = "this is not there, or not any more"
_LONGEST_MESSAGE = 300
_KEPT = "private, max-age=86400, immutable"
"""For pictures: their addresses carry a version."""


class Marking(BaseModel):
    """New marks, and the revision of the clip that they are based on."""

    model_config = ConfigDict(extra="forbid")
    revision: int
    marks: Marks


class Order(BaseModel):
    """A job that is asked for."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["track", "remove"]
    dilate: Annotated[int, Field(ge=0, le=200)] = 4
    lossless: bool = False


class Click(BaseModel):
    """A point on a frame."""

    model_config = ConfigDict(extra="forbid")
    frame: Annotated[int, Field(ge=0, le=10_000_000)]
    point: Point


def create_app(settings: ServerSettings, sessions: Sessions) -> FastAPI:
    """The page with its guard; `sessions` is closed when the server stops."""

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
    """The session's own clip; others' are not there for it."""
    clip = session_of(request.scope).clips.get(clip_id)
    if clip is None:
        raise HTTPException(404, "this clip is not there any more; choose a video again")
    return clip


Own = Annotated[Clip, Depends(_find_clip)]


@router.get("/")
@router.get("/static/{name}")
def send_static(name: str = "index.html") -> Response:
    """A file of the page itself."""
    found = _static().get(name)
    if found is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "no-cache"}
    return Response(found, headers=headers, media_type=_TYPES[Path(name).suffix])


@router.get("/api/session")
def describe_session(request: Request) -> dict[str, Any]:
    """All clips of this browser, oldest first, and the limits."""
    session = session_of(request.scope)
    return {
        "version": __version__,
        "limits": session.limits.to_json(),
        "finds_text": _finds_text(),
        "clips": [clip.to_json() for clip in list(session.clips.values()) if clip.source.exists()],
    }


@router.post("/api/clips", status_code=201)
async def add_clip(request: Request, name: str = "video") -> dict[str, Any]:
    """Take a video, the request's body, and begin to prepare it; `name` is only shown."""
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
            raise UploadStopped("the upload was broken off") from None
        raise
    return clip.to_json()


@router.get("/api/clips/{clip_id}")
def describe_clip(clip: Own) -> dict[str, Any]:
    """All about one clip but its pictures."""
    return clip.to_json()


@router.delete("/api/clips/{clip_id}", status_code=204)
def drop_clip(request: Request, clip: Own) -> None:
    """Close a clip and remove its files."""
    session_of(request.scope).drop_clip(clip)


@router.get("/api/clips/{clip_id}/times")
def list_times(clip: Own) -> list[float]:
    """Seconds at which each frame is shown."""
    return clip.seconds


@router.get("/api/clips/{clip_id}/frames/{index}")
def send_frame(clip: Own, index: int) -> Response:
    """A frame as JPEG."""
    return _send_picture(clip, _need(clip.video).folder, index, "jpg")


@router.get("/api/clips/{clip_id}/masks/{version}/{index}")
def send_mask(clip: Own, version: int, index: int) -> Response:
    """A frame's mask as PNG, white where it marks."""
    return _send_picture(clip, _need(clip.found, version).folder, index, "png")


@router.get("/api/clips/{clip_id}/results/{version}/frames/{index}")
def send_result_frame(clip: Own, version: int, index: int) -> Response:
    """A frame of the result as JPEG."""
    return _send_picture(clip, _need(clip.result, version).folder / "frames", index, "jpg")


@router.put("/api/clips/{clip_id}/marks")
def mark_clip(clip: Own, marking: Marking) -> dict[str, Any]:
    """Replace the marks."""
    clip.mark(marking.marks, marking.revision)
    return clip.to_json()


@router.post("/api/clips/{clip_id}/click")
def look_at_click(clip: Own, click: Click) -> Response:
    """What a click would mark, as a PNG of the preview's size."""
    video = _need(clip.video)
    mark = ClickMark(kind="click", frame=click.frame, point=click.point)
    found = read_click(video.folder, Size(video.width, video.height), mark)
    return Response(encode_mask(found), media_type="image/png")


@router.post("/api/clips/{clip_id}/job", status_code=202)
def start_job(request: Request, clip: Own, order: Order) -> dict[str, Any]:
    """Queue the tracking or the removal."""
    session_of(request.scope).check_jobs()
    if order.kind == "track":
        clip.track()
    else:
        clip.remove(dilate=order.dilate, lossless=order.lossless)
    return clip.to_json()


@router.delete("/api/clips/{clip_id}/job")
def cancel_job(clip: Own) -> dict[str, Any]:
    """Stop what is being done; returns when it has stopped."""
    clip.cancel()
    return clip.to_json()


@router.get("/api/clips/{clip_id}/result")
def send_result(request: Request, clip: Own) -> Response:
    """The finished video, or parts of it."""
    return send_file(_need(clip.result).output, request.headers, clip.result_name)


@router.get("/api/clips/{clip_id}/masks")
def send_masks(clip: Own) -> Response:
    """The masks as PNGs in a ZIP: those that the result was made with, else those found."""
    folder = clip.result.folder / "masks" if clip.result else _need(clip.found).folder
    name = f"{Path(clip.name).stem}-masks.zip".encode("ascii", "replace").decode().replace("?", "_")
    return Stream(zip_masks(folder), headers=attach(name), media_type="application/zip")


def _need(made: Any, version: int | None = None) -> Any:
    """What was made, if it is there and still in that version."""
    if made is None or (version is not None and made.version != version):
        raise HTTPException(404, _NOT_THERE)
    return made


def _send_picture(clip: Clip, folder: Path, index: int, suffix: str) -> Response:
    frames = _need(clip.video).frames
    if not 0 <= index < frames:
        raise HTTPException(404, f"there is no such frame; the video has {frames}")
    try:
        picture = (folder / name_frame(index, suffix)).read_bytes()
    except OSError:  # the clip is closed, or a newer mask takes the place of this one
        raise HTTPException(404, _NOT_THERE) from None
    kind = "image/jpeg" if suffix == "jpg" else "image/png"
    return Response(picture, media_type=kind, headers={"Cache-Control": _KEPT})


def _clean_name(name: str) -> str:
    """A file name to show and to download under; it never becomes part of a path."""
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
    """The page's own files by name: nothing else can be asked for."""
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
    if len(words) > _LONGEST_MESSAGE:  # it may quote what was sent
        words = f"{words[:_LONGEST_MESSAGE]} ..."
    return JSONResponse({"error": f"the request cannot be read: {words}"}, 422)


async def _explain_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _explain_bug(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "something unexpected went wrong on the server; try again"}, 500)
