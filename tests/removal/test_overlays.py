"""Learn an overlay from videos, and recover what shines through it in others."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.overlays.drawing import BOX, blend, draw_alpha, make_scene, measure

import cleanplate
from cleanplate.batch.jobs import Job, fingerprint
from cleanplate.cli import main
from cleanplate.errors import InputError
from cleanplate.overlays import read_profile
from cleanplate.plates.provenance import COLOURS, Provenance
from cleanplate.removal import fill_part, inpaint, learn_overlay

Frames = npt.NDArray[np.uint8]
ALPHA = 0.6 * draw_alpha()


def write(folder: Path, frames: Frames) -> Path:
    folder.mkdir(parents=True)
    for t, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{t:03d}.png"), frame[..., ::-1])
    return folder


def read(folder: Path) -> Frames:
    paths = sorted(folder.glob("*.png"))
    return np.stack([np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1] for path in paths])


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of frames: two that move, one at rest, one with another logo."""
    folder = tmp_path_factory.mktemp("clips")
    write(folder / "first", blend(make_scene(40, 1), ALPHA))
    write(folder / "second", blend(make_scene(40, 2), ALPHA))
    write(folder / "rest", np.repeat(blend(make_scene(1, 3), ALPHA), 30, axis=0))
    write(folder / "other", blend(make_scene(20, 4), 0.6 * draw_alpha("XO")))
    return folder


@pytest.fixture(scope="module")
def logo(clips: Path) -> Path:
    path = clips / "logo.overlay"
    found = learn_overlay(
        [clips / "first", clips / "second"], path, box=BOX, preview=clips / "logo.png", threads=2
    )
    assert found.frames == 80
    assert found.learned > 0.8
    return path


def test_what_was_learned_is_the_overlay(clips: Path, logo: Path) -> None:
    profile = read_profile(logo)
    truth = ALPHA[profile.box.slices]
    core = truth > 0.5
    assert np.abs(profile.opacity - truth)[core].mean() < 0.05
    assert cv2.imread(str(clips / "logo.png")).shape[0] == 3 * profile.box.height


def test_the_picture_comes_back_at_rest(clips: Path, logo: Path, tmp_path: Path) -> None:
    truth = make_scene(1, 3)[0]
    report = cleanplate.remove(
        clips / "rest", tmp_path / "out", overlay=logo, truth_out=tmp_path / "truth", threads=2
    )
    where = ALPHA > 0.02
    found = read(tmp_path / "out")
    assert measure(found[10], truth, where) > 32
    assert report.filled_from["solved"] > 0.5
    assert sum(report.filled_from.values()) == pytest.approx(1, abs=1e-4)
    assert any("the overlay was found" in note for note in report.notes)
    assert report.origin["options"]["overlay"]
    colours = read(tmp_path / "truth")[10][where]
    assert (colours == COLOURS[Provenance.SOLVED]).all(axis=1).mean() > 0.5


def test_parts_make_the_same(clips: Path, logo: Path, tmp_path: Path) -> None:
    options = cleanplate.RemoveOptions(overlay=logo, threads=2)
    whole = cleanplate.remove(clips / "rest", tmp_path / "whole", options=options)
    fill_part(clips / "rest", tmp_path / "part", range(10**6), options)
    cleanplate.remove(
        clips / "rest", tmp_path / "joined", options=options, parts=[tmp_path / "part"]
    )
    assert whole.frames == 30
    assert np.array_equal(read(tmp_path / "whole"), read(tmp_path / "joined"))


def test_inpaint_solves_in_its_masks_only(clips: Path, logo: Path) -> None:
    frames = read(clips / "rest")[:8]
    mask = ALPHA > 0.02
    filled = inpaint(frames, mask)
    solved = inpaint(frames, mask, overlay=logo)
    truth = make_scene(1, 3)[0]
    assert np.array_equal(solved[:, ~mask], frames[:, ~mask])
    assert measure(solved[4], truth, mask) > measure(filled[4], truth, mask) + 6


def test_another_overlay_is_refused_in_one_line(
    clips: Path, logo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["remove", str(clips / "other"), "-o", str(tmp_path / "out"), "--overlay", str(logo)]
    code, _, said = run(args, capsys)
    assert code == 2
    assert said.count("\n") == 1
    assert "--overlay" in said
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="does not fit") as caught:
        cleanplate.remove(clips / "other", tmp_path / "out", overlay=logo)
    assert "\n" not in str(caught.value)


def test_a_camera_at_rest_teaches_nothing(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too little moves behind"):
        learn_overlay(clips / "rest", tmp_path / "logo.overlay", box=BOX)
    assert not (tmp_path / "logo.overlay").exists()


def test_bad_input_is_named(clips: Path, tmp_path: Path) -> None:
    write(tmp_path / "short", make_scene(8))
    write(tmp_path / "clear", make_scene(30))
    write(tmp_path / "small", make_scene(30)[:, :50])
    cases = [
        ("few frames", lambda: learn_overlay(tmp_path / "short", box=BOX), "too few"),
        ("no overlay", lambda: learn_overlay(tmp_path / "clear", box=BOX), "nothing lies over"),
        ("no box", lambda: learn_overlay(clips / "first"), "no mask given"),
        ("large", lambda: learn_overlay(clips / "first", box=(0, 0, 160, 90)), "more than half"),
        (
            "sizes",
            lambda: learn_overlay([clips / "first", tmp_path / "small"], box=(0, 0, 9, 9)),
            "of one size",
        ),
        ("name", lambda: learn_overlay(clips / "first", "logo.mp4", box=BOX), "end in .overlay"),
        ("nothing", lambda: learn_overlay([], box=BOX), "no video to learn from"),
        (
            "time",
            lambda: learn_overlay(clips / "first", box="1,1,9,9@0-0.1"),
            "an overlay stays in place",
        ),
    ]
    for name, call, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value), name


def test_the_command_learns(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = f"{BOX.x},{BOX.y},{BOX.width},{BOX.height}"
    args = ["overlay", "learn", str(clips / "first"), "--box", box]
    out = tmp_path / "logo.overlay"
    code, printed, _ = run([*args, "-o", str(out), "--json"], capsys)
    assert code == 0
    said = json.loads(printed)
    assert said["frames"] == 40
    assert read_profile(out).size.width == 160
    assert run([*args, "-o", str(out)], capsys)[0] == 2
    assert run(["overlay", "learn", "x.mp4", "-o", "y"], capsys)[0] == 2


def test_a_job_takes_an_overlay(clips: Path, logo: Path, tmp_path: Path) -> None:
    fields = {"input": str(clips / "rest"), "output": str(tmp_path / "o"), "overlay": str(logo)}
    job = Job.from_fields(fields)
    assert str(logo) in job.reads()
    assert job.settings().overlay == str(logo)
    before = fingerprint(job)
    copy = tmp_path / "copy.overlay"
    copy.write_bytes(logo.read_bytes() + b"")
    assert fingerprint(Job.from_fields({**fields, "overlay": str(copy)})) != before
