"""The files that a contributor's tools read: they parse, and say what is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cleanplate import __version__
from cleanplate.options import RENAMED_METHODS

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
    known = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
    assert named
    assert set(named) <= known


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
        assert f"`{new}` was `{old}`" in renamed


def read_text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
