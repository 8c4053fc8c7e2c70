"""`cleanplate mask …`, and `remove` with what these commands find."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cleanplate.masks import read_marked
from cleanplate.video import open_reader, probe

pytestmark = pytest.mark.usefixtures("one_thread")

FLOW = ("--method", "flow", "--crf", "10")


@pytest.fixture
def save(tmp_path: Path):
    """Frames `(t, h, w, 3)` as a video."""

    def write(frames: np.ndarray, name: str = "in.mkv") -> Path:
        with av.open(str(tmp_path / name), "w") as file:
            stream = file.add_stream("libx264", rate=25, options={"crf": "12"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode(None))
        return tmp_path / name

    return write


@pytest.fixture
def scene(pan) -> np.ndarray:
    return (pan(frames=20, size=(320, 180), step=(2, 0)) * 0.8).astype(np.uint8)


@pytest.fixture
def captioned(save, scene) -> Path:
    """A caption in frames 0 to 14."""
    from PIL import Image, ImageDraw, ImageFont

    frames = scene.copy()
    for index in range(15):
        image = Image.fromarray(frames[index])
        ImageDraw.Draw(image).text(
            (160, 150), "Where is everybody?", (255, 255, 255), ImageFont.load_default(18),
            anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0),
        )  # fmt: skip
        frames[index] = np.asarray(image)
    return save(frames)


@pytest.fixture
def marked(save, scene) -> Path:
    """A white ring with a bar in it, in all frames."""
    frames = scene.copy()
    for frame in frames:
        cv2.circle(frame, (280, 40), 16, (255, 255, 255), 5)
        cv2.rectangle(frame, (276, 32), (283, 48), (200, 20, 20), -1)
    return save(frames)


def count_marked(folder: Path) -> list[int]:
    return [int(read_marked(file).sum()) for file in sorted(folder.glob("*.png"))]


def test_text(run, captioned, tmp_path):
    outcome = run(
        "mask", "text", captioned, "-o", tmp_path / "m", "--preview", tmp_path / "p.mp4", "--json"
    )
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert (report["frames"], report["frames_with_hole"]) == (20, 15)
    assert [one["start"] for one in report["captions"]] == [0]
    sizes = count_marked(tmp_path / "m")
    assert all(sizes[:15])
    assert not any(sizes[15:])
    assert probe(tmp_path / "p.mp4").frame_count == 20


def test_text_for_people(run, captioned, tmp_path):
    outcome = run("mask", "text", captioned, "-o", tmp_path / "m.mkv", "--region", "0,100,320,80")
    assert outcome.code == 0, outcome.err
    assert "20 masks" in outcome.out
    assert "1 caption" in outcome.out
    assert outcome.err == ""


def test_logo(run, marked, tmp_path):
    outcome = run("mask", "logo", marked, "-o", tmp_path / "m", "--preview", tmp_path / "s.png")
    assert outcome.code == 0, outcome.err
    assert "1 logo at 2" in outcome.out
    assert len(set(count_marked(tmp_path / "m"))) == 1
    assert (tmp_path / "s.png").exists()


def test_track_and_correct(run, save, scene, tmp_path):
    frames = scene.copy()
    for index, frame in enumerate(frames):
        cv2.circle(frame, (60 + 8 * index, 90), 20, (230, 40, 30), -1)
    path = save(frames)
    outcome = run("mask", "track", path, "--track", "38,68,45,45", "-o", tmp_path / "m", "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert report["frames_with_hole"] == 20
    assert "lost" in report
    mended = tmp_path / "mended"
    mended.mkdir()
    square = np.zeros((180, 320), np.uint8)
    square[60:120, 110:170] = 255
    assert cv2.imwrite(str(mended / "00010.png"), square)
    again = ("--correct", mended, "-o", tmp_path / "again")
    outcome = run("mask", "track", path, "--track", "38,68,45,45", *again)
    assert outcome.code == 0, outcome.err
    corrected = read_marked(tmp_path / "again" / "00010.png")
    np.testing.assert_array_equal(corrected, square > 0)


def test_remove_text_keeps_masks_that_do_the_same_again(run, captioned, tmp_path):
    first = run(
        "remove", captioned, "-o", tmp_path / "1.mkv", "--text", "--mask-out", tmp_path / "m.mkv",
        *FLOW,
    )  # fmt: skip
    assert first.code == 0, first.err
    assert "1 caption" in first.out
    second = run("remove", captioned, "-o", tmp_path / "2.mkv", "--mask", tmp_path / "m.mkv", *FLOW)
    assert second.code == 0, second.err
    with (
        open_reader(captioned) as sources,
        open_reader(tmp_path / "1.mkv") as ones,
        open_reader(tmp_path / "2.mkv") as others,
    ):
        for source, one, other in zip(sources, ones, others, strict=True):
            np.testing.assert_array_equal(one.rgb, other.rgb)
            is_changed = np.abs(one.rgb.astype(int) - source.rgb).max() > 60
            assert is_changed == (one.index < 15)


def test_remove_track(run, save, scene, tmp_path):
    frames = scene.copy()
    for index, frame in enumerate(frames):
        cv2.circle(frame, (60 + 8 * index, 90), 20, (250, 20, 20), -1)
    outcome = run(
        "remove", save(frames), "-o", tmp_path / "out.mkv", "--track", "38,68,45,45@0", *FLOW
    )
    assert outcome.code == 0, outcome.err
    with open_reader(tmp_path / "out.mkv") as reader:
        for picture in reader:
            ball = picture.rgb[90, 60 + 8 * picture.index].astype(int)
            assert ball[0] - ball[1] < 120, "the ball is red no more"


@pytest.fixture
def refused(run, tmp_path):
    """Run a command that must fail with one line and leave nothing; returns the line."""

    def check(*arguments: object, code: int = 2) -> str:
        out = tmp_path / "refused"
        out.mkdir(exist_ok=True)
        outcome = run(*arguments, "-o", out / "masks")
        assert outcome.code == code, outcome.err
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1, outcome.err
        assert list(out.iterdir()) == []
        return outcome.err

    return check


def test_a_clip_without_text(refused, save, scene):
    path = save(scene)
    assert "no burned-in text was found" in refused("mask", "text", path)
    assert "no burned-in text was found" in refused("remove", path, "--text", *FLOW)


def test_a_clip_without_a_logo(refused, save, scene):
    assert "no logo was found" in refused("mask", "logo", save(scene))
    still = np.repeat(scene[:1], 12, axis=0)
    assert "hardly moves" in refused("mask", "logo", save(still, "still.mkv"))


def test_a_region_that_cannot_be(refused, captioned):
    assert "outside the frame" in refused("mask", "text", captioned, "--region", "900,0,9,9")
    assert "has no size" in refused("mask", "text", captioned, "--region", "1,1,0,9")
    assert "is not X,Y,W,H" in refused("mask", "text", captioned, "--region", "here")
    assert "--region needs --text" in refused(
        "remove", captioned, "--region", "1,1,9,9", "--box", "1,1,2,2"
    )


def test_a_box_outside_the_frame(refused, captioned):
    assert "outside" in refused("mask", "track", captioned, "--track", "900,0,9,9")
    assert "nothing to follow" in refused("mask", "track", captioned)
    box = ("--track", "1,1,20,20")
    assert "absent" in refused("mask", "track", captioned, *box, "--sam", "absent")


@pytest.mark.parametrize("command", ["text", "logo"])
def test_a_file_without_pictures(refused, tmp_path, command):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        sound.sample_rate = 48000
        file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    assert "holds no video stream" in refused("mask", command, path)
    assert "does not exist" in refused("mask", command, tmp_path / "absent.mp4")


def test_without_the_extra(refused, captioned, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    line = refused("mask", "text", captioned)
    assert "needs the extra [text]" in line
    assert "pip install 'cleanplate[text]'" in line


def test_a_wrong_output_is_found_before_the_search(run, captioned, tmp_path):
    (tmp_path / "m.mkv").write_bytes(b"mine")
    for command in (("mask", "text", captioned), ("remove", captioned, "--text")):
        outcome = run(*command, "-o", tmp_path / "m.mkv", "--region", "900,0,9,9")
        assert outcome.code == 2
        assert "use --overwrite" in outcome.err
    assert (tmp_path / "m.mkv").read_bytes() == b"mine"
    outcome = run("mask", "text", captioned, "-o", tmp_path / "m.mkv", "--overwrite")
    assert outcome.code == 0, outcome.err
    assert probe(tmp_path / "m.mkv").frame_count == 20
