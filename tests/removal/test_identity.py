from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

import cleanplate
from cleanplate.batch.jobs import Job, fingerprint
from cleanplate.removal import identity

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path):
    """A copy of the package's source."""
    copy = tmp_path / "cleanplate"
    source = Path(cleanplate.__file__).parent
    shutil.copytree(source, copy, ignore=lambda _, names: [n for n in names if n == "__pycache__"])
    return copy


def edit(path: Path) -> None:
    path.write_text(path.read_text("utf-8") + "# edited\n", "utf-8")
    identity.digest_code.cache_clear()


@pytest.mark.parametrize(
    "module",
    ["page/server.py", "cli/remove.py", "batch/workers.py", "research/holes.py", "scene.py"],
)
def test_an_edit_of_what_changes_no_pixel_is_the_same_code(package, module):
    before = identity.digest_code(package)
    edit(package / module)
    assert identity.digest_code(package) == before
    assert identity.digest_code(package, without=()) != before


@pytest.mark.parametrize(
    "module",
    ["motion/flow.py", "plates/backdrop.py", "network/block.py", "masks/files.py", "options.py"],
)
def test_an_edit_of_what_changes_pixels_is_other_code(package, module):
    before = identity.digest_code(package)
    edit(package / module)
    assert identity.digest_code(package) != before


def test_only_floors_above_removal_are_left_out():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    floors = contracts["contracts"][0]["layers"]
    above = " | ".join(floors[: floors.index("cleanplate.removal")]).split(" | ")
    names = {name.removeprefix("cleanplate.") for name in above}
    assert set(identity.WITHOUT_PIXELS) == names | {"__main__", "pipeline"}


def test_a_removal_and_a_batch_name_the_same_code(monkeypatch, package, tmp_path):
    """The journal of `remove --resume` and the list of finished jobs change together."""
    job = Job(str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), box=("1,1,9,9",))
    monkeypatch.setattr(cleanplate, "__file__", str(package / "__init__.py"))
    seen = []
    for module in ("page/server.py", "cli/app.py", "motion/flow.py"):
        edit(package / module)
        seen.append((fingerprint(job), identity.describe_environment()["cleanplate"]))
    assert seen[0] == seen[1]
    assert seen[1][0] != seen[2][0]
    assert seen[1][1] != seen[2][1]
