"""The process that does the page's work, spoken to as the server does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LIMITS = {"duration": 60.0, "frames": 100, "pixels": 10**6}


def ask(*requests: dict[str, Any]) -> list[dict[str, Any]]:
    """Start a worker, send all requests, close its input; returns all that it says."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cleanplate.page.worker", "cleanplate.page.worker"],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def prepare(source: Path, previews: Path, **more: Any) -> dict[str, Any]:
    request = {"task": "prepare", "source": str(source), "previews": str(previews)}
    return {**request, "limits": {**LIMITS, **more}}


def test_one_request_after_the_other(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no video")
    said = ask(
        prepare(scene, tmp_path / "a"),
        prepare(tmp_path / "text", tmp_path / "b"),
        prepare(scene, tmp_path / "c", frames=3),
        prepare(scene, tmp_path / "d", duration=0.5),
        prepare(scene, tmp_path / "e", pixels=99),
        prepare(scene, tmp_path / "f"),
    )
    ends = [one.get("result") or one.get("error") for one in said if "stage" not in one]
    assert ends[0]["frames"] == ends[5]["frames"] == 16
    assert len(list((tmp_path / "f").iterdir())) == 16
    assert "is not a video" in ends[1]
    assert "at most 3 are allowed here" in ends[2]
    assert "lasts 0:02 but at most 0:00 are allowed here" in ends[3]
    assert "million pixels are allowed here" in ends[4]
    stages = {one["stage"] for one in said if "stage" in one}
    assert stages == {"Reading the video", "Preparing the frames"}


def test_what_nobody_expected_is_said_and_the_next_request_is_done(
    scene: Path, tmp_path: Path
) -> None:
    said = ask({"task": "prepare"}, prepare(scene, tmp_path / "a"))
    assert said[0] == {"stage": "Reading the video", "done": 0, "total": None}
    assert said[1] == {"error": "unexpected KeyError: 'source'"}
    assert "result" in said[-1]
