"""What the wheel brings besides the package: man pages and completions for every command."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from cleanplate import __version__
from cleanplate.cli.app import cleanplate as command

pytest.importorskip("hatchling", reason="builds are tested with the extra [dev]")
pytest.importorskip("click_man", reason="builds are tested with the extra [dev]")
# click-man 0.6 still calls what click 9 will drop; the build asks for click 8.
pytestmark = pytest.mark.filterwarnings("ignore:.*removed in Click 9:DeprecationWarning")
ROOT = Path(__file__).parents[1]
if not (ROOT / "src").is_dir():
    pytest.skip("src is deleted where an installed wheel is tested", allow_module_level=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The folder whose `share` a wheel carries."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("wheel")
    module.write_shared_files(ROOT / "src", folder, __version__)
    return folder / "share"


def names(part: click.Command, name: str):
    yield name
    for below, inner in getattr(part, "commands", {}).items():
        yield from names(inner, f"{name}-{below}")


def test_each_command_has_a_man_page(shared):
    pages = {path.stem for path in (shared / "man" / "man1").iterdir()}
    assert pages == set(names(command, "cleanplate"))


def test_man_pages_are_good_roff(shared):
    if shutil.which("man") is None:
        pytest.skip("no man here")
    for page in (shared / "man" / "man1").iterdir():
        shown = subprocess.run(
            ["man", "--warnings", "-E", "UTF-8", "-l", str(page)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert not shown.stderr, page
        assert "SYNOPSIS" in shown.stdout


def test_the_page_of_remove_says_what_its_help_says(shared):
    page = (shared / "man" / "man1" / "cleanplate-remove.1").read_text(encoding="utf-8")
    assert f'"{__version__}"' in page
    for option in command.commands["remove"].params:
        if isinstance(option, click.Option):
            assert option.opts[-1].replace("-", r"\-") in page


@pytest.mark.parametrize(
    "name",
    [
        "bash-completion/completions/cleanplate",
        "zsh/site-functions/_cleanplate",
        "fish/vendor_completions.d/cleanplate.fish",
    ],
)
def test_completions_lie_where_shells_look(shared, name):
    assert "_CLEANPLATE_COMPLETE" in (shared / name).read_text(encoding="utf-8")
