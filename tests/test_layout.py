"""The layout: one name for one thing, and a page that leads to files that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import cleanplate
from cleanplate import removal

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "cleanplate"
PRODUCT = [
    path
    for path in PACKAGE.rglob("*.py")
    if "research" not in path.parts and not path.name.startswith("__")
]


def find_twice(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def test_no_file_name_occurs_twice():
    """Commands apart: `cli/batch.py` is the command of the package `batch`."""
    names = [path.name for path in PRODUCT if path.parent.name != "cli"]
    assert find_twice(names) == []


def test_no_class_name_occurs_twice():
    names = [
        node.name
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert find_twice(names) == []


def test_the_architecture_page_names_files_that_exist():
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    table = text.partition("look in Y")[2]
    named = re.findall(r"`([a-z_]+/[a-z_/.]*)`", table)
    assert len(named) > 30
    assert [name for name in named if not (PACKAGE / name).exists()] == []


def test_former_names_work_for_one_release():
    with pytest.warns(DeprecationWarning, match=r"use cleanplate\.removal"):
        from cleanplate.pipeline import fill_part
    assert fill_part is removal.fill_part
    assert "pipeline" not in cleanplate.__all__
