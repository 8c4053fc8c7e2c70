"""What the tests of the page share: an app to ask, clips with something to remove."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from tests.patience import PATIENCE

from cleanplate.page.limits import Limits, ServerSettings
from cleanplate.page.queue import WorkerProcess
from cleanplate.page.server import create_app
from cleanplate.page.sessions import Sessions

SIZE = (160, 96)
FRAMES = 16
PATIENT = 600_000
"""Milliseconds that a browser waits; generous, so that a busy machine fails no test."""


def run_apart(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in its own thread: a browser's event loop may occupy this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def draw_scene(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc over a textured wall, uint8 RGB `(h, w, 3)`, and where it is, bool `(h, w)`."""
    width, height = SIZE
    noise = np.random.default_rng(1).random((height, width, 3)).astype(np.float32)
    wall = cv2.GaussianBlur(noise, (0, 0), 1.5)
    wall = (wall - wall.min()) / np.ptp(wall) * 120 + 60
    rows, columns = np.mgrid[:height, :width]
    disc = np.hypot(columns - (30 + 5 * index), rows - 48) < 14
    picture = np.where(disc[..., None], np.float32([220, 30, 40]), wall)
    return np.rint(picture).astype(np.uint8), disc


def write_scene(path: Path, frames: int = FRAMES) -> Path:
    """The scene as H.264 with a tone, 8 frames a second."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=8, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = out.add_stream("aac", rate=48000)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw_scene(index)[0], "rgb24")
            out.mux(video.encode(frame.reformat(format="yuv420p")))
        out.mux(video.encode(None))
        for start in range(0, 48000 * frames // 8, 1024):
            wave = np.sin(np.arange(start, start + 1024) / 20).astype(np.float32) * 0.2
            tone = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            tone.sample_rate, tone.pts = 48000, start
            out.mux(sound.encode(tone))
        out.mux(sound.encode(None))
    return path


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of a red disc that moves, with sound."""
    return write_scene(tmp_path_factory.mktemp("scene") / "disc.mp4")


class Visitor:
    """A browser without a screen: keeps its cookie, sends what the page sends."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        client.headers["X-Cleanplate"] = "1"

    def ask(self, method: str, path: str, **more: Any) -> Any:
        return self.client.request(method, path, **more)

    def upload(self, data: bytes, name: str = "disc.mp4") -> dict[str, Any]:
        answer = self.ask("POST", f"/api/clips?name={name}", content=data)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def look(self, clip: dict[str, Any]) -> dict[str, Any]:
        return dict(self.ask("GET", f"/api/clips/{clip['id']}").json())

    def wait(self, clip: dict[str, Any], seconds: float = PATIENCE) -> dict[str, Any]:
        """The clip when its job is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.look(clip)
            if now["job"]["status"] in ("done", "failed", "cancelled"):
                return now
            time.sleep(0.05)
        raise AssertionError(f"the job is not over after {seconds} s: {now['job']}")

    def mark(self, clip: dict[str, Any], marks: list[dict[str, Any]], **more: Any) -> Any:
        return self.mark_things(clip, [{"marks": marks, **more}])

    def mark_things(self, clip: dict[str, Any], things: list[dict[str, Any]]) -> Any:
        body = {"revision": self.look(clip)["revision"], "marks": {"things": things}}
        return self.ask("PUT", f"/api/clips/{clip['id']}/marks", json=body)

    def order(self, clip: dict[str, Any], kind: str, **options: Any) -> Any:
        return self.ask("POST", f"/api/clips/{clip['id']}/job", json={"kind": kind, **options})


@contextmanager
def opened(folder: Path) -> Iterator[Callable[..., Callable[[], Visitor]]]:
    """Servers that keep their files in `folder`."""
    with ExitStack() as stack:

        def make(*, token: str | None = None, **limits: Any) -> Callable[[], Visitor]:
            settings = ServerSettings(
                token=token, folder=folder, limits=replace(Limits(), **limits)
            )
            sessions = Sessions(settings)
            stack.callback(sessions.close)
            app = create_app(settings, sessions)
            stack.enter_context(TestClient(app, base_url="http://127.0.0.1"))

            def visit() -> Visitor:
                return Visitor(
                    TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
                )

            return visit

        yield make


@pytest.fixture
def open_app(tmp_path: Path) -> Iterator[Callable[..., Callable[[], Visitor]]]:
    """`open_app(limits…, token=…) -> visit`, and `visit()` is another Visitor of that server."""
    with opened(tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared server keeps its files."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def shared(shared_folder: Path) -> Iterator[Callable[[], Visitor]]:
    """`shared()` is a new visitor of one server for a whole module: its workers start once."""
    with opened(shared_folder) as make:
        yield make()


@pytest.fixture
def visitor(open_app: Callable[..., Callable[[], Visitor]]) -> Visitor:
    """A visitor of a server with the usual limits."""
    return open_app()()


@dataclass
class Served:
    address: str
    folder: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    """The real server on a free port."""
    folder = tmp_path_factory.mktemp("served")
    limits = replace(Limits(), upload=2_000_000, duration=30)
    sessions = Sessions(ServerSettings(folder=folder, limits=limits))
    app = create_app(ServerSettings(folder=folder, limits=limits), sessions)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", folder)
    server.should_exit = True
    thread.join()
    listener.close()
    assert list(folder.iterdir()) == []


@pytest.fixture
def context(browser, served):
    """A person's browser; nothing it does may leave the host or complain."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENT)
    yield context
    context.close()


@pytest.fixture
def page(context, served, watch):
    page = context.new_page()
    seen = watch(page)
    page.goto(served.address)
    yield page
    assert seen.requests
    assert all(address.startswith(f"{served.address}/") for address in seen.requests)
    # A refused request is what some tests are about; the page says it in words.
    assert [error for error in seen.errors if "status of 4" not in error] == []


@pytest.fixture
def hold(monkeypatch):
    """Keep jobs running until the event is set, or until they are cancelled."""
    free = threading.Event()
    ask, end = WorkerProcess.ask, WorkerProcess.end

    def ask_later(process, request, listen):
        if request["task"] != "prepare":
            free.wait(PATIENT / 1000)
        return ask(process, request, listen)

    def end_now(process):
        free.set()
        end(process)

    monkeypatch.setattr(WorkerProcess, "ask", ask_later)
    monkeypatch.setattr(WorkerProcess, "end", end_now)
    yield free
    free.set()
