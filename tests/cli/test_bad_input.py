"""Whatever is wrong: one line on stderr, the right exit code, nothing half-written."""

from __future__ import annotations

import hashlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tests.patience import PATIENCE, until

from cleanplate.video import open_reader

BOX = ("--box", "10,10,20,16", "--method", "flow")
START = "from cleanplate.cli import main; main()"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def source(make_clip) -> Path:
    return make_clip(frames=8, audio=["eng"])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def refused(run, out: Path) -> Callable[..., str]:
    """Run the command, which must fail tidily; returns its line."""

    def check(*arguments: object, code: int = 2, target: Path | None = None) -> str:
        outcome = run("remove", *arguments, "-o", target or out / "result.mp4")
        assert outcome.code == code, outcome.err
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1, outcome.err
        assert outcome.err.startswith("cleanplate: ")
        assert list(out.iterdir()) == []
        return outcome.err

    return check


def write_mask(path: Path, size: tuple[int, int] = (64, 48), value: int = 0) -> Path:
    pixels = np.full(size[::-1], value, np.uint8)
    if not value:
        pixels[10:26, 10:30] = 255
    assert cv2.imwrite(str(path), pixels)
    return path


def write_masks(folder: Path, count: int, size: tuple[int, int] = (64, 48)) -> Path:
    folder.mkdir()
    for index in range(count):
        write_mask(folder / f"{index}.png", size)
    return folder


@contextmanager
def kept(*paths: Path) -> Iterator[None]:
    """The files are the same afterwards, and no other is beside them."""

    def state() -> dict[Path, str]:
        folders = {path.parent for path in paths}
        files = [file for folder in folders for file in folder.iterdir() if file.is_file()]
        return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    before = state()
    yield
    assert state() == before


def test_a_missing_file(refused, tmp_path: Path) -> None:
    assert "absent.mp4' does not exist" in refused(tmp_path / "absent.mp4", *BOX)


def test_not_a_video(refused, tmp_path: Path) -> None:
    path = tmp_path / "letter.mp4"
    path.write_text("Dear Sir or Madam, " * 400)
    with kept(path):
        assert "is not a video" in refused(path, *BOX)
    path.write_bytes(b"")
    assert "is an empty file" in refused(path, *BOX)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("movflags", ["", "faststart"])
def test_a_truncated_video(refused, make_clip, share: float, movflags: str) -> None:
    path = make_clip(frames=40, audio=["eng"], movflags=movflags)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with kept(path):
        line = refused(path, *BOX)
    assert "cut short" in line or "damaged" in line


def test_a_video_that_is_damaged_in_the_middle(refused, make_clip) -> None:
    path = make_clip(frames=60, size=(160, 120), options={"bf": "0"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 5] = bytes(len(data) // 5)
    path.write_bytes(data)
    with kept(path):
        line = refused(path, *BOX, code=1)
    assert "damaged" in line


def test_no_video_stream(refused, tmp_path: Path) -> None:
    import av

    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        sound.sample_rate = 48000
        file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    assert "holds no video stream" in refused(path, *BOX)


def test_an_empty_folder(refused, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    assert "holds no images" in refused(folder, *BOX)


def test_images_of_several_sizes(refused, images) -> None:
    images(["1.png", "2.png"], size=(64, 48))
    folder = images(["3.png"], size=(60, 48))
    line = refused(folder, *BOX)
    assert "64x48" in line
    assert "60x48" in line


def test_a_mask_folder_of_another_length(refused, source: Path, tmp_path: Path) -> None:
    line = refused(source, "--mask", write_masks(tmp_path / "masks", 5))
    assert "5 masks" in line
    assert "8 frames" in line


@pytest.mark.parametrize("kind", ["image", "folder"])
def test_a_mask_of_another_size(refused, source: Path, tmp_path: Path, kind: str) -> None:
    if kind == "image":
        mask = write_mask(tmp_path / "mask.png", (60, 48))
    else:
        mask = write_masks(tmp_path / "masks", 8, (60, 48))
    line = refused(source, "--mask", mask)
    assert "60x48" in line
    assert "64x48" in line


def test_a_mask_video_that_is_too_short(refused, source: Path, make_clip) -> None:
    line = refused(source, "--mask", make_clip("mask.mp4", frames=3))
    assert "3 frames" in line
    assert "the video has 8" in line


def test_a_missing_mask(refused, source: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(source, "--mask", tmp_path / "absent.png")


def test_a_mask_that_covers_everything(refused, source: Path, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "mask.png", value=255)
    with kept(source):
        line = refused(source, "--mask", mask, "--method", "flow")
    assert "covers every pixel of every frame" in line
    assert "covers every pixel" in refused(source, "--box", "0,0,64,48", "--method", "flow")


def test_a_box_outside_the_frame(refused, source: Path) -> None:
    line = refused(source, "--box", "64,0,10,10")
    assert "outside the frame" in line
    assert "64x48" in line
    assert "video ends at" in refused(source, "--box", "0,0,9,9@30-40")


def test_an_empty_mask_is_a_plain_copy(run, source: Path, tmp_path: Path, out: Path) -> None:
    mask = tmp_path / "mask.png"
    assert cv2.imwrite(str(mask), np.zeros((48, 64), np.uint8))
    outcome = run("remove", source, "--mask", mask, "-o", out / "r.mkv", "--lossless")
    assert outcome.code == 0
    assert outcome.err == ""
    assert "copy" in outcome.out
    with open_reader(source) as one, open_reader(out / "r.mkv") as other:
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine.rgb, theirs.rgb)


def test_an_existing_output_is_kept(run, source: Path, out: Path) -> None:
    target = out / "result.mp4"
    target.write_text("mine")
    with kept(source, target):
        outcome = run("remove", source, *BOX, "-o", target)
    assert outcome.code == 2
    assert "use --overwrite" in outcome.err
    assert run("remove", source, *BOX, "-o", target, "--overwrite").code == 0
    assert target.stat().st_size > 1000
    assert [entry.name for entry in out.iterdir()] == ["result.mp4"]


def test_an_existing_output_survives_a_failure(run, source: Path, out: Path) -> None:
    target = out / "result.mp4"
    target.write_text("mine")
    with kept(source, target):
        outcome = run("remove", source, "--box", "0,0,64,48", "-o", target, "--overwrite")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_the_input_is_no_output(run, source: Path) -> None:
    with kept(source):
        outcome = run("remove", source, *BOX, "-o", source, "--overwrite")
    assert outcome.code == 2
    assert "would replace" in outcome.err


def test_a_folder_that_is_not_there(refused, source: Path, out: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(source, *BOX, target=tmp_path / "absent" / "r.mp4")
    (tmp_path / "file").write_text("")
    refused(source, *BOX, target=tmp_path / "file" / "r.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(refused, source: Path, out: Path) -> None:
    out.chmod(0o500)
    assert "may not be written to" in refused(source, *BOX)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")
def test_a_place_where_nobody_may_write(refused, source: Path) -> None:
    line = refused(source, *BOX, target=Path("/proc/result.mp4"))
    assert "cannot be written to" in line or "may not be written to" in line
    line = refused(source, *BOX, target=Path("/proc/result"))
    assert "cannot be written to" in line or "may not be written to" in line


def test_an_unknown_suffix(refused, source: Path, out: Path) -> None:
    assert "unknown suffix" in refused(source, *BOX, target=out / "result.xyz")


@contextmanager
def full_disk(free: int) -> Iterator[None]:
    """No file can grow beyond `free` bytes, as on a disk with that much room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["result.mp4", "result.mkv", "result"])
def test_a_full_disk(refused, make_clip, out: Path, name: str) -> None:
    path = make_clip(frames=10, size=(160, 120))
    with kept(path), full_disk(4000):
        line = refused(path, *BOX, "--crf", "0", "--no-journal", code=1, target=out / name)
    assert "could not be written" in line


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_checkpoint_with_executable_content(refused, source: Path, tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save({"netG": Evil(mark)}, path)
    for method in ("auto", "network"):
        line = refused(source, "--box", "1,1,9,9", "--model", path, "--method", method)
        assert str(path) in line
    path.write_bytes(pickle.dumps(Evil(mark)))
    refused(source, "--box", "1,1,9,9", "--model", path)
    assert not mark.exists()


def test_a_checkpoint_of_another_network(refused, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"netG": torch.nn.Linear(3, 4).state_dict()}, path)
    assert str(path) in refused(source, "--box", "1,1,9,9", "--model", path)
    path.write_text("not weights")
    assert str(path) in refused(source, "--box", "1,1,9,9", "--model", path)
    refused(source, "--box", "1,1,9,9", "--model", tmp_path / "absent.pth")


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until(there, lambda: process.poll() is None)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([signal.SIGINT] * 3, 130), ([signal.SIGTERM], 143)],
    ids=["Ctrl-C thrice", "SIGTERM"],
)
def test_stopping_leaves_nothing_behind(
    make_clip, out: Path, numbers: list[signal.Signals], code: int
) -> None:
    path = make_clip(frames=150)
    arguments = ["remove", str(path), *BOX, "-o", str(out / "result.mp4")]
    with subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(lambda: any(out.iterdir()), process)
        for number in numbers:
            time.sleep(0.1)
            process.send_signal(number)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, stderr
    assert stdout == ""
    assert stderr.count("\n") == 1
    assert list(out.iterdir()) == []
    assert path.exists()


def test_a_failed_call_leaves_no_thread(source: Path, out: Path) -> None:
    import threading

    import cleanplate

    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cleanplate.remove(
            source, out / "r.mp4", box="9,9,9,9", method="flow", journal=False, progress=stop
        )
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("cleanplate")]
    assert list(out.iterdir()) == []


ADDRESSES = ["https://example.com/v.mp4", "rtsp://host/cam", "file:///tmp/v.mp4"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_no_local_file(refused, run, source: Path, out: Path, address: str) -> None:
    says = f"'{address}' is an address, but only local files are read and written"
    assert says in refused(address, *BOX)
    assert f"mask {says}" in refused(source, "--mask", address)
    assert f"output {says}" in refused(source, *BOX, target=Path(address))
    assert says in refused(source, *BOX[:2], "--method", "network", "--model", address)


def test_streams_are_neither_read_nor_written(
    refused, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    assert "output '-' stands for a stream" in refused(source, *BOX, target=Path("-"))
    assert "'-' stands for a stream" in refused("-", *BOX)


@pytest.mark.parametrize("options", [("--box", "10,10,20,16"), ("--track", "10,10,20,16")])
def test_no_mask_is_replaced(run, source: Path, out: Path, options: tuple[str, ...]) -> None:
    masks = write_masks(out / "masks", 8)
    again = out / ".." / "out" / "masks"
    with kept(masks / "0.png", source):
        line = run(
            "remove", source, *options, "--mask", masks, "-o", again, "--overwrite"
        ).err  # fmt: skip
    assert f"output '{again}' would replace '{masks}', which is read" in line


@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("--correct", ("mask", "track", "--track", "10,10,20,16")),
        ("--sam", ("mask", "track", "--track", "10,10,20,16")),
    ],
)
def test_what_a_search_reads_is_not_replaced(run, source, out: Path, option, command) -> None:
    given = write_masks(out / "given", 2)
    with kept(given / "0.png", source):
        outcome = run(*command, source, option, given, "-o", given, "--overwrite")
        assert (outcome.code, "would replace" in outcome.err) == (2, True), outcome.err
        outcome = run(
            *command, source, option, given, "-o", out / "m", "--preview", given / "p.png"
        )
        assert (outcome.code, "would become one of the images" in outcome.err) == (2, True)


def test_an_empty_path_is_not_the_folder_one_works_in(
    refused, run, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    says = "the path is empty; name a file or a folder"
    assert says in refused("", *BOX)
    assert says in refused(source, "--mask", "")
    assert says in refused(source, *BOX, "--mask-out", "")
    outcome = run("remove", source, *BOX, "-o", "")
    assert (outcome.code, says in outcome.err) == (2, True)
