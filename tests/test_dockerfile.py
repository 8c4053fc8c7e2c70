"""The Dockerfile keeps its rules: no rights, fixed versions, and all that the build needs."""

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


needs_source = pytest.mark.skipif(
    not (ROOT / "src").is_dir(), reason="src is deleted where an installed wheel is tested"
)


def read_instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\s+", " ", "\n".join(lines).replace("\\\n", "\\ "))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


INSTRUCTIONS = read_instructions()


def values(name: str) -> list[str]:
    return [value for instruction, value in INSTRUCTIONS if instruction == name]


def copied() -> list[str]:
    """What is copied from the repository."""
    own = [value for value in values("COPY") if not value.startswith("--from")]
    return [name for value in own for name in value.split()[:-1]]


def test_it_runs_without_rights():
    user = values("USER")[-1]
    assert user.isdigit()
    assert int(user) > 0
    order = [instruction for instruction, _ in INSTRUCTIONS]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert "RUN" not in order[order.index("USER") :]


def test_the_base_is_fixed():
    (version,) = [value for value in values("ARG") if value.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-[a-z]+", version)
    assert values("FROM") == ["python:${PYTHON} AS build", "python:${PYTHON}"]
    assert all("constraints.txt" in run for run in values("RUN") if "pip install" in run)


def test_nothing_is_added_from_elsewhere():
    assert not values("ADD")
    assert not any("curl" in run or "wget" in run for run in values("RUN"))


def test_what_it_starts_and_installs_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert values("ENTRYPOINT") == ['["cleanplate"]']
    assert "cleanplate" in project["scripts"]
    (extras,) = re.findall(r"'\.\[([a-z,]+)\]'", " ".join(values("RUN")))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


@needs_source
def test_what_is_copied_gets_past_the_ignore_file():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]
    for name in copied():
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name, rule) for rule in let_in), name


@needs_source
def test_what_is_copied_is_enough_to_build(tmp_path):
    pytest.importorskip("hatchling", reason="builds are tested with the extra [dev]")
    pytest.importorskip("click_man", reason="builds are tested with the extra [dev]")
    for name in copied():
        path = ROOT / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert list((tmp_path / "dist").glob("cleanplate-*.whl"))
