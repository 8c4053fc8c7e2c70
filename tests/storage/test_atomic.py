"""Files that are complete or not there, and never take the place of something else."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from cleanplate.errors import OccupiedError, OutputError
from cleanplate.storage import atomic as files
from cleanplate.storage.atomic import (
    LockedError,
    build_file,
    build_folder,
    find_place,
    is_at,
    is_mounted,
    lock_file,
    write_file,
)
from cleanplate.storage.paths import name_kind


class Stop(BaseException):
    pass


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_there_when_it_is_complete(tmp_path: Path) -> None:
    with build_file(tmp_path / "a.txt") as partial:
        partial.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert (names(tmp_path), (tmp_path / "a.txt").read_text()) == (["a.txt"], "new")


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, OSError])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with build_file(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise error

    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error):
        fail()
    assert (names(tmp_path), (tmp_path / "a.txt").read_text()) == (["a.txt"], "old")


def test_a_link_in_the_way_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f".a.txt.{os.getpid()}.part").symlink_to(tmp_path / "precious")
    with build_file(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert names(tmp_path) == ["a.txt", "precious"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "real").write_text("old")
    (tmp_path / "a.txt").symlink_to("shelf/real")
    with build_file(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "shelf" / "real").read_text() == "new"
    assert (names(tmp_path), names(tmp_path / "shelf")) == (["a.txt", "shelf"], ["real"])


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").symlink_to("nowhere")
    for name, says in (("pipe", "a named pipe"), ("folder", "a folder"), ("gone", "is a link to")):
        with pytest.raises(OutputError, match=says), build_file(tmp_path / name):
            pass
    with pytest.raises(OutputError, match="is a device"), build_file("/dev/null"):
        pass
    assert names(tmp_path) == ["folder", "gone", "pipe"]


def test_without_leave_nothing_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def lose() -> None:
        with build_file(path, overwrite=False) as partial:
            partial.write_text("new")
            path.write_text("theirs")

    with pytest.raises(OccupiedError, match=r"the new file is '.*a-1\.txt'"):
        lose()
    assert (path.read_text(), (tmp_path / "a-1.txt").read_text()) == ("theirs", "new")
    with pytest.raises(OutputError, match="exists"):
        find_place(path, "a file", overwrite=False)
    assert names(tmp_path) == ["a-1.txt", "a.txt"]


def test_a_long_name_has_room_for_the_unfinished_file(tmp_path: Path) -> None:
    with build_file(tmp_path / ("é" * 125)) as partial:
        partial.write_text("new")
    assert names(tmp_path) == ["é" * 125]


def test_kinds_have_names(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    found = [name_kind((tmp_path / name).stat()) for name in ("", "file", "pipe")]
    assert found == ["a folder", "a file", "a named pipe"]
    assert name_kind(os.stat(os.devnull)) == "a device"


def test_bind_mounts_within_a_file_system_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "my videos"
    place.mkdir()
    assert not is_mounted(place)
    escaped = str(place).replace(" ", "\\040")
    line = f"61 25 8:1 /v {escaped} rw - ext4 /dev/sda1 rw\n"
    monkeypatch.setattr(files.Path, "read_text", lambda *_, **__: line)
    assert is_mounted(place)


def test_a_file_in_place_of_the_folder_is_called_a_file(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"clip")
    with pytest.raises(OutputError, match=r"clip\.mp4' is a file, not a folder"):
        find_place(tmp_path / "clip.mp4" / "out.mp4", "a regular file", overwrite=True)
    with pytest.raises(OutputError, match="does not exist; create it first"):
        find_place(tmp_path / "none" / "out.mp4", "a regular file", overwrite=True)


def test_a_lock_is_given_once_and_free_when_its_file_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as one, (tmp_path / "lock").open("w") as other:
        assert lock_file(one.fileno())
        with pytest.raises(LockedError):
            lock_file(other.fileno())
        one.close()
        assert lock_file(other.fileno())


def test_where_files_cannot_be_locked_nobody_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(errno.ENOLCK, "no locks")))
    with (tmp_path / "lock").open("w") as file:
        assert not lock_file(file.fileno())
        assert is_at(file.fileno(), tmp_path / "lock")


def test_a_lock_file_that_was_replaced_is_another(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as file:
        path.unlink()
        assert not is_at(file.fileno(), path)
        path.touch()
        assert not is_at(file.fileno(), path)


@pytest.mark.parametrize("durable", [True, False])
def test_data_is_written_whole_and_flushed_where_it_shall_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    flushed = Mock()
    monkeypatch.setattr(files, "flush", flushed)
    (tmp_path / "a.png").write_text("old")
    write_file(tmp_path / "a.png", b"new", durable=durable)
    assert (names(tmp_path), (tmp_path / "a.png").read_text()) == (["a.png"], "new")
    assert flushed.called == durable


def test_a_disk_that_refuses_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_text("old")
    monkeypatch.setattr(files, "flush", Mock(side_effect=OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        write_file(tmp_path / "a.png", b"new")
    assert (names(tmp_path), (tmp_path / "a.png").read_text()) == (["a.png"], "old")


def test_a_folder_is_there_when_it_is_complete(tmp_path: Path) -> None:
    with build_folder(tmp_path / "masks") as partial:
        (partial / "0.png").write_text("new")
        assert not (tmp_path / "masks").exists()
    assert (names(tmp_path), names(tmp_path / "masks")) == (["masks"], ["0.png"])


def test_a_folder_that_fails_or_is_in_use_leaves_nothing_new(tmp_path: Path) -> None:
    def fill(error: type[BaseException] | None = None) -> None:
        with build_folder(tmp_path / "masks") as partial:
            (partial / "0.png").write_text("new")
            if error is not None:
                raise error

    with pytest.raises(Stop):
        fill(Stop)
    assert names(tmp_path) == []
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1.png").write_text("old")
    with pytest.raises(OSError, match="not empty"):
        fill()
    assert (names(tmp_path), names(tmp_path / "masks")) == (["masks"], ["1.png"])
