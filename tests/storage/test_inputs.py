"""Whatever a path leads to, nothing that names it hangs, and nothing reads without end."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cleanplate.batch import Ledger, read_jobs
from cleanplate.errors import CleanplateError
from cleanplate.masks import open_mask
from cleanplate.masks.files import read_corrections
from cleanplate.masks.tracking import load_sam2
from cleanplate.network import checksum, info, load
from cleanplate.network.weights import load_tracking, unpickle_tensors
from cleanplate.removal.journal import holds_job, read_span
from cleanplate.research.data.cache import build_cache, open_cache
from cleanplate.research.data.clips import ZipClip, open_clips
from cleanplate.research.evaluation.run import read_tensors
from cleanplate.research.evaluation.scoring import Ledger as Results
from cleanplate.research.training.ablation import read_plan
from cleanplate.storage import paths as inputs
from cleanplate.video import open_reader, probe
from cleanplate.video.images import list_images, measure_image, read_image


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """A read that blocks ends the test, and not the whole suite."""

    def stop(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """`place(kind, name)` puts something of that kind at `name` in an empty folder."""
    folder = tmp_path / "odd"
    folder.mkdir()
    monkeypatch.chdir(folder)  # the names of sockets are short

    def make(kind: str, name: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "link to a pipe":
            os.mkfifo(folder / "pipe")
            path.symlink_to(folder / "pipe")
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as plug:
                plug.bind(os.path.relpath(path))
        elif kind == "endless file":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        return path

    return make


def read_masks(path: Path) -> None:
    open_mask(path).prepare(probe(path.parent.parent / "source.mp4"))


def enter(path: Path) -> None:
    with Ledger(path):
        pass


FILES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a video": ("a.mp4", probe),
    "a video that is read": ("a.mp4", open_reader),
    "an image": ("a.png", read_image),
    "the size of an image": ("a.png", measure_image),
    "a mask image": ("a.png", read_masks),
    "a mask video": ("a.mkv", read_masks),
    "a model": ("a.safetensors", load),
    "a model's description": ("a.safetensors", info),
    "a checksum": ("a.safetensors", checksum),
    "a tracking network": ("a.safetensors", load_tracking),
    "a released model": ("a.pth", unpickle_tensors),
    "a metric's network": ("a.pt", read_tensors),
    "a list of jobs": ("a.jsonl", read_jobs),
    "a batch's journal": ("a.journal", enter),
    "a zip": ("a.zip", lambda path: len(ZipClip(path))),
    "ablations": ("a.toml", lambda path: read_plan(path, "small")),
    "a cache's index": ("index.json", lambda path: open_cache(path.parent)),
}
KINDS = ("pipe", "link to a pipe", "device", "folder", "socket")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", FILES)
def test_only_regular_files_are_opened(what: str, kind: str, place, make_clip) -> None:
    name, read = FILES[what]
    if read is read_masks:
        make_clip("source.mp4", frames=2)
    path = place(kind, name)
    if kind == "folder" and read in (probe, open_reader, read_masks):
        return  # a folder of images, or none
    with pytest.raises(CleanplateError) as caught:
        read(path)
    said = {"link to a pipe": "pipe"}.get(kind, kind)
    assert said in str(caught.value), "it says what is there"
    assert str(caught.value).count("regular file") == 1


# Of the others no more is read than is asked for.
READ_WHOLE = set(FILES) - {
    "a video", "a video that is read", "a mask video", "the size of an image", "a zip"
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(READ_WHOLE))
def test_no_file_is_read_without_end(what: str, place, make_clip) -> None:
    name, read = FILES[what]
    if read is read_masks:
        make_clip("source.mp4", frames=2)
    with pytest.raises(CleanplateError, match=r"1\.1 TB large; at most|no ledger|no journal"):
        read(place("endless file", name))


@pytest.mark.parametrize("kind", [*KINDS, "endless file"])
def test_what_a_run_kept_is_passed_over_when_it_is_no_file(kind: str, place) -> None:
    assert read_span(place(kind, "000000000.span")) is None
    folder = place("plain folder", "journal/x").parent
    if kind == "device":
        (folder / "job.json").symlink_to("/dev/zero")
    else:
        os.mkfifo(folder / "job.json")
    assert not holds_job(folder, {})


@pytest.mark.parametrize("kind", KINDS)
def test_other_things_in_a_folder_of_images_are_no_images(kind: str, place, images) -> None:
    folder = images()
    odd = place(kind, "5.png")
    odd.rename(folder / "5.png") if kind != "socket" else os.link(odd, folder / "5.png")
    assert [path.name for path in list_images(folder)] == ["1.png", "2.png", "10.png"]


def test_corrections_are_files(place, images, make_clip) -> None:
    made = probe(make_clip(size=(20, 16), frames=3))
    os.mkfifo(images(("0.png",)) / "1.png")
    assert list(read_corrections(images(("0.png",)), made)) == [0]


def test_a_split_that_is_a_pipe_is_no_split(images, tmp_path) -> None:
    root = tmp_path / "clips"
    root.mkdir()
    images(folder="clips/a")
    os.mkfifo(root / "train.json")
    with pytest.raises(CleanplateError, match="no split 'train'"):
        open_clips(root, "train")


def test_a_cache_whose_frames_are_a_pipe_is_refused(tmp_path, images) -> None:
    from cleanplate.research.data.clips import FolderClip

    folder = tmp_path / "cache"
    build_cache([FolderClip(images())], folder, short_side=16)
    (folder / "frames.u8").unlink()
    os.mkfifo(folder / "frames.u8")
    with pytest.raises(CleanplateError, match="named pipe"):
        open_cache(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "other.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "endless file"])
def test_transformers_is_given_files_only(name: str, kind: str, place) -> None:
    path = place(kind, name)
    if name != "config.json":
        (path.parent / "config.json").write_text("{}")
    with pytest.raises(CleanplateError, match=r"regular file|at most|no config\.json"):
        load_sam2(path.parent)


@pytest.mark.parametrize("kind", ["device", "endless file"])
def test_a_ledger_reads_no_more_than_it_writes(kind: str, place) -> None:
    path = place("plain folder", "run/x").parent / "settings.json"
    place(kind, "odd").rename(path)
    with pytest.raises(CleanplateError, match=r"other files|at most"):
        Results(path.parent, resume=True).settle({})


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert inputs.read_file(path, 5) == b"12345"
    with pytest.raises(OSError, match="at most") as caught:
        inputs.read_file(path, 4)
    assert caught.value.filename == str(path)
    for absent in (tmp_path / "b", tmp_path / "a" / "b", "a\0b", "a\ud800"):
        with pytest.raises(OSError):
            inputs.read_file(absent, 5)


def test_a_pipe_that_takes_a_file_s_place_is_refused(tmp_path: Path, monkeypatch) -> None:
    """What was opened counts, not what was looked at before."""
    (tmp_path / "a").touch()
    os.mkfifo(tmp_path / "pipe")
    plain = os.stat(tmp_path / "a")
    monkeypatch.setattr(inputs.os, "stat", lambda path: plain)
    with pytest.raises(OSError, match="named pipe"):
        inputs.open_file(tmp_path / "pipe")


def test_a_file_that_grows_is_refused(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    monkeypatch.setattr(inputs, "_check_size", lambda file, limit: 3)
    with pytest.raises(OSError, match="grows"):
        inputs.read_file(path, 9)


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_newline_ends_a_line(end: str) -> None:
    text = json.dumps({"a": f"1{end}2"}, ensure_ascii=False)
    assert inputs.split_lines(f"{text}\r\n{text}\n") == [text, text, ""]


@pytest.mark.parametrize("text", ["[" * 99_999, '{"a":' * 99_999, "[" * 99_999 + "]" * 99_999])
def test_values_nested_too_deeply_are_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting"):
        inputs.parse_json(text)
    assert inputs.parse_json("[[1]]") == [[1]]
