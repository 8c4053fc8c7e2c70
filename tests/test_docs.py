"""What the documentation shows is real: every command and snippet is run, or says why not."""

import shutil

import numpy as np
import pytest
from scripts.footage import make_footage
from scripts.pages import ROOT, Block, list_pages, read_blocks, run_page

from cleanplate.cli import main

PAGES = [page for page in list_pages() if any(block.is_run for block in read_blocks(page))]


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """The clips of the guides."""
    folder = tmp_path_factory.mktemp("footage")
    make_footage(folder)
    return folder


@pytest.fixture
def workplace(footage, tmp_path, monkeypatch):
    """A folder of its own with the clips, in which commands run."""
    shutil.copytree(footage, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0, arguments


@pytest.fixture
def names():
    """What snippets find: a clip held in memory, and where its holes are."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 64, 96, 3), np.uint8)
    masks = np.zeros((6, 64, 96), np.bool_)
    masks[:, 20:30, 30:40] = True
    return {"frames": frames, "masks": masks}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_run(page, workplace, names):
    if page.name == "README.md":  # its installation, which is not run, leaves these
        shutil.copytree(workplace / "masks", workplace / "demo" / "masks")
        shutil.copy(workplace / "ride.mp4", workplace / "demo" / "clip.mp4")
    run_page(page, run, names)


def test_enough_is_run():
    assert len(PAGES) >= 7
    blocks = [block for page in list_pages() for block in read_blocks(page)]
    assert sum(block.is_run for block in blocks) >= 20
    assert sum(block.is_run for block in blocks) > sum(bool(block.reason) for block in blocks)


def test_a_reason_belongs_to_the_block_behind_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: no camera -->\n```sh\ncleanplate film\n```\n"
        "```sh\ncleanplate demo  # see\n```\n```json\n{}\n```\n"
    )
    first, second, third = read_blocks(page)
    assert first == Block("sh", "cleanplate film\n", "no camera")
    assert second.commands == [["cleanplate", "demo"]]
    assert [block.is_run for block in (first, second, third)] == [False, True, False]


def test_a_page_that_fails_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\ncleanplate remove absent.mp4 -o a.mp4 --box 1,1,2,2\n```\n")
    with pytest.raises(AssertionError):
        run_page(page, run, {})
    page.write_text("```sh\ncurl example\n```\n")
    with pytest.raises(ValueError, match="'curl' is not run here"):
        run_page(page, run, {})


def test_pictures_are_small():
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".jpg", ".png")]
    assert not [path.name for path in pictures if path.stat().st_size > 60_000]
