"""Files and folders that may not be looked at: one line that says so, and never a traceback."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cleanplate.network.weights import EMBEDDED

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(sys.platform == "win32", reason="permissions are another matter there"),
]
NOBODY = 65534


@contextmanager
def _as_somebody() -> Iterator[None]:
    """Work without root's leave to do anything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder(make_clip, images, tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """The current folder: one of everything, and the same in `locked`, which may not be entered.

    Nobody but root enters pytest's own.
    """
    base = Path(tempfile.mkdtemp())
    frames = images(size=(64, 48))
    for place in (base, base / "locked"):
        shutil.copytree(frames, place / "frames")
        shutil.copytree(frames, place / "data" / "a" / "frames")
        shutil.copytree(frames, place / "data" / "a" / "masks")
        shutil.copy(make_clip("a.mp4", frames=2), place)
        shutil.copy(EMBEDDED, place / "a.safetensors")
        (place / "jobs.jsonl").write_text('{"input": "a.mp4", "output": "b.mp4", "box": "1,2,3,4"}')
        (place / "config.json").write_text("{}")
    if not os.geteuid():
        os.chown(base, NOBODY, NOBODY)
    (base / "locked").chmod(0)
    monkeypatch.chdir(base)
    yield base
    (base / "locked").chmod(0o700)
    shutil.rmtree(base)


COMMANDS: dict[str, tuple[str, ...]] = {
    "input": ("remove", "LOCKED/a.mp4", "-o", "out.mp4", "--box", "1,2,3,4"),
    "frames": ("remove", "LOCKED/frames", "-o", "out.mp4", "--box", "1,2,3,4"),
    "folder": ("remove", "LOCKED", "-o", "out.mp4", "--box", "1,2,3,4"),
    "output": ("remove", "a.mp4", "-o", "LOCKED", "--box", "1,2,3,4"),
    "written over": ("remove", "a.mp4", "-o", "LOCKED", "--box", "1,2,3,4", "--overwrite"),
    "mask": ("remove", "a.mp4", "-o", "out.mp4", "--mask", "LOCKED/frames/1.png"),
    "masks": ("remove", "a.mp4", "-o", "out.mp4", "--mask", "LOCKED/frames"),
    "model": ("remove", "a.mp4", "-o", "out.mp4", "--box", "1,2,3,4", "--method", "network",
              "--model", "LOCKED/a.safetensors"),
    "verify": ("models", "verify", "LOCKED/a.safetensors"),
    "show": ("models", "show", "LOCKED/a.safetensors"),
    "convert": ("models", "convert", "LOCKED/a.safetensors", "b.safetensors"),
    "converted": ("models", "convert", "default", "LOCKED/b.safetensors"),
    "jobs": ("batch", "LOCKED/jobs.jsonl"),
    "journal": ("batch", "jobs.jsonl", "--ledger", "LOCKED/journal"),
    "correct": ("mask", "track", "a.mp4", "-o", "out", "--correct", "LOCKED/frames"),
    "sam": ("mask", "track", "a.mp4", "-o", "out", "--track", "1,2,9,9", "--sam", "LOCKED"),
    "preview": ("mask", "track", "a.mp4", "-o", "out", "--track", "1,2,9,9", "--preview",
                "LOCKED/sheet.png"),
    "evaluate": ("evaluate", "LOCKED/data", "-o", "out"),
    "evaluation": ("evaluate", "data", "-o", "LOCKED/out"),
    "results": ("evaluate", "data", "-o", "out", "--methods", "a=LOCKED/results"),
    "train": ("train", "--clips", "LOCKED/data", "--check-data", "run"),
}  # fmt: skip


@pytest.mark.parametrize("what", COMMANDS)
def test_a_locked_folder_is_named(what: str, run: Callable[..., Any], folder: Path) -> None:
    run(*[text.replace("LOCKED", "absent") for text in COMMANDS[what]])  # loads what it needs
    for left in folder.glob("absent*"):
        shutil.rmtree(left)
    with _as_somebody():
        outcome = run(*[text.replace("LOCKED", "locked") for text in COMMANDS[what]])
    assert outcome.code == 2, outcome.err
    assert "Permission denied" in outcome.out + outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
