"""Where results go: refused before the work, or put in place without replacing anything else."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanplate.errors import OccupiedError, OutputError
from cleanplate.storage import atomic as files
from cleanplate.storage import atomic as lock
from cleanplate.video.destination import Destination, name_output


@pytest.mark.parametrize("name", ["é" * 200 + ".mp4", "a" * 256, "a\0b.mp4"])
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="cannot be used"):
        Destination(tmp_path / name, tmp_path / "source.mp4", overwrite=False)


def test_a_source_whose_name_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "r.mp4").touch()
    with pytest.raises(OutputError, match="use `overwrite=True`"):
        Destination(tmp_path / "r.mp4", Path("é" * 300), overwrite=False)


def test_a_hidden_folder_that_leads_elsewhere_is_not_used(tmp_path: Path) -> None:
    """In a folder that many write to, anybody may have put a link there."""
    (tmp_path / "precious" / "journal").mkdir(parents=True)
    (tmp_path / ".r.mp4.cleanplate").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="is a link; remove it"):
        Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=False)
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["journal"]


def test_a_hidden_folder_is_checked_again_when_it_is_claimed(tmp_path: Path) -> None:
    """Between the check and the work lies a search of hours."""
    place = Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=False)
    (tmp_path / "precious").mkdir()
    place.folder.symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="is a link; remove it"):
        place.claim()
    assert list((tmp_path / "precious").iterdir()) == []


@pytest.mark.parametrize("name", ["lock", "partial.mp4", "old", "journal"])
def test_links_in_a_hidden_folder_are_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "letter").write_text("dear")
    hidden = tmp_path / ".r.mp4.cleanplate"
    hidden.mkdir()
    (hidden / name).symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match=f"holds the link '{name}', which no run made"):
        Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=False)
    assert (tmp_path / "precious" / "letter").read_text() == "dear"


@pytest.mark.parametrize("name", ["old photographs", "partial", "notes.txt", "finished.mp4"])
def test_what_no_run_made_is_not_cleared(tmp_path: Path, name: str) -> None:
    hidden = tmp_path / ".r.mp4.cleanplate"
    hidden.mkdir()
    (hidden / name).write_text("mine")
    if name == "partial":  # of a folder: a run may have made it
        Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=False)
        return
    with pytest.raises(OutputError, match=f"holds '{name}', which no run made; move that"):
        Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=False)


def test_a_folder_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".r.mp4.cleanplate").mkdir()
    monkeypatch.setattr(lock.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OutputError, match="is another user's; remove it"):
        Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=False).claim()


def claim(path: Path, *, overwrite: bool = False) -> Destination:
    """A destination with a finished result, one file or a folder with one."""
    place = Destination(path, path.parent / "source.mp4", overwrite=overwrite)
    place.claim()
    (place.folder / "journal").mkdir(exist_ok=True)
    if place.is_folder:
        place.partial.mkdir()
    (place.partial / "0.png" if place.is_folder else place.partial).write_text("new")
    return place


def read(path: Path) -> str:
    return (path / "0.png" if path.is_dir() else path).read_text()


def fill(path: Path, text: str) -> None:
    """Make a file, or a folder with an image, at `path`."""
    if not path.suffix:
        path.mkdir()
    (path if path.suffix else path / "0.png").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


both = pytest.mark.parametrize("name", ["r.mp4", "r"])


@both
def test_a_result_takes_its_place(tmp_path: Path, name: str) -> None:
    claim(tmp_path / name).commit()
    assert (read(tmp_path / name), names(tmp_path)) == ("new", [name])
    claim(tmp_path / name, overwrite=True).commit()
    assert names(tmp_path) == [name]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    claim(tmp_path / "r").commit()
    assert (read(tmp_path / "r"), names(tmp_path)) == ("new", ["r"])


@both
def test_what_appeared_during_the_run_is_not_replaced(tmp_path: Path, name: str) -> None:
    place = claim(tmp_path / name)
    fill(tmp_path / name, "theirs")
    other = name.replace("r", "r-1")
    with pytest.raises(OccupiedError, match=f"the finished result is '.*/{other}'"):
        place.commit()
    assert (read(tmp_path / name), read(tmp_path / other)) == ("theirs", "new")
    assert names(tmp_path) == sorted([name, other])


@both
def test_what_appears_in_the_very_last_moment_is_not_replaced(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = claim(tmp_path / name)

    def check_and_lose(*arguments: object, **options: object) -> Path:
        fill(tmp_path / name, "theirs")
        return place._place

    monkeypatch.setattr("cleanplate.video.destination.find_place", check_and_lose)
    place.is_folder = False  # the images were looked at already
    with pytest.raises(OccupiedError):
        place.commit()
    assert read(tmp_path / name) == "theirs"
    assert read(tmp_path / name.replace("r", "r-1")) == "new"


@pytest.mark.parametrize("appears", ["theirs", None])
def test_without_hard_links_a_check_has_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appears: str | None
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", refuse)
    place = claim(tmp_path / "r.mp4")
    if appears is None:
        place.commit()
        assert (read(tmp_path / "r.mp4"), names(tmp_path)) == ("new", ["r.mp4"])
        return
    fill(tmp_path / "r.mp4", appears)
    with pytest.raises(OccupiedError, match=r"r-1\.mp4"):
        place.commit()
    assert read(tmp_path / "r.mp4") == "theirs"


def test_a_folder_that_got_other_things_during_the_run_is_kept(tmp_path: Path) -> None:
    fill(tmp_path / "r", "old")
    place = claim(tmp_path / "r", overwrite=True)
    (tmp_path / "r" / "diary.txt").write_text("dear")
    with pytest.raises(OccupiedError, match=r"holds files other .*the finished result is '.*r-1'"):
        place.commit()
    assert (read(tmp_path / "r"), read(tmp_path / "r-1")) == ("old", "new")


def test_the_other_name_is_a_free_one(tmp_path: Path) -> None:
    place = claim(tmp_path / "r.mp4")
    for taken in ("r.mp4", "r-1.mp4"):
        fill(tmp_path / taken, "theirs")
    (tmp_path / "r-2.mp4").symlink_to("nowhere")
    with pytest.raises(OccupiedError, match=r"the finished result is '.*/r-3\.mp4'"):
        place.commit()
    assert names(tmp_path) == ["r-1.mp4", "r-2.mp4", "r-3.mp4", "r.mp4"]


@both
def test_a_place_that_refuses_the_result_loses_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an immutable file, or a file system mounted there during the run, does."""
    fill(tmp_path / name, "old")
    place = claim(tmp_path / name, overwrite=True)
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / name and Path(source) == place.partial:
            raise OSError(16, "Device or resource busy")
        replace(source, target)

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OccupiedError, match="Device or resource busy"):
        place.commit()
    assert read(tmp_path / name) == "old"
    assert read(tmp_path / name.replace("r", "r-1")) == "new"
    assert len(names(tmp_path)) == 2


def test_what_was_there_before_is_kept_even_when_it_cannot_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "r", "old")
    place = claim(tmp_path / "r", overwrite=True)
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / "r":
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OccupiedError, match="Input/output error"):
        place.commit()
    monkeypatch.undo()
    assert (read(place.folder / "old"), read(tmp_path / "r-1")) == ("old", "new")
    claim(tmp_path / "r", overwrite=True).discard()
    assert read(tmp_path / "r") == "old"


def test_a_folder_that_takes_no_new_names_keeps_the_result_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = claim(tmp_path / "r.mp4")
    link = os.link

    def refuse(source: Path, target: Path, **options: bool) -> None:
        if Path(target).parent == tmp_path:
            raise OSError(28, "No space left on device")
        link(source, target, **options)

    replace = os.replace
    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr("os.replace", lambda *pair: refuse(*pair) or replace(*pair))
    with pytest.raises(OccupiedError, match=r"No space left.*finished-1\.mp4'"):
        place.commit()
    assert (place.folder / "finished-1.mp4").read_text() == "new"
    monkeypatch.undo()
    again = claim(tmp_path / "r.mp4")
    assert (place.folder / "finished-1.mp4").read_text() == "new"
    again.discard()


def _pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a named pipe"


def _socket(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    return "a socket"


def _device(path: Path) -> str:
    path.symlink_to("/dev/null")
    return "a device"


def _linked_pipe(path: Path) -> str:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")
    return "a named pipe"


@both
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("make", [_pipe, _socket, _device, _linked_pipe])
def test_what_is_no_file_is_not_replaced(
    tmp_path: Path, name: str, overwrite: bool, make: Callable[[Path], str]
) -> None:
    kind = make(tmp_path / name)
    before = names(tmp_path)
    with pytest.raises(OutputError, match=f"exists and is {kind}; choose another name"):
        Destination(tmp_path / name, tmp_path / "source.mp4", overwrite=overwrite)
    assert names(tmp_path) == before


@both
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path, name: str) -> None:
    real = tmp_path / "shelf" / f"real{Path(name).suffix}"
    real.parent.mkdir()
    fill(real, "old")
    (tmp_path / name).symlink_to(real)
    with pytest.raises(OutputError, match="exists; use `overwrite=True`"):
        Destination(tmp_path / name, tmp_path / "source.mp4", overwrite=False)
    place = claim(tmp_path / name, overwrite=True)
    assert place.folder.parent == real.parent
    place.commit()
    assert (tmp_path / name).readlink() == real
    assert (read(real), names(real.parent), names(tmp_path)) == (
        "new",
        [real.name],
        [name, "shelf"],
    )


@both
def test_a_link_that_leads_elsewhere_at_the_end_is_not_followed(tmp_path: Path, name: str) -> None:
    for shelf in ("a", "b"):
        (tmp_path / shelf).mkdir()
        fill(tmp_path / shelf / name, shelf)
    (tmp_path / name).symlink_to(tmp_path / "a" / name)
    place = claim(tmp_path / name, overwrite=True)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(tmp_path / "b" / name)
    with pytest.raises(OccupiedError, match="leads elsewhere now"):
        place.commit()
    assert (read(tmp_path / "a" / name), read(tmp_path / "b" / name)) == ("a", "b")


@both
@pytest.mark.parametrize("target", ["nowhere", "absent/r.mp4"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / name).symlink_to(target)
    with pytest.raises(OutputError, match=f"is a link to '.*/{target}', which does not exist"):
        Destination(tmp_path / name, tmp_path / "source.mp4", overwrite=True)
    assert names(tmp_path) == [name]


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.mp4").symlink_to(tmp_path / "s.mp4")
    (tmp_path / "s.mp4").symlink_to(tmp_path / "r.mp4")
    with pytest.raises(OutputError, match="is a link to"):
        Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=True)


@pytest.mark.parametrize("output", [".", "..", "../e", "../../b/e"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_the_folder_one_works_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, overwrite: bool
) -> None:
    """It would be replaced by another one, and the shell be left in the removed one."""
    (tmp_path / "b" / "e").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "b" / "e")
    with pytest.raises(OutputError, match="is the folder that this runs in"):
        Destination(Path(output), tmp_path / "source.mp4", overwrite=overwrite)
    assert (names(tmp_path), names(tmp_path / "b")) == (["b"], ["e"])


@pytest.mark.parametrize("output", ["e/../e", "./e", "f/../e", "e/."])
def test_a_name_with_steps_back_is_taken_as_the_system_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    """`f` is a link to a folder elsewhere, so `f/..` is not where `f` lies."""
    (tmp_path / "far" / "f").mkdir(parents=True)
    (tmp_path / "f").symlink_to(tmp_path / "far" / "f")
    home = tmp_path / "far" if output.startswith("f") else tmp_path
    fill(home / "e", "old")
    monkeypatch.chdir(tmp_path)
    place = Destination(Path(output), tmp_path / "source.mp4", overwrite=True)
    place.claim()
    place.partial.mkdir()
    (place.partial / "0.png").write_text("new")
    place.commit()
    assert read(home / "e") == "new"
    assert not [*tmp_path.glob(".*"), *home.glob(".*")]


@both
def test_what_may_not_be_written_to_is_not_replaced(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write-protected or immutable; root may write to the former, so the answer is given here."""
    fill(tmp_path / name, "old")
    may = os.access
    monkeypatch.setattr(
        "os.access", lambda path, mode: Path(path) != tmp_path / name and may(path, mode)
    )
    with pytest.raises(OutputError, match="is write-protected; choose another name"):
        Destination(tmp_path / name, tmp_path / "source.mp4", overwrite=True)


@pytest.mark.parametrize(
    "name", ["-", "https://example.com/r.mp4", "s3://b/r", "file:///tmp/r.mkv"]
)
def test_streams_and_addresses_are_no_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=f"output '{name}'.* only .*files are read and written"):
        Destination(Path(name), tmp_path / "source.mp4", overwrite=False)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("clip.mp4", "clip-clean.mp4"),
        ("in/CLIP.MOV", "in/CLIP-clean.MOV"),
        ("a.b.webm", "a.b-clean.webm"),
        ("tape.avi", "tape-clean.mkv"),
        ("stream", "stream-clean.mkv"),
        ("photo.jpg", "photo-clean.jpg"),
        ("scan.tiff", "scan-clean.tiff"),
        ("scan.bmp", "scan-clean.png"),
        ("dance.gif", "dance-clean.mp4"),
    ],
)
def test_an_output_without_a_name_is_next_to_its_source(source: str, output: str) -> None:
    assert name_output(source) == Path(output)


@pytest.mark.parametrize(
    ("source", "codec", "output"),
    [
        ("clip.mp4", "prores", "clip-clean.mov"),
        ("clip.MKV", "prores-4444", "clip-clean.MKV"),
        ("clip.mov", "ffv1", "clip-clean.mkv"),
        ("clip.avi", "av1", "clip-clean.mkv"),
        ("clip.mp4", "tiff", "clip-clean"),
        ("photo.jpg", "tiff", "photo-clean.tif"),
        ("photo.webp", "png", "photo-clean.png"),
        ("in/shot_%04d.png", "auto", "in-clean"),
        ("in/shot_%04d.png", "dnxhr", "in-clean.mov"),
    ],
)
def test_an_output_without_a_name_fits_its_codec(source: str, codec: str, output: str) -> None:
    assert name_output(source, codec=codec) == Path(output)


def test_a_folder_without_a_name_for_its_output_is_next_to_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = tmp_path / "shot.v2"
    frames.mkdir()
    monkeypatch.chdir(frames)
    for written in ("../shot.v2/", ".", str(frames)):
        assert Path(os.path.abspath(name_output(written))) == tmp_path / "shot-v2-clean"
