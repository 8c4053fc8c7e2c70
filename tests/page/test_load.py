"""Fifty people at once: no lost job, no error, nothing left behind, nothing that grows.

A page that is open asks 1,200 times an hour. `CLEANPLATE_ROUNDS=30` makes the requests of an hour
for each person, 60,000 in all.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.patience import PATIENCE, until

CLIENTS = 50
ROUNDS = int(os.environ.get("CLEANPLATE_ROUNDS", "3"))
POLLS = 25
"""Looks at all clips in each round, besides those that wait for a job."""
SERVE = """
import sys
from dataclasses import replace
from pathlib import Path
from cleanplate.page.server import serve
from cleanplate.page.limits import Limits, ServerSettings
limits = replace(Limits(), uploads=50)
settings = ServerSettings(port=0, folder=Path(sys.argv[1]), limits=limits)
serve(settings, lambda at: print(at, flush=True))
"""


@dataclass(frozen=True)
class Server:
    address: str
    process: subprocess.Popen[str]

    def measure(self) -> tuple[int, int, int]:
        """KiB of memory, threads and open files."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in status)
        files = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return int(fields["VmRSS"].split()[0]), int(fields["Threads"]), files


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server in a process of its own, which ends as people end it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        yield Server(process.stdout.readline().strip(), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
    assert list(tmp_path.iterdir()) == []


def visit(address: str, video: bytes, number: int, taken: list[float], rounds: range) -> list[str]:
    """Upload, poll, cancel every other time, look at frames, close; returns how the jobs ended."""
    ends = []
    with httpx.Client(base_url=address, headers={"X-Cleanplate": "1"}, timeout=PATIENCE) as client:

        def ask(method: str, path: str, **more: object) -> httpx.Response:
            began = time.monotonic()
            answer = client.request(method, path, **more)
            taken.append(time.monotonic() - began)
            assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
            return answer

        ask("GET", "/")
        for turn in rounds:
            clip = ask("POST", "/api/clips?name=a.mp4", content=video).json()
            path = f"/api/clips/{clip['id']}"
            if (number + turn) % 2:
                ends.append(ask("DELETE", f"{path}/job").json()["job"]["status"])
            else:
                while (now := ask("GET", path).json()["job"])["status"] in ("waiting", "running"):
                    time.sleep(0.2)
                ends.append(now["status"])
                if now["status"] == "done":
                    for index in range(8):
                        ask("GET", f"{path}/frames/{index}")
            for _ in range(POLLS):
                assert len(ask("GET", "/api/session").json()["clips"]) == 1
            ask("DELETE", path)
    return ends


@pytest.mark.slow
def test_fifty_people_at_once(server: Server, scene: Path, tmp_path: Path) -> None:
    video = scene.read_bytes()
    taken: list[float] = []

    def run(rounds: range) -> list[str]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            visits = [
                pool.submit(visit, server.address, video, number, taken, rounds)
                for number in range(CLIENTS)
            ]
            return [end for one in visits for end in one.result()]

    ends = run(range(1))  # all that is loaded once is loaded then
    before, began, first = server.measure(), time.monotonic(), len(taken)
    ends += run(range(1, ROUNDS))
    seconds = time.monotonic() - began
    # Connections are closed, and threads end, soon after the last answer.
    until(lambda: server.measure()[2] <= before[2] and server.measure()[1] <= before[1] + 5)
    after = server.measure()
    assert len(ends) == CLIENTS * ROUNDS
    # A cancel that comes when the work is done finds it done.
    assert set(ends) <= {"done", "cancelled"}
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 0
    centiles = statistics.quantiles(taken[first:], n=100)
    print(
        f"\n{CLIENTS} clients, {len(taken)} requests, {(len(taken) - first) / seconds:.0f} a"
        f" second, p50 {1000 * centiles[49]:.0f} ms, p99 {1000 * centiles[98]:.0f} ms, errors 0,"
        f" jobs {len(ends)} ({ends.count('cancelled')} cancelled, 0 lost), bytes left behind 0,"
        f" memory {before[0] >> 10} to {after[0] >> 10} MiB, threads {before[1]} to {after[1]},"
        f" open files {before[2]} to {after[2]}"
    )
