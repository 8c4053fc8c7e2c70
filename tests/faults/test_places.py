"""Outputs on mount points and across file systems: refused before the work, nothing left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import BOX, FRAMES, Outcome, finished_segments, mounted

ROOMY = "size=64m"


@contextmanager
def bound(source: Path, target: Path) -> Iterator[None]:
    """`source` at `target` as well, within one file system. Skips without rights."""
    command = ["mount", "--bind", str(source), str(target)]
    try:
        refused = subprocess.run(command, capture_output=True, check=False).returncode != 0
    except FileNotFoundError:
        refused = True
    if refused:
        pytest.skip("folders can be bound by root on Linux only")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


@pytest.mark.parametrize("filled", [False, True])
def test_a_mount_point(
    run: Callable[..., Outcome], frames: Path, tmp_path: Path, filled: bool
) -> None:
    target = tmp_path / "disk"
    with mounted(target, ROOMY):
        if filled:
            (target / "0.png").write_text("theirs")
        before = sorted(tmp_path.rglob("*"))
        line = run("remove", frames, *BOX, "-o", target, "--overwrite").check(2)
        assert "is a mount point" in line
        assert "name a new folder in it" in line
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["bound", "bound.mp4"])
def test_a_bind_mount_within_one_file_system(
    run: Callable[..., Outcome], frames: Path, tmp_path: Path, name: str
) -> None:
    """Its device is that of the folder around it, so only the table of mounts knows of it."""
    own, target = tmp_path / f"own-{name}", tmp_path / name
    for path in (own, target):
        path.touch() if path.suffix else path.mkdir()
    with bound(own, target):
        line = run("remove", frames, *BOX, "-o", target, "--overwrite").check(2)
        assert "is a mount point" in line
    assert not list(tmp_path.glob(".*"))


def test_what_is_read_is_known_through_a_bind_mount(
    run: Callable[..., Outcome], frames: Path, tmp_path: Path
) -> None:
    (tmp_path / "view").mkdir()
    with bound(tmp_path, tmp_path / "view"):
        target = tmp_path / "view" / "frames"
        line = run("remove", frames, *BOX, "-o", target, "--overwrite").check(2)
    assert f"'{target}' would replace '{frames}'" in line
    assert len(list(frames.iterdir())) == FRAMES


def test_a_hidden_folder_on_another_file_system(
    run: Callable[..., Outcome], frames: Path, out: Path
) -> None:
    with mounted(out / ".r.mp4.cleanplate", ROOMY):
        line = run("remove", frames, *BOX, "-o", out / "r.mp4").check(2)
        assert "is a mount point; unmount it" in line
        assert list((out / ".r.mp4.cleanplate").iterdir()) == []


@pytest.mark.slow
def test_a_file_system_that_is_mounted_there_during_the_run(start, frames: Path, out: Path) -> None:
    target = out / "r"
    target.mkdir()
    running = start("remove", frames, *BOX, "-o", target)
    running.until(lambda: finished_segments(target) >= 1)
    with mounted(target, ROOMY):
        line = running.wait().check(1)
    assert "the finished result is" in line
    assert len(list((out / "r-1").iterdir())) == FRAMES
    assert sorted(path.name for path in out.iterdir()) == ["r", "r-1"]


@pytest.mark.slow
def test_a_link_to_another_file_system(
    run: Callable[..., Outcome], frames: Path, out: Path, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", ROOMY):
        real = tmp_path / "disk" / "real.mp4"
        real.write_text("old")
        (out / "r.mp4").symlink_to(real)
        assert run("remove", frames, *BOX, "-o", out / "r.mp4", "--overwrite").code == 0
        assert real.stat().st_size > 1000
        assert [path.name for path in real.parent.iterdir()] == ["real.mp4"]
        assert (out / "r.mp4").is_symlink()


@pytest.mark.parametrize("name", ["r.mp4", "r"])
def test_an_immutable_output(
    run: Callable[..., Outcome], frames: Path, out: Path, name: str
) -> None:
    target = out / name
    target.touch() if target.suffix else target.mkdir()
    for entry in [] if target.suffix else [target / "0.png"]:
        entry.write_text("theirs")
    try:
        refused = subprocess.run(["chattr", "+i", target], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs chattr")
    if refused.returncode:
        pytest.skip("this file system, or this user, makes nothing immutable")
    try:
        line = run("remove", frames, *BOX, "-o", target, "--overwrite").check(2)
    finally:
        subprocess.run(["chattr", "-i", target], check=True)
    assert "is write-protected" in line
    assert [path.name for path in out.iterdir()] == [name]
