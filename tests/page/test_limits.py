"""Receiving videos: limits, and nothing left of what was refused."""

import asyncio
import os
from pathlib import Path

import pytest

from cleanplate.errors import OutputError
from cleanplate.page import limits as module
from cleanplate.page.limits import Limits, TooMuch, Uploads, UploadStopped

from .conftest import run_apart


def receive(chunks, announced, target, limits):
    async def receive_one():
        with Uploads(target.parent, limits).begin("me", announced or 0) as upload:
            await upload.receive(chunks, target)

    run_apart(receive_one())


class Clock:
    """Stands in for the module `time`."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A disk of 5000 bytes, of which uploads leave 1000 free."""

    class Usage:
        @property
        def free(self):
            return 5000 - sum(path.stat().st_size for path in tmp_path.iterdir())

    monkeypatch.setattr(module, "_RESERVE", 1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: Usage())
    return Usage()


async def send(count, length=500):
    for _ in range(count):
        await asyncio.sleep(0)
        yield b"x" * length


async def stall(first=b"beginning"):
    yield first
    await asyncio.Event().wait()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "in-use"]


def test_an_upload_beyond_the_limit_names_it_and_leaves_nothing(open_app, tmp_path):
    visitor = open_app(upload=3_000_000)()
    for content in (b"x" * (3_000_000 + 1), iter([b"x" * 1_000_000] * 4)):
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
    limits = Limits(patience=0.05)
    with pytest.raises(module.UploadStopped, match=r"0\.05 seconds"):
        receive(stall(), None, tmp_path / "source", limits)


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    class Full:
        free = 700_000_000

    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: Full)

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


def test_one_session_cannot_take_all_places(tmp_path):
    board = Uploads(tmp_path, Limits(uploads=3, uploads_each=2))
    with board.begin("a", 0), board.begin("a", 0):
        with pytest.raises(TooMuch, match="2 of your videos are being uploaded"):
            board.begin("a", 0).__enter__()
        with board.begin("b", 0), pytest.raises(TooMuch, match="3 videos are being uploaded"):
            board.begin("c", 0).__enter__()
    with board.begin("a", 0):
        pass


def test_slow_uploads_give_way_to_others(tmp_path, clock):
    """Eight visitors who dribble hold their places only as long as nobody else wants one."""

    async def crowd():
        board = Uploads(tmp_path, Limits(uploads=8))
        begun = asyncio.Event()

        async def dribble(number):
            with board.begin(number, 0) as upload:
                begun.set() if number == 7 else None
                await upload.receive(stall(), tmp_path / str(number))

        crowd = [asyncio.create_task(dribble(number)) for number in range(8)]
        await begun.wait()
        with pytest.raises(TooMuch):
            board.begin("me", 0).__enter__()
        clock.now = 6.0
        with board.begin("me", 0) as upload:
            ends = await asyncio.gather(*crowd, return_exceptions=True)
            await upload.receive(send(3), tmp_path / "mine")
        return ends

    ends = run_apart(crowd())
    assert all(isinstance(end, UploadStopped) for end in ends)
    assert "while others wait" in str(ends[0])
    assert (tmp_path / "mine").stat().st_size == 1500


def test_an_upload_must_keep_a_pace(tmp_path, clock):
    async def dribble():
        for _ in range(100):
            clock.now += 20
            yield b"x"

    with pytest.raises(UploadStopped, match=r"slower than 32 KB per second"):
        receive(dribble(), None, tmp_path / "source", Limits())
    assert clock.now == 140

    async def go_on():
        for _ in range(10):
            clock.now += 20
            yield b"x" * (20 * 32_000)

    receive(go_on(), None, tmp_path / "other", Limits())


def test_chunked_uploads_leave_the_reserve_free(tmp_path, disk):
    with pytest.raises(OutputError, match="too little space"):
        receive(send(99), None, tmp_path / "source", Limits())
    assert disk.free == 1000


def test_announced_uploads_do_not_share_the_same_room(tmp_path, disk):
    async def send_all(sizes):
        board = Uploads(tmp_path, Limits())

        async def send_one(number, size, announced):
            with board.begin(number, announced) as upload:
                await upload.receive(send(size // 500), tmp_path / str(number))

        coroutines = [send_one(number, *size) for number, size in enumerate(sizes)]
        return await asyncio.gather(*coroutines, return_exceptions=True)

    ends = run_apart(send_all([(1500, 1500)] * 4))
    assert [type(end) for end in ends] == [type(None), type(None), OutputError, OutputError]
    assert disk.free == 2000
    for path in tmp_path.iterdir():
        path.unlink()
    ends = run_apart(send_all([(9500, 0), (1500, 1500), (9500, 500)]))
    assert [type(end) for end in ends] == [OutputError, type(None), OutputError]
    assert disk.free == 1000


def test_room_that_a_slow_upload_reserved_is_given_to_others(tmp_path, disk, clock):
    async def meet():
        board = Uploads(tmp_path, Limits())

        async def dribble():
            with board.begin("slow", 4000) as upload:
                await upload.receive(stall(), tmp_path / "slow")

        slow = asyncio.create_task(dribble())
        await asyncio.sleep(0)
        with pytest.raises(OutputError):
            board.begin("quick", 3000).__enter__()
        clock.now = 6.0
        with board.begin("quick", 3000) as upload:
            await asyncio.gather(slow, return_exceptions=True)
            await upload.receive(send(6), tmp_path / "quick")

    run_apart(meet())
    assert (tmp_path / "quick").stat().st_size == 3000
