"""A disk that is full, read-only or limited: one line, nothing at the output path, nothing lost."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import BOX, FRAMES, Outcome, content, finished_segments, mounted

ROOMY = "size=64m"
SHORT = 24
"""Frames of a run that is only filled and written: three segments."""
FAST = [("out.mp4", 1), ("out", 2)]
"""Outputs and stages of the default suite: nothing is kept, and two segments are."""


def sizes(target: Path, journal_too: int) -> list[int]:
    """Room in KiB with which the disk is full at different stages of writing `target`."""
    whole = sum(len(data) for data in content(target).values()) // 1024 + 1
    return [4, whole // 4, whole, whole + journal_too // 2]


@pytest.mark.parametrize(
    ("name", "options", "stage"),
    [
        pytest.param(name, options, stage, marks=[] if (name, stage) in FAST else slow)
        for slow in [pytest.mark.slow]
        for name, options in [("out.mp4", ()), ("out.mkv", ("--lossless",)), ("out", ())]
        for stage in range(4)
    ],
)
def test_a_full_disk_and_then_room(
    run: Callable[..., Outcome], frames: Path, tmp_path: Path, name: str, options, stage: int
) -> None:
    for path in sorted(frames.iterdir())[SHORT:]:
        path.unlink()
    whole = tmp_path / f"whole-{name}"
    assert run("remove", frames, *BOX, *options, "-o", whole).code == 0
    room = sizes(whole, 128)[stage]
    with mounted(tmp_path / "disk", f"size={max(4, room)}k") as mount:
        target = tmp_path / "disk" / name
        tried = run("remove", frames, *BOX, *options, "-o", target)
        if tried.code:
            line = tried.check(2 if tried.code == 2 else 1)
            assert "No space" in line or "could not be written" in line
            assert not target.exists()
            mount(ROOMY)
            again = run("remove", frames, *BOX, *options, "-o", target, "--resume")
            assert again.code == 0, again.err
        assert content(target) == content(whole)
        assert [entry.name for entry in target.parent.iterdir()] == [name]


@pytest.mark.parametrize("option", ["--mask-out", "--plates-out", "--truth-out"])
def test_another_output_does_not_fit(
    run: Callable[..., Outcome], frames: Path, tmp_path: Path, option: str
) -> None:
    with mounted(tmp_path / "disk", "size=16k"):
        other = tmp_path / "disk" / "other"
        target = tmp_path / "out.mp4"
        run("remove", frames, *BOX, "-o", target, option, other, "--no-journal").check(1)
        assert not target.exists()
        assert list(other.parent.iterdir()) == []


@pytest.mark.slow
def test_a_journal_that_does_not_fit_stops_nothing(
    run: Callable[..., Outcome], frames: Path, tmp_path: Path
) -> None:
    """The journal is written first; a limit on one file's size hits only its larger files."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    done = run("remove", frames, *BOX, "-o", tmp_path / "out", before=limit)
    if done.code:  # the pictures themselves were too large
        done.check(1)
        assert not (tmp_path / "out").exists()
    else:
        assert len(list((tmp_path / "out").iterdir())) == FRAMES


def test_a_read_only_disk(run: Callable[..., Outcome], frames: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", ROOMY) as mount:
        mount("ro")
        for name in ("out.mp4", "out"):
            line = run("remove", frames, *BOX, "-o", tmp_path / "disk" / name).check(2)
            assert "may not be written to" in line or "cannot be written to" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(run: Callable[..., Outcome], frames: Path, out: Path) -> None:
    out.chmod(0o500)
    assert "may not be written to" in run("remove", frames, *BOX, "-o", out / "r.mp4").check(2)


@pytest.mark.slow
def test_a_disk_that_becomes_read_only(
    start, frames: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    with mounted(tmp_path / "disk", ROOMY) as mount:
        target = tmp_path / "disk" / "out"
        running = start("remove", frames, *BOX, "-o", target)
        running.until(lambda: finished_segments(target) >= 1)
        running.process.send_signal(signal.SIGSTOP)
        try:
            mount("ro")
        except Exception:
            pytest.skip("this system does not make a disk read-only while files are open")
        finally:
            running.process.send_signal(signal.SIGCONT)
        running.wait().check(1)
        assert not target.exists()
        mount("rw")
        assert run("remove", frames, *BOX, "-o", target, "--resume").code == 0
        assert len(list(target.iterdir())) == FRAMES
