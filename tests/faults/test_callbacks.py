"""A program whose callback raises ends as it should, and its next run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from .conftest import content

PROGRAM = """
import signal, sys
import cleanplate
from cleanplate.removal import engine
signal.signal(signal.SIGINT, signal.default_int_handler)
engine.Span.for_size = classmethod(lambda cls, size: cls(4, 3))
engine._SEGMENT = 2

class Odd(BaseException):
    pass

def stop(done, total):
    if done == int(sys.argv[4]):
        if sys.argv[3] == "SIGINT":
            signal.raise_signal(signal.SIGINT)
        else:
            raise eval(sys.argv[3])

cleanplate.remove(
    sys.argv[1], sys.argv[2], box="20,12,20,16", method="flow", progress=stop, resume=True
)
"""


def run(*words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raised", "code", "at"),
    [
        ("SIGINT", -2, 30),
        ("SystemExit(7)", 7, 1),
        ("Odd()", 1, 30),
        ("MemoryError()", 1, 60),
    ],
)
def test_a_callback_that_raises_ends_the_program(
    images, tmp_path: Path, raised: str, code: int, at: int
) -> None:
    source = images([f"{number:02d}.png" for number in range(60)], size=(64, 48))
    for name in ("r", "r.mp4"):
        whole, target = tmp_path / f"whole-{name}", tmp_path / name
        assert run(source, whole, "None", 0).returncode == 0
        ended = run(source, target, raised, at)
        assert ended.returncode == code, ended.stderr
        assert not target.exists()
        assert {entry.name for entry in (tmp_path / f".{name}.cleanplate").iterdir()} == {"journal"}
        again = run(source, target, "None", 0)
        assert again.returncode == 0, again.stderr
        assert content(target) == content(whole)
        assert not (tmp_path / f".{name}.cleanplate").exists()
