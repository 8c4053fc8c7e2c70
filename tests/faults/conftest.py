"""What the fault tests share: the command in a process of its own, with short segments.

Segments are 8 frames long there, so that clips of a few seconds have several.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
from tests.patience import PATIENCE, until

START = """
import sys
from cleanplate.removal import engine
engine.Span.for_size = classmethod(lambda cls, size: cls(4, 3))
engine._SEGMENT = 2
from cleanplate.cli import main
main(sys.argv[1:])
"""
BOX = ("--box", "30,20,30,24", "--method", "flow")
FRAMES = 64
"""Of the folder that most runs take."""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def check(self, code: int) -> str:
        """It ended with `code` and one line; returns the line."""
        assert self.code == code, self.err
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("cleanplate: ")
        return self.err


@dataclass
class Running:
    """`cleanplate` in a process of its own, stdout and stderr kept."""

    process: subprocess.Popen[str]

    def wait(self) -> Outcome:
        out, err = self.process.communicate(timeout=PATIENCE)
        return Outcome(self.process.returncode, out, err)

    def until(self, there: Callable[[], bool]) -> None:
        """Wait for something that the command does; it must not end before."""
        until(there, lambda: self.process.poll() is None)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """`start(*arguments)` begins the command in a process; `before` runs there first."""
    begun: list[Running] = []

    def begin(
        *arguments: object, before: Callable[[], None] | None = None, program: str = START
    ) -> Running:
        def prepare() -> None:
            # Whoever started the tests may have had Ctrl-C ignored, as shells do in the background.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if before is not None:
                before()

        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=prepare,
        )
        begun.append(Running(process))
        return begun[-1]

    yield begin
    for running in begun:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()


@pytest.fixture
def run(start: Callable[..., Running]) -> Callable[..., Outcome]:
    """`run(*arguments)` runs the command to its end."""
    return lambda *arguments, **options: start(*arguments, **options).wait()


@pytest.fixture
def frames(pan, tmp_path: Path) -> Path:
    """A folder of images, 96x64."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(pan(frames=FRAMES, step=(2, 1))):
        assert cv2.imwrite(str(folder / f"{index:03d}.png"), frame)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def content(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of each file in a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name if path.is_dir() else "": file.read_bytes() for file in files}


def journal(target: Path) -> Path:
    return target.parent / f".{target.name}.cleanplate" / "journal"


def finished_segments(target: Path) -> int:
    return len(list(journal(target).glob("*.span"))) // 2


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Callable[[str], None]]:
    """A tmpfs on `folder`; yields what mounts it again with other options. Skips without rights."""
    folder.mkdir(exist_ok=True)

    def mount(words: str) -> subprocess.CompletedProcess[bytes]:
        command = ["mount", "-t", "tmpfs", "-o", words, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, check=False)

    try:
        refused = mount(options).returncode != 0
    except FileNotFoundError:
        refused = True
    if refused:
        pytest.skip("a small file system can be mounted by root on Linux only")
    try:
        yield lambda words: mount(f"remount,{words}").check_returncode()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
