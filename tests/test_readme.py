"""What the README shows is real: its commands parse, its targets exist, its Python runs."""

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

from cleanplate.cli.app import cleanplate as command
from cleanplate.scene import make_demo_clip
from cleanplate.types import Size
from cleanplate.video import open_reader, open_writer, probe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines_that_start_with(word: str) -> list[str]:
    lines = [
        line
        for page in PAGES
        for block in blocks("sh", page.read_text("utf-8"))
        for line in block.splitlines()
    ]
    return [line for line in lines if line.startswith(word + " ")]


def parse(arguments: list[str]) -> None:
    """Parse as the command line would, and run nothing."""
    part: click.Command = command
    while isinstance(part, click.Group):
        part = part.commands[arguments.pop(0)]
    part.make_context(part.name, arguments)


@pytest.mark.parametrize("line", lines_that_start_with("cleanplate"))
def test_commands_parse(line):
    parse(shlex.split(line, comments=True)[1:])


def test_a_wrong_command_would_be_noticed():
    with pytest.raises(click.UsageError):
        parse(["remove", "a.mp4", "-o", "b.mp4", "--mend"])
    assert len(lines_that_start_with("cleanplate")) >= 8


def test_options_named_in_the_text_exist():
    known = {
        name
        for part in command.commands.values()
        for parameter in part.params
        for name in parameter.opts
    }
    named = set(re.findall(r"`(--[a-z-]+)", README))
    assert named
    assert named <= known


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    named |= {line.split()[1] for line in lines_that_start_with("make")}
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    for target in targets:
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with a small `demo/clip.mp4` and `demo/masks`, as the demo leaves them."""
    clip = make_demo_clip(tmp_path / "demo", 6, Size(96, 64))
    info = probe(clip.frames)
    with (
        open_reader(clip.frames, info) as reader,
        open_writer(tmp_path / "demo" / "clip.mp4", info) as writer,
    ):
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros(info.size.shape, np.bool_))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_runs(workplace):
    frames = np.random.default_rng(0).integers(0, 256, (6, 64, 96, 3), np.uint8)
    masks = np.zeros((6, 64, 96), np.bool_)
    masks[:, 20:30, 30:40] = True
    names = {"frames": frames, "masks": masks}
    for block in blocks("python"):
        exec(block, names)
    filled, report, done = names["filled"], names["report"], names["done"]
    assert filled.shape == frames.shape
    assert (filled[~masks] == frames[~masks]).all()
    assert report.frames == probe(workplace / "clean.mp4").frame_count == 6
    assert len(done) == 6
