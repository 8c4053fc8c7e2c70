"""Killed at any moment: nothing half done at the output path, and going on gives the same file."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from .conftest import BOX, Running, content, finished_segments, journal

KILLS = 25
FAST = 1
"""Of these, so many in the default suite."""

KINDS: list[tuple[str, tuple[str, ...]]] = [
    ("out.mp4", ("--crf", "20")),
    ("out.mkv", ("--lossless",)),
    ("out", ()),
    ("out.mp4", ("--mask-out", "MASKS")),
]


def arguments(source: Path, target: Path, options: tuple[str, ...]) -> list[object]:
    named = [target.parent / "masks" if word == "MASKS" else word for word in options]
    return ["remove", source, *BOX, *named, "-o", target]


@pytest.mark.parametrize(
    "seed", [pytest.param(k, marks=[] if k < FAST else pytest.mark.slow) for k in range(KILLS)]
)
def test_a_killed_run_goes_on_and_ends_the_same(
    start: Callable[..., Running], frames: Path, out: Path, seed: int
) -> None:
    chance = random.Random(seed)
    name, options = KINDS[seed % len(KINDS)]
    whole = out / "whole" / name
    whole.parent.mkdir()
    began = time.monotonic()
    assert start(*arguments(frames, whole, options)).wait().code == 0
    length = time.monotonic() - began
    target = out / "cut" / name
    target.parent.mkdir()
    # Some are killed twice: what is resumed may be killed, too.
    for again in range(1 + seed % 2):
        running = start(*arguments(frames, target, options), *(["--resume"] if again else []))
        time.sleep(chance.uniform(0, length))
        running.process.kill()
        if running.wait().code == 0:
            break
        finished = target.exists() and content(target) == content(whole)
        assert finished or not target.exists()
    if not target.exists():
        resumed = start(*arguments(frames, target, options), "--resume").wait()
        assert resumed.code == 0, resumed.err
    assert content(target) == content(whole)
    if "MASKS" in options:
        assert content(target.parent / "masks") == content(whole.parent / "masks")
    assert [entry for entry in target.parent.iterdir() if entry.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_stopped_run_says_that_it_can_go_on(
    start: Callable[..., Running], frames: Path, out: Path, number: signal.Signals, code: int
) -> None:
    target = out / "out.mkv"
    running = start(*arguments(frames, target, ("--lossless",)))
    running.until(lambda: finished_segments(target) >= 2)
    running.process.send_signal(number)
    line = running.wait().check(code)
    assert "frames are kept; --resume goes on from there" in line
    assert not target.exists()
    refused = start(*arguments(frames, target, ("--lossless",))).wait().check(2)
    assert "use --resume to go on with it, or --overwrite to start over" in refused
    assert start(*arguments(frames, target, ("--lossless",)), "--resume").wait().code == 0
    assert [entry.name for entry in out.iterdir()] == ["out.mkv"]


@pytest.mark.slow
def test_a_mask_that_was_tracked_is_tracked_again(
    start: Callable[..., Running], frames: Path, out: Path
) -> None:
    for index, path in enumerate(sorted(frames.iterdir())):
        image = cv2.imread(str(path))
        cv2.rectangle(image, (10 + index // 3, 20), (26 + index // 3, 40), (40, 40, 220), -1)
        assert cv2.imwrite(str(path), image)
    options = ["--track", "10,20,17,21", "--method", "flow", "--lossless"]
    whole, target = out / "whole.mkv", out / "cut.mkv"
    assert start("remove", frames, *options, "-o", whole).wait().code == 0
    running = start("remove", frames, *options, "-o", target)
    running.until(lambda: finished_segments(target) >= 3)
    running.process.kill()
    running.wait()
    assert start("remove", frames, *options, "-o", target, "--resume").wait().code == 0
    assert content(target) == content(whole)


@pytest.mark.slow
def test_what_a_killed_run_left_is_cleared_by_the_next(
    start: Callable[..., Running], frames: Path, out: Path
) -> None:
    target = out / "out.mp4"
    running = start(*arguments(frames, target, ()))
    running.until(lambda: finished_segments(target) >= 2)
    running.process.kill()
    running.wait()
    (left,) = out.iterdir()
    assert sorted(entry.name for entry in left.iterdir()) == ["journal", "lock", "partial.mp4"]
    assert start(*arguments(frames, target, ("--dilate", "2"))).wait().code == 0
    assert [entry.name for entry in out.iterdir()] == ["out.mp4"]


def test_a_torn_journal_is_used_as_far_as_it_is_whole(
    start: Callable[..., Running], frames: Path, out: Path
) -> None:
    whole, target = out / "whole.mkv", out / "cut.mkv"
    assert start(*arguments(frames, whole, ("--lossless",))).wait().code == 0
    running = start(*arguments(frames, target, ("--lossless",)))
    running.until(lambda: finished_segments(target) >= 3)
    running.process.kill()
    running.wait()
    spans = sorted(journal(target).glob("*.span"))
    spans[3].write_bytes(spans[3].read_bytes()[:100])
    (journal(target) / "000000024.part").write_bytes(b"half")
    assert start(*arguments(frames, target, ("--lossless",)), "--resume").wait().code == 0
    assert content(target) == content(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--dilate", "6"), "dilate was 4 and is now 6"),
        (("--crf", "30"), "crf was None and is now 30"),
        (("--box", "1,1,9,9"), "the masks up to frame"),
    ],
)
def test_another_job_is_refused(
    start: Callable[..., Running], frames: Path, out: Path, options: tuple[str, ...], says: str
) -> None:
    target = out / "out.mp4"
    running = start(*arguments(frames, target, ()))
    running.until(lambda: finished_segments(target) >= 2)
    running.process.kill()
    running.wait()
    line = start(*arguments(frames, target, options), "--resume").wait().check(2)
    assert says in line
    assert not target.exists()
    assert finished_segments(target) >= 1


def test_two_runs_on_one_output(start: Callable[..., Running], frames: Path, out: Path) -> None:
    target = out / "out.mp4"
    first = start(*arguments(frames, target, ()))
    first.until(lambda: (out / ".out.mp4.cleanplate" / "lock").exists())
    second = start(*arguments(frames, target, ("--overwrite", "--resume"))).wait()
    if first.process.poll() is None:
        assert "another run is writing" in second.check(2)
    assert first.wait().code == 0
    assert [entry.name for entry in out.iterdir()] == ["out.mp4"]
