"""Pipes, sockets, devices and endless files in the place of everything that a command opens."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from .conftest import BOX, Outcome

KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "loop of links": lambda path: path.symlink_to(path.name),
}
ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "input": ("odd.mp4", ("remove", "{odd}", *BOX, "-o", "{out}/r.mp4")),
    "mask": ("odd.png", ("remove", "{frames}", "--mask", "{odd}", "-o", "{out}/r.mp4")),
    "mask video": ("odd.mkv", ("remove", "{frames}", "--mask", "{odd}", "-o", "{out}/r.mp4")),
    "model": ("odd.pth", ("models", "verify", "{odd}")),
    "jobs": ("odd.jsonl", ("batch", "{odd}")),
    "journal": (
        "odd.journal",
        ("batch", "{frames}", "-o", "{out}/r.mp4", "--box", "1,1,9,9", "--ledger", "{odd}"),
    ),
}
FAST = {("pipe", "mask"), ("link to a device", "model")}


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize(
    ("kind", "role"),
    [
        pytest.param(kind, role, marks=[] if (kind, role) in FAST else pytest.mark.slow)
        for kind in KINDS
        for role in ROLES
    ],
)
def test_what_is_no_file_is_refused_at_once(
    run: Callable[..., Outcome],
    frames: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    role: str,
) -> None:
    name, words = ROLES[role]
    monkeypatch.chdir(frames.parent)  # names of sockets are short
    KINDS[kind](Path(name))
    places = {"frames": frames, "out": out, "odd": frames.parent / name}
    line = run(*(word.format(**places) for word in words)).check(2)
    assert name in line
    assert list(out.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize("kind", ["pipe", pytest.param("socket", marks=pytest.mark.slow)])
@pytest.mark.parametrize("option", ["-o", pytest.param("--mask-out", marks=pytest.mark.slow)])
def test_an_output_that_is_no_file_stays_what_it_is(
    run: Callable[..., Outcome],
    frames: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    option: str,
) -> None:
    monkeypatch.chdir(out)
    KINDS[kind](Path("odd.mkv"))
    before = (out / "odd.mkv").lstat()
    outputs = {"-o": out / "r.mkv", option: out / "odd.mkv"}
    words = [word for pair in outputs.items() for word in pair]
    run("remove", frames, *BOX, *words, "--overwrite").check(2)
    after = (out / "odd.mkv").lstat()
    assert (after.st_ino, stat.S_IFMT(after.st_mode)) == (
        before.st_ino,
        stat.S_IFMT(before.st_mode),
    )
    assert [entry.name for entry in out.iterdir()] == ["odd.mkv"]


@pytest.mark.slow
def test_a_huge_file_of_nothing_is_refused_at_once(
    run: Callable[..., Outcome], frames: Path, out: Path
) -> None:
    huge = frames.parent / "huge.png"
    huge.touch()
    with suppress(OSError):  # no such files on this disk
        os.truncate(huge, 100 << 30)
    assert "huge.png" in run("remove", frames, "--mask", huge, "-o", out / "r.mp4").check(2)
    shutil.move(huge, frames / "050.png")
    assert "050.png" in run("remove", frames, *BOX, "-o", out / "r.mp4").check(2)
    assert list(out.iterdir()) == []
