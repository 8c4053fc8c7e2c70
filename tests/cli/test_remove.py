import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import click
import pytest

from cleanplate.cli.options import show_progress
from cleanplate.cli.remove import remove as command
from cleanplate.options import OPTION_TEXTS, RemoveOptions
from cleanplate.removal.report import Report

BASE = ("remove", "in.mp4", "-o", "out.mp4")


def test_everything_reaches_the_pipeline(run, remove):
    outcome = run(
        *BASE, "--box", "1,2,3,4@1-2", "--box", "9,9,9,9", "--method", "flow", "--model", "m.pth",
        "--blend", "released", "--dilate", 7, "--feather", 0, "--fields", "on", "--device", "cpu",
        "--precision", "bf16", "--crf", 12, "--overwrite",
    )  # fmt: skip
    assert outcome.code == 0
    assert outcome.out == "3 frames\nin 1 s\n"
    assert outcome.err == ""
    assert remove.paths == (Path("in.mp4"), Path("out.mp4"))
    masks = remove.options.pop("masks")
    assert callable(masks.mask)
    assert remove.options == {
        "method": "flow",
        "model": "m.pth",
        "blend": "released",
        "dilate": 7,
        "feather": 0,
        "exact_mask": False,
        "fields": "on",
        "start": None,
        "end": None,
        "device": "cpu",
        "precision": "bf16",
        "codec": "auto",
        "preset": None,
        "patch": None,
        "crf": 12,
        "lossless": False,
        "audio": True,
        "plates": None,
        "clean": (),
        "overlay": None,
        "mask_out": None,
        "plates_out": None,
        "truth_out": None,
        "resume": False,
        "journal": True,
        "keep_going": False,
        "threads": None,
        "max_memory": None,
        "overwrite": True,
        "progress": None,
    }


def test_json_is_all_that_is_on_stdout(run, remove):
    outcome = run(*BASE, "--box", "1,2,3,4", "--json")
    assert json.loads(outcome.out) == {"frames": 3, "notes": []}
    assert outcome.err == ""


def test_every_option_is_on_the_command_line_with_its_default():
    given = command.make_context("remove", ["a", "-o", "b"]).params
    assert {name: given[name] for name in OPTION_TEXTS} == asdict(RemoveOptions())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--mask", "absent.png"], "mask absent.png does not exist"),
        (["--box", "1,2,3"], "box '1,2,3' is not X,Y,W,H"),
        (["--box", "1,2,3,4@5"], "box '1,2,3,4@5' has no span"),
    ],
)
def test_bad_masks_are_found_before_the_pipeline_runs(run, remove, arguments, says):
    outcome = run(*BASE, *arguments)
    assert outcome.code == 2
    assert says in outcome.err
    assert remove.paths == ()


def test_quiet_prints_nothing_but_errors_and_json(run, make_clip, tmp_path):
    source, target = make_clip(frames=4), tmp_path / "out.mp4"
    # A mask of nearly everything causes a note before the run, and notes in the report.
    arguments = ("remove", source, "-o", target, "--box", "0,0,64,46", "--method", "flow")
    loud = run(*arguments)
    assert (loud.code, bool(loud.out)) == (0, True)
    quiet = run(*arguments, "--overwrite", "--quiet")
    assert quiet == type(quiet)(0, "", "")
    assert json.loads(run(*arguments, "--overwrite", "-q", "--json").out)["frames"] == 4
    refused = run(*arguments, "-q")
    assert refused.code == 2
    assert "exists; use --overwrite" in refused.err


def test_progress_is_for_terminals_only(monkeypatch, capsys):
    with show_progress("clip") as progress:
        assert progress is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress("clip") as progress:
        assert progress is not None
        progress(0, None)
        progress(5, 10)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "5/10" in captured.err


def test_a_name_is_only_a_name_beside_the_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with show_progress("a [1080p] [/b]\x1b]0;hello\x07.mp4") as progress:
        progress(5, 10)
    shown = capsys.readouterr().err
    assert "a [1080p] [/b]" in shown
    assert "\x1b]" not in shown


def test_a_report_holds_nothing_that_steers_a_terminal():
    odd = "out/a\x1b[2J\nb.mkv"
    numbers = dict.fromkeys(("frames", "frames_with_hole", "hole_share", "seconds"), 1)
    words = dict.fromkeys(
        ("size", "display_size", "rate", "field_order", "method", "model", "device", "precision"),
        "",
    )
    report = Report(input=odd, output=odd, **numbers, **words, notes=[f"'{odd}' is cut"])
    lines = report.summary()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--start", "3", "--end", "2"], "--end (2 s) must be later than --start (3 s)"),
        (["--start", "x"], "--start 'x' is no time; write seconds, MM:SS or HH:MM:SS"),
        (["--start", "9"], "--start is 9 s, but 'source.mp4' ends at 0.32 s; name an earlier"),
        (["--start", "9", "--track", "1,2,30,30"], "--start is 9 s, but 'source.mp4' ends at"),
    ],
)
def test_a_range_without_frames_is_refused_in_a_line(run, make_clip, tmp_path, arguments, says):
    source, target = make_clip(), tmp_path / "out.mp4"
    outcome = run("remove", source, "-o", target, "--box", "1,2,9,9", *arguments)
    assert outcome.code == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
    assert not target.exists()


def test_an_output_without_a_name_is_next_to_the_input_and_replaces_nothing(
    run, make_clip, tmp_path
):
    source, target = make_clip(frames=4), tmp_path / "source-clean.mp4"
    arguments = ("remove", source, "--box", "1,2,9,9", "--method", "flow", "--threads", 1)
    done = run(*arguments)
    assert done.code == 0
    assert done.out.startswith(f"{target}: 4 frames of 64x48")
    before = target.read_bytes()
    again = run(*arguments)
    assert again.code == 2
    assert "source-clean.mp4' exists; use --overwrite to replace it" in again.err
    assert target.read_bytes() == before
    assert run(*arguments, "--overwrite").code == 0


def test_a_photograph_needs_no_name_for_its_output(run, images, tmp_path):
    photo = images(("photo.jpg",), (48, 32)) / "photo.jpg"
    done = run("remove", photo, "--box", "9,9,8,8", "--method", "flow", "--threads", 1)
    assert done.code == 0
    assert done.out.startswith(f"{photo.with_name('photo-clean.jpg')}: 1 frame of 48x32")
    assert photo.with_name("photo-clean.jpg").exists()


def test_sound_can_be_left_out(run, remove):
    run("remove", "a.mp4", "-o", "b.mp4", "--box", "1,2,3,4", "--no-audio")
    assert remove.options["audio"] is False
    run("remove", "a.mp4", "-o", "b.mp4", "--box", "1,2,3,4")
    assert remove.options["audio"] is True


def test_help_lists_twelve_common_options_first_and_each_option_once() -> None:
    with click.Context(command, info_name="remove") as context:
        text = command.get_help(context)
        options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
        records = [one.get_help_record(context) for one in options]
    parts = re.split(r"^[A-Z][a-z]+ options:$", text, flags=re.MULTILINE)[1:]
    listed = [re.findall(r"^  (-.*?)(?:  |$)", part, re.MULTILINE) for part in parts]
    assert len(listed[0]) == 12
    assert listed[0][:3] == ["-o, --output OUTPUT", "--mask PATH", "--box X,Y,W,H[@START-END]"]
    assert [one.split()[0] for one in listed[1]] == [
        "--codec", "--preset", "--lossless", "--audio", "--patch",
    ]  # fmt: skip
    assert [one.split()[0] for one in listed[2]] == [
        "--overlay", "--invert", "--mask-threshold", "--region", "--exact-mask", "--mask-out",
    ]  # fmt: skip
    assert sorted(name for part in listed for name in part) == sorted(
        one[0] for one in records if one
    )
