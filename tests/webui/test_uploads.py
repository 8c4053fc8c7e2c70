"""Receiving videos: limits, and nothing left of what was refused."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cleanplate.webui import uploads
from cleanplate.webui.settings import Limits


def receive(*arguments):
    """Run the coroutine in a thread of its own: a browser's loop may be running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, uploads.receive_upload(*arguments)).result()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "in-use"]


def test_an_upload_beyond_the_limit_names_it_and_leaves_nothing(open_app, tmp_path):
    visitor = open_app(upload=3 * 1024 * 1024)()
    for content in (b"x" * (3 * 1024 * 1024 + 1), iter([b"x" * 1024 * 1024] * 4)):
        answer = visitor.ask("POST", "/api/clips?name=a.mp4", content=content)
        assert answer.status_code == 413
        assert "larger than 3 MB" in answer.json()["error"]
    assert visitor.ask("GET", "/api/session").json()["clips"] == []
    assert files_below(tmp_path) == []


def test_an_empty_upload_is_refused(visitor, tmp_path):
    answer = visitor.ask("POST", "/api/clips?name=a.mp4", content=b"")
    assert answer.status_code == 400
    assert "empty" in answer.json()["error"]
    assert files_below(tmp_path) == []


def test_what_is_no_video_is_refused_in_plain_words(shared, shared_folder):
    visitor = shared()
    clip = visitor.wait(visitor.upload(b"this is no video" * 100, "../../notes.mp4"))
    assert clip["name"] == "notes.mp4"
    assert clip["job"]["status"] == "failed"
    assert "'notes.mp4' is not a video that can be opened" in clip["job"]["message"]
    assert str(shared_folder) not in clip["job"]["message"]
    assert visitor.order(clip, "track").status_code == 409


def test_an_upload_that_stands_still_is_given_up(tmp_path):
    async def stall():
        yield b"beginning"
        await asyncio.sleep(30)

    limits = Limits(patience=0.05)
    with pytest.raises(uploads.UploadStopped, match=r"0\.05 seconds"):
        receive(stall(), None, tmp_path / "source", limits)


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    class Full:
        free = 700 << 20

    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda folder: Full)

    async def nothing():
        yield b""

    with pytest.raises(Exception, match="700 MB free"):
        receive(nothing(), 300 << 20, tmp_path / "source", Limits())


def test_uploads_are_private(tmp_path):
    async def chunks():
        yield b"video"

    receive(chunks(), 5, tmp_path / "source", Limits())
    assert (tmp_path / "source").read_bytes() == b"video"
    assert os.stat(tmp_path / "source").st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("count", "said"), [(5, "5 bytes"), (1536, "1.5 KB"), (3 << 20, "3 MB"), (2 << 30, "2 GB")]
)
def test_sizes_for_people(count, said):
    assert uploads.describe_bytes(count) == said
