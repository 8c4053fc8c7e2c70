"""The files that a contributor's tools read: they parse, and say what is so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
