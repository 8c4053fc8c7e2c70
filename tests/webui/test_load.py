"""Fifty people at once: no lost job, no error, nothing left behind."""

from __future__ import annotations

import os
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn

from cleanplate.webui.app import create_app
from cleanplate.webui.sessions import Sessions
from cleanplate.webui.settings import Limits, Settings

CLIENTS = 50
ROUNDS = 4


@pytest.fixture
def address(tmp_path):
    settings = Settings(folder=tmp_path, limits=replace(Limits(), uploads=CLIENTS))
    app = create_app(settings, Sessions(settings))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()
    assert list(tmp_path.iterdir()) == []


def visit(address: str, video: bytes, number: int, taken: list[float]) -> list[str]:
    """Upload, poll, cancel every other time, look at frames, close; returns how the jobs ended."""
    ends = []
    with httpx.Client(base_url=address, headers={"X-Cleanplate": "1"}, timeout=120) as client:

        def ask(method: str, path: str, **more: object) -> httpx.Response:
            began = time.monotonic()
            answer = client.request(method, path, **more)
            taken.append(time.monotonic() - began)
            assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
            return answer

        ask("GET", "/")
        for turn in range(ROUNDS):
            clip = ask("POST", "/api/clips?name=a.mp4", content=video).json()
            path = f"/api/clips/{clip['id']}"
            if (number + turn) % 2:
                ends.append(ask("DELETE", f"{path}/job").json()["job"]["status"])
            else:
                while (now := ask("GET", path).json()["job"])["status"] in ("waiting", "running"):
                    time.sleep(0.2)
                ends.append(now["status"])
                for index in range(8):
                    ask("GET", f"{path}/frames/{index}")
            ask("DELETE", path)
    return ends


@pytest.mark.slow
def test_fifty_people_at_once(address, scene, tmp_path):
    video = scene.read_bytes()
    taken: list[float] = []
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        visits = [pool.submit(visit, address, video, number, taken) for number in range(CLIENTS)]
        ends = [end for one in visits for end in one.result()]
    seconds = time.monotonic() - began
    assert len(ends) == CLIENTS * ROUNDS
    # A cancel that comes when the work is done finds it done.
    assert set(ends) <= {"done", "cancelled"}
    assert not list(tmp_path.rglob("source"))
    assert count_bytes(tmp_path) == 0
    centiles = statistics.quantiles(taken, n=100)
    print(
        f"\n{CLIENTS} clients, {len(taken)} requests, {len(taken) / seconds:.0f} a second,"
        f" p50 {1000 * centiles[49]:.0f} ms, p99 {1000 * centiles[98]:.0f} ms, errors 0,"
        f" jobs {len(ends)} ({ends.count('cancelled')} cancelled), bytes left behind 0"
    )


def count_bytes(folder: Path) -> int:
    return sum(os.stat(path).st_size for path in folder.rglob("*") if path.is_file())
