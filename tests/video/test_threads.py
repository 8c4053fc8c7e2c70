"""Threads beside the caller end with what they belong to, also after Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.patience import PATIENCE

from cleanplate import remove
from cleanplate.video import open_writer, probe
from cleanplate.video.threads import Aborted, ReadAhead, Worker, _Thread
from cleanplate.video.video_file import VideoFile

BOX = "8,8,20,16"

posix = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")


def ours() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("cleanplate")]


def interrupt(when: threading.Event) -> threading.Event:
    """Press Ctrl-C after the event `when`; returns an event that follows."""
    main, pressed = threading.main_thread().ident, threading.Event()
    assert main is not None

    def press() -> None:
        assert when.wait(PATIENCE)
        time.sleep(0.1)  # the caller is likely inside its wait then, and may be anywhere
        signal.pthread_kill(main, signal.SIGINT)
        pressed.set()

    threading.Thread(target=press, daemon=True).start()
    return pressed


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as somebody waits for a thread to end."""
    event, wait = threading.Event(), _Thread.wait

    def note(thread: _Thread, timeout: float | None = None) -> None:
        event.set()
        wait(thread, timeout)

    monkeypatch.setattr(_Thread, "wait", note)
    return event


@posix
def test_an_interrupted_wait_can_be_repeated(waits: threading.Event) -> None:
    release, done = threading.Event(), threading.Event()

    def consume(items: Iterator[int]) -> None:
        next(items)
        assert release.wait(PATIENCE)
        with suppress(Aborted):
            list(items)
        done.set()

    worker = Worker(consume)
    worker.send(1)
    interrupt(waits)
    with pytest.raises(KeyboardInterrupt):
        worker.finish()
    assert ours() == ["cleanplate-write"]
    threading.Timer(0.1, release.set).start()
    worker.abort()
    assert done.is_set()
    assert not ours()


@posix
def test_a_reader_ends_when_its_close_is_repeated(waits: threading.Event) -> None:
    release, done = threading.Event(), threading.Event()

    def make() -> Iterator[int]:
        yield 0
        assert release.wait(PATIENCE)
        done.set()

    ahead = ReadAhead(make)
    assert next(ahead) == 0
    interrupt(waits)
    with pytest.raises(KeyboardInterrupt):
        ahead.close()
    assert ours() == ["cleanplate-read"]
    threading.Timer(0.1, release.set).start()
    ahead.close()
    assert done.is_set()
    assert not ours()


def test_a_writer_that_was_not_used_has_no_thread(
    make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    info = probe(make_clip(frames=2))
    writer = open_writer(tmp_path / "out.mp4", info)
    assert not ours()
    with pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_removal_that_a_callback_interrupts_leaves_no_thread(
    make_clip: Callable[..., Path], tmp_path: Path, stop: int
) -> None:
    def progress(done: int, total: int | None) -> None:
        if done == stop:
            raise KeyboardInterrupt

    source = make_clip(frames=6)
    with pytest.raises(KeyboardInterrupt):
        remove(source, tmp_path / "out.mp4", box=BOX, method="flow", progress=progress)
    assert not ours()


@posix
def test_a_removal_that_is_interrupted_while_its_file_is_finished_waits_for_that(
    make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing a file that a thread still writes crashes the process."""
    began, ended = threading.Event(), threading.Event()
    pressed = interrupt(began)
    finish, discard = VideoFile.finish, VideoFile.discard

    def finish_slowly(sink: VideoFile) -> None:
        began.set()
        assert pressed.wait(PATIENCE)
        time.sleep(0.2)  # time for the caller to go wrong
        finish(sink)
        ended.set()

    def discard_later(sink: VideoFile) -> None:
        assert ended.is_set()
        discard(sink)

    monkeypatch.setattr(VideoFile, "finish", finish_slowly)
    monkeypatch.setattr(VideoFile, "discard", discard_later)
    with pytest.raises(KeyboardInterrupt):
        remove(make_clip(frames=2), tmp_path / "out.mp4", box=BOX, method="flow")
    assert not ours()
    assert not (tmp_path / "out.mp4").exists()


def test_threads_have_the_callers_error_state_of_numpy() -> None:
    state = {"over": "raise", "under": "raise", "divide": "raise", "invalid": "raise"}

    def make() -> Iterator[dict[str, str]]:
        yield dict(np.geterr())

    with np.errstate(all="raise"):
        ahead = ReadAhead(make)
        assert next(ahead) == state
        ahead.close()
