"""Children that try cases, bounded in time and memory, and what became of each case."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
HANG = 20.0
"""Seconds of processor time that one case may take."""
STILL = PATIENCE
"""Seconds by the clock, for what waits and does not compute; the machine may be busy."""
MEBIBYTES = 512
"""Memory that one case may take beyond what its process has already."""
FRESH = 400
"""Cases after which a child is replaced, so that none profits from what others left."""
GOOD = ("done", "refused")


@dataclass(frozen=True)
class Case:
    """One input: all of it follows from these two."""

    surface: str
    seed: int


@dataclass(frozen=True)
class Result:
    """What became of a case.

    `verdict` is done, refused, traceback, crash, hang, memory or escape.
    """

    case: Case
    verdict: str
    detail: str
    seconds: float = 0.0
    taken: int = 0

    @property
    def is_good(self) -> bool:
        """Whether the program behaved."""
        return self.verdict in GOOD


class Child:
    """One process that tries cases; a context manager. `folder` holds the originals."""

    def __init__(self, folder: Path, number: int, *, keep: Path | None = None) -> None:
        self._folder, self._keep = folder, keep
        self._root = folder / f"child-{number}"
        self._process: subprocess.Popen[bytes] | None = None
        self._tried = 0

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def attempt(self, case: Case) -> Result:
        """Try one case."""
        if self._process is None or self._tried >= FRESH:
            self.end()
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._tried += 1
        keep = None if self._keep is None else str(self._keep)
        request = {"surface": case.surface, "seed": case.seed, "keep": keep}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        line = self._read_line(STILL, HANG)
        if line is None:
            self.end()
            return Result(case, "hang", f"over {HANG:g} s of work or {STILL:g} s by the clock")
        if not line.endswith(b"\n"):
            return Result(case, "crash", self._describe_end())
        return Result(case, **json.loads(line))

    def end(self) -> None:
        """End the process, whatever it does, with those that it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._release(self._process)
        self._process = None

    def _release(self, process: subprocess.Popen[bytes]) -> None:
        self._errors.close()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _start(self) -> None:
        places = {name: self._root / name for name in ("home", "tmp", "cwd")}
        for place in places.values():
            place.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "HOME": str(places["home"]),
            "TMPDIR": str(places["tmp"]),
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENCV_LOG_LEVEL": "SILENT",
            "CLEANPLATE_DEBUG": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(self._root / "torch"),
        }
        self._errors = (self._root / "errors").open("wb+")
        self._tried = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.child", str(self._root), str(MEBIBYTES)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            cwd=places["cwd"], env=environment, start_new_session=True,
        )  # fmt: skip
        ready = self._read_line(600.0, 600.0)
        assert ready == b"ready\n", self._describe_end()

    def _read_line(self, still: float, work: float) -> bytes | None:
        """The next line; empty or cut short when the process ended, None when it hangs."""
        assert self._process is not None
        assert self._process.stdout is not None
        began, worked = time.monotonic(), self._work()
        line = b""
        while not line.endswith(b"\n"):
            if select.select([self._process.stdout], [], [], 0.5)[0]:
                part = os.read(self._process.stdout.fileno(), 1 << 20)
                if not part:
                    return line
                line += part
            elif time.monotonic() - began > still or self._work() - worked > work:
                return None
        return line

    def _work(self) -> float:
        """Seconds of processor time that the process has taken."""
        assert self._process is not None
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _describe_end(self) -> str:
        """How the process ended, and the last it said."""
        assert self._process is not None
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")[-3000:]
        self._release(self._process)
        self._process = None
        return f"ended with {code}\n{said}"


def make_originals(folder: Path) -> None:
    """Write the whole files into `folder`/originals, unless they are there."""
    if (folder / "originals").is_dir():
        return
    part = folder / "originals.part"
    part.mkdir(parents=True, exist_ok=True)
    code = "import sys, pathlib; from tests.fuzz.originals import make_originals as make;"
    command = [sys.executable, "-c", f"{code} make(pathlib.Path(sys.argv[1]))", str(part)]
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    subprocess.run(
        command, check=True, env={**os.environ, "PYTHONPATH": path, "SVT_LOG": "0"}, cwd=ROOT
    )
    part.rename(folder / "originals")


@contextmanager
def running(
    cases: Iterable[Case], folder: Path, children: int, keep: Path | None = None
) -> Iterator[Callable[[], Result | None]]:
    """Try `cases` in so many children; yields a function that gives the next result, then None."""
    make_originals(folder)
    work = iter(list(cases))
    results: queue.Queue[Result | None] = queue.Queue()
    stop, lock = threading.Event(), threading.Lock()

    def serve(number: int) -> None:
        with Child(folder, number, keep=keep) as child:
            while not stop.is_set():
                with lock:
                    case = next(work, None)
                if case is None:
                    break
                results.put(child.attempt(case))
        results.put(None)

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(children)]
    for thread in threads:
        thread.start()
    open_ends = children

    def take() -> Result | None:
        nonlocal open_ends
        while open_ends:
            result = results.get()
            if result is not None:
                return result
            open_ends -= 1
        return None

    try:
        yield take
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def to_line(result: Result) -> str:
    """A result as a line of JSON."""
    fields: dict[str, Any] = {
        "surface": result.case.surface, "seed": result.case.seed, "verdict": result.verdict,
        "detail": result.detail, "seconds": result.seconds, "taken": result.taken,
    }  # fmt: skip
    return json.dumps(fields)


def from_line(line: str) -> Result:
    """What `to_line` wrote."""
    fields = json.loads(line)
    return Result(Case(fields.pop("surface"), fields.pop("seed")), **fields)
