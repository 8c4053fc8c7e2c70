"""The files that a contributor's tools read: they parse, and say what is so."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cleanplate import __version__
from cleanplate.options import RENAMED_METHODS

from .patience import PATIENCE

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_issue_templates_have_what_a_form_needs(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= form.keys()
    names = [part["id"] for part in form["body"]]
    assert len(set(names)) == len(names)
    assert all(part["attributes"]["label"] for part in form["body"])


def test_there_are_templates_for_bugs_and_features() -> None:
    assert [path.stem for path in TEMPLATES] == ["bug", "feature"]


def test_the_pull_request_template_names_targets_that_make_knows() -> None:
    text = (ROOT / ".github" / "pull_request_template.md").read_text(encoding="utf-8")
    named = text.split("`make ")[1].split("`")[0].split()
    assert named
    assert set(named) <= list_targets()


def test_the_citation_has_the_fields_that_its_format_requires() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == "MIT"
    assert all({"type", "title", "authors"} <= one.keys() for one in citation["references"])


def test_one_version_is_named_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = re.search(r"^## (\S+)", read_text("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    named = {project["version"], str(read(ROOT / "CITATION.cff")["version"]), newest[1]}
    assert named == {__version__}


def test_the_changelog_goes_by_release_from_new_to_old() -> None:
    headings = re.findall(r"^## (.*)$", read_text("CHANGELOG.md"), re.MULTILINE)
    form = re.compile(r"(\d+)\.(\d+)\.(\d+) \((unreleased|\d{4}-\d\d-\d\d)\)")
    found = [form.fullmatch(heading) for heading in headings]
    assert all(found), headings
    versions = [tuple(map(int, one.groups()[:3])) for one in found if one]
    assert versions == sorted(set(versions), reverse=True)
    assert not any("unreleased" in heading for heading in headings[1:])


def test_a_change_takes_one_line() -> None:
    body = read_text("CHANGELOG.md").split("\n## ", 1)[1].splitlines()
    other = [line for line in body if line and not line.startswith(("- ", "#", "The first"))]
    assert not [line for line in other if not re.match(r"\d+\.\d+\.\d+ \(", line)]


def test_former_names_of_methods_are_in_the_changelog() -> None:
    renamed = read_text("CHANGELOG.md").split("### Renamed")[1].split("###")[0]
    for old, new in RENAMED_METHODS.items():
        assert f"`{old}` is now `{new}`" in renamed


def read_text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def list_targets() -> set[str]:
    return {line.split(":")[0] for line in read_text("Makefile").splitlines()}


def read_extras() -> dict[str, list[str]]:
    project = tomllib.loads(read_text("pyproject.toml"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return extras


def name_packages(extra: str) -> set[str]:
    """Names of the packages in an extra of pyproject.toml, without those of other extras."""
    return {re.split(r"[>=\[]", line)[0] for line in read_extras()[extra]} - {"cleanplate"}


def test_the_workflow_runs_targets_that_make_knows_on_both_systems() -> None:
    flow = read(ROOT / ".github" / "workflows" / "test.yml")
    job = flow["jobs"]["test"]
    assert {"push", "pull_request"} <= flow["on"].keys()
    assert flow["permissions"] == {"contents": "read"}
    assert job["strategy"]["matrix"] == {
        "os": ["ubuntu-latest", "macos-latest"],
        "python": ["3.11", "3.13"],
    }
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[-1] == "make test lint types layers"
    assert set(commands[-1].split()[1:]) <= list_targets()
    (index,) = [step for step in job["steps"] if "whl/cpu" in step.get("run", "")]
    assert index["if"] == "runner.os == 'Linux'"


def test_the_workflow_s_versions_of_python_are_supported() -> None:
    project = tomllib.loads(read_text("pyproject.toml"))["project"]
    matrix = read(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"]
    supported = " ".join(project["classifiers"])
    assert all(f":: {version}" in supported for version in matrix["python"])
    assert f">={matrix['python'][0]}" == project["requires-python"]


def test_pre_commit_runs_ruff_and_the_environment_s_mypy() -> None:
    first, local = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [hook["id"] for hook in first["hooks"]] == ["ruff-check", "ruff-format"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", first["rev"])
    (hook,) = local["hooks"]
    assert (local["repo"], hook["id"], hook["language"]) == ("local", "mypy", "system")
    assert "VENV ?= .venv" in read_text("Makefile")
    assert hook["entry"] == ".venv/bin/mypy"


def test_the_contributing_page_names_targets_that_make_knows() -> None:
    text = read_text("CONTRIBUTING.md")
    lines = re.findall(r"^make ([a-z -]+?)(?:  |$)", text, re.MULTILINE)
    named = {target for line in lines for target in line.split()}
    named |= set(re.findall(r"`make ([a-z-]+)`", text))
    assert {"test", "lint", "check", "dev"} <= named
    assert named <= list_targets()


def test_the_extra_test_is_small_and_part_of_dev() -> None:
    assert "cleanplate[lint,test]" in read_extras()["dev"]
    heavy = {"ray", "transformers", "onnx", "onnxscript", "tensorboard", "playwright"}
    assert heavy <= name_packages("dev")
    assert not heavy & name_packages("test")
    assert not name_packages("dev") & (name_packages("test") | name_packages("lint"))
    used = set().union(*map(name_packages, ("web", "text", "demo")))
    assert used <= name_packages("test")


@pytest.mark.slow
def test_tests_skip_where_only_the_extra_test_is_installed() -> None:
    """Runs those that ask for more, and the slow ones not: nothing fails, and skips say why."""
    absent = {one.replace("-", "_") for one in name_packages("dev") - {"pytest-cov"}}
    files = [
        path
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path != Path(__file__) and "importorskip(" in path.read_text(encoding="utf-8")
    ]
    line = ["-q", "-rs", "-m", "not slow", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *line, "--without", ",".join(sorted(absent)), *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout
    for extra in ("[sam]", "[cluster]", "[train]", "[dev]"):
        assert f"extra {extra}" in done.stdout
