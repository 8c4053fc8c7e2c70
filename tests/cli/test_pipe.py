"""`cleanplate pipe` between two programs."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HEADER = b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg\n"
FRAME = 64 * 48 * 3 // 2
COMMAND = [
    sys.executable, "-m", "cleanplate", "pipe", "--method", "flow", "--threads", "1",
]  # fmt: skip
BOX = ["--box", "20,12,16,12"]


@pytest.fixture
def content() -> bytes:
    """Six frames of noise."""
    values = np.random.default_rng(2).integers(16, 236, (6, FRAME), np.uint8)
    return HEADER + b"".join(b"FRAME\n" + frame.tobytes() for frame in values)


def pipe(content: bytes, *arguments: str) -> tuple[int, bytes, str]:
    done = subprocess.run(
        [*COMMAND, *arguments], input=content, capture_output=True, timeout=300, check=False
    )
    return done.returncode, done.stdout, done.stderr.decode()


def test_a_stream_comes_out_as_it_went_in_but_for_the_hole(content):
    code, made, said = pipe(content, *BOX)
    assert (code, said) == (0, "")
    assert len(made) == len(content)
    assert made.startswith(HEADER + b"FRAME\n")
    first = slice(len(HEADER) + 6, len(HEADER) + 6 + 64 * 48)
    before, after = (np.frombuffer(one[first], np.uint8).reshape(48, 64) for one in (content, made))
    assert (before[12:24, 20:36] != after[12:24, 20:36]).mean() > 0.5
    assert np.array_equal(before[:, 50:], after[:, 50:])


def test_a_stream_that_ends_early_is_a_line_and_code_1(content):
    code, made, said = pipe(content[:-9], *BOX)
    assert code == 1
    assert said == (
        "cleanplate: the stream ends in the middle of frame 5; what writes it has stopped\n"
    )
    assert len(made) == len(HEADER) + 5 * (FRAME + 6)


@pytest.mark.parametrize(
    ("given", "arguments", "says"),
    [
        (b"", BOX, "nothing arrived on the standard input; pipe y4m into it, as ffmpeg -i"),
        (b"noise", BOX, "this is no y4m on the standard input"),
        (b"", [], "nothing to remove: give --mask or --box"),
        (b"", ["--mask", "absent.png"], "mask absent.png does not exist"),
    ],
)
def test_what_cannot_be_used_is_a_line_and_code_2(given, arguments, says):
    code, made, said = pipe(given, *arguments)
    assert (code, made) == (2, b"")
    assert says in said
    assert said.count("\n") == 1


def test_a_reader_that_stops_is_a_line_and_code_1(content, tmp_path: Path):
    source = tmp_path / "a.y4m"
    source.write_bytes(content + content[len(HEADER) :] * 20)
    with (
        source.open("rb") as file,
        subprocess.Popen(
            [*COMMAND, *BOX], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running,
    ):
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        said = running.stderr.read().decode()
        assert running.wait(300) == 1
    assert said == (
        "cleanplate: the program that reads the output stopped before its end; see its message\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_output_is_a_line_and_code_1(content):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, *BOX], input=content, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("cleanplate: the stream was cut off: No space left")
    assert done.stderr.count(b"\n") == 1


def test_closed_streams_are_a_line_and_code_2():
    line = f"{shlex.join([*COMMAND, *BOX])} <&-"
    done = subprocess.run(["sh", "-c", line], capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"input or output is closed" in done.stderr
