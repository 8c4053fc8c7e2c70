"""Sessions: whose clips are whose, and what is left of them."""

import asyncio
import os
from dataclasses import replace

import pytest

from cleanplate.errors import OutputError
from cleanplate.page import sessions as module
from cleanplate.page.clips import Gone
from cleanplate.page.limits import Limits, ServerSettings, TooMuch
from cleanplate.page.sessions import Sessions

from .conftest import run_apart


@pytest.fixture
def open_sessions(tmp_path):
    opened = []

    def make(**limits):
        settings = ServerSettings(folder=tmp_path, limits=replace(Limits(), **limits))
        opened.append(Sessions(settings))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_nobody_sees_the_clips_of_others(shared, scene):
    mine, other = shared(), shared()
    clip = mine.wait(mine.upload(scene.read_bytes()))
    assert clip["video"]["frames"] == 16
    root = f"/api/clips/{clip['id']}"
    pages = ("", "/times", "/frames/0", "/masks", "/result", "/masks/1/0", "/results/1/frames/0")
    for path in pages:
        assert other.ask("GET", root + path).status_code == 404
    assert other.ask("DELETE", root).status_code == 404
    assert other.ask("DELETE", f"{root}/job").status_code == 404
    assert other.order(clip, "track").status_code == 404
    assert other.ask("GET", "/api/session").json()["clips"] == []
    assert mine.ask("GET", f"{root}/frames/15").headers["content-type"] == "image/jpeg"
    for index in (16, -1, 99999, "9" * 300):
        assert mine.ask("GET", f"{root}/frames/{index}").status_code == 404


def test_a_closed_clip_is_gone_from_the_disk(shared, scene, shared_folder):
    visitor = shared()
    clip = visitor.upload(scene.read_bytes())
    assert visitor.ask("DELETE", f"/api/clips/{clip['id']}").status_code == 204
    assert visitor.ask("GET", f"/api/clips/{clip['id']}").status_code == 404
    assert not list(shared_folder.rglob(clip["id"]))


def test_only_so_many_clips_and_jobs(open_app, scene):
    visitor = open_app(clips=1)()
    visitor.upload(scene.read_bytes())
    answer = visitor.ask("POST", "/api/clips?name=b.mp4", content=b"x")
    assert answer.status_code == 429
    assert "1 clips are open, which is the maximum" in answer.json()["error"]
    busy = open_app(jobs=0)()
    answer = busy.ask("POST", "/api/clips?name=b.mp4", content=b"x")
    assert "0 of your clips are waiting" in answer.json()["error"]


def test_a_session_that_receives_a_video_is_not_idle_and_closing_stops_it(open_sessions):
    sessions = open_sessions(idle=-1)
    secret, session = sessions.create()
    clip = session.add_clip("a.mp4")

    async def close_halfway():
        begun = asyncio.Event()

        async def stall():
            yield b"beginning"
            begun.set()
            await asyncio.Event().wait()

        upload = asyncio.create_task(session.receive(clip, stall(), None))
        await begun.wait()
        sessions.tidy()
        assert sessions.find(secret) is session
        await asyncio.to_thread(session.drop_clip, clip)
        with pytest.raises(Gone, match="this clip was closed"):
            await upload

    run_apart(close_halfway())
    session.drop_clip(clip)
    assert not clip.folder.exists()
    sessions.tidy()
    assert sessions.find(secret) is None
    with pytest.raises(Gone, match="this session has ended"):
        session.add_clip("b.mp4")


def test_no_job_begins_for_a_closed_clip(open_sessions):
    _, session = open_sessions().create()
    clip = session.add_clip("a.mp4")
    session.drop_clip(clip)
    with pytest.raises(Gone):
        clip.prepare()
    assert not clip.folder.exists()


def test_folders_are_private_and_all_is_removed_at_the_end(open_sessions, tmp_path):
    sessions = open_sessions()
    _, session = sessions.create()
    clip = session.add_clip("a.mp4")
    folders = [sessions.folder, clip.folder.parent, clip.folder]
    assert all(os.stat(folder).st_mode & 0o077 == 0 for folder in folders)
    sessions.close()
    sessions.close()
    assert list(tmp_path.iterdir()) == []


def test_idle_sessions_are_forgotten_with_their_files(open_sessions):
    sessions = open_sessions(idle=600)
    secret, session = sessions.create()
    folder = session.add_clip("a.mp4").folder
    session.seen -= 601
    fresh, _ = sessions.create()
    sessions.tidy()
    assert sessions.find(secret) is None
    assert not folder.exists()
    assert sessions.find(fresh) is not None


def test_visitors_without_clips_make_room_for_others(open_sessions):
    sessions = open_sessions(sessions=2)
    first, session = sessions.create()
    session.add_clip("a.mp4")
    second, _ = sessions.create()
    third, session = sessions.create()
    assert sessions.find(first)
    assert not sessions.find(second)
    session.add_clip("b.mp4")
    with pytest.raises(TooMuch, match="2 sessions are open"):
        sessions.create()
    assert sessions.find(third)


def test_what_a_killed_server_left_is_swept(open_sessions, tmp_path):
    running = open_sessions()
    dead = tmp_path / "cleanplate-page-dead"
    dead.mkdir()
    (dead / "in-use").touch()
    (dead / "source").write_bytes(b"video")
    foreign = tmp_path / "cleanplate-page-foreign"
    foreign.mkdir()
    open_sessions()
    assert not dead.exists()
    assert running.folder.exists()
    assert foreign.exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OutputError, match="choose another `folder`"):
        Sessions(ServerSettings(folder=tmp_path / "absent"))


def test_secrets_are_not_kept(open_sessions):
    sessions = open_sessions()
    secret, _ = sessions.create()
    assert secret not in repr(vars(sessions))
    assert sessions.find(secret[:-1]) is None
    assert sessions.find(None) is None
    assert module._hash(secret) != secret
