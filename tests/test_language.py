"""Texts are natural technical English, and name no file that an installed package lacks."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "cleanplate"
SOURCES = sorted(PACKAGE.rglob("*.py"))
STATIC = sorted(
    path
    for path in (PACKAGE / "page" / "static").iterdir()
    if path.suffix in (".html", ".js", ".css")
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DIALECT = {
    r"\btold\b": "say what is given or known",
    r"\banew\b": "again, from scratch",
    r"\bmend(s|ed|ing)?\b": "correct, repair, fix",
    r"\b(is|are) to go\b": "what to remove",
    r"\bso many\b": "name the number",
    r"\bbeside each other\b": "in parallel",
    r"\bwho looks again\b": "a second pass",
    r"\bwhoever\b": "name the user, the caller or the program",
    r"\bshall\b": "must, should",
    r"\bwholly\b": "completely, at full weight",
    r"\bkept aside\b": "held out",
    r"\btaken for\b": "classified as",
    r"\bstands? still\b": "is static",
    r"\bas people see\b": "in display orientation",
    r"\bto be had\b": "available",
}
"""Phrases of an earlier style, each with what to write instead: none of them may come back."""


def list_constants(source: str) -> Iterator[tuple[int, str]]:
    """Line and value of each string in Python source, docstrings and parts of f-strings too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def list_comments(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each comment in Python source."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def list_texts(path: Path) -> list[tuple[int, str]]:
    """Line and text of all that people read in a file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [*list_constants(source), *list_comments(source)]
    return [(1, source)]


def find_dialect(texts: list[tuple[int, str]]) -> list[str]:
    """The line and the words of each phrase of `DIALECT`, with what to write."""
    return [
        f"line {line + text.count(chr(10), 0, match.start())}: '{match[0]}' ({better})"
        for line, text in texts
        for phrase, better in DIALECT.items()
        for match in re.finditer(phrase.replace(" ", r"\s+"), text, re.IGNORECASE)
    ]


@pytest.mark.parametrize(
    "path", [*SOURCES, *STATIC, *DOCUMENTS], ids=lambda path: str(path.relative_to(ROOT))
)
def test_texts_are_no_dialect(path):
    assert find_dialect(list_texts(path)) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Mark what is\n    to go", 1),
        ("Start anew. Mended since.", 2),
        ("Amend the recommended side; retold, untold", 0),
        ("It costs many frames, so there is one to go on with", 0),
        ("Whoever stands\n    still is taken for a logo", 3),
        ("A marshalled array, mistaken for a standstill; he who looks on", 0),
    ],
)
def test_dialect_is_recognised(text, count):
    assert len(find_dialect([(1, text)])) == count


def test_docstrings_strings_and_comments_are_read(tmp_path):
    path = tmp_path / "room.py"
    path.write_text('"""One."""\nx = 1  # two\ny = f"three {x}"\n')
    assert [text for _, text in list_texts(path)] == ["One.", "three ", "# two"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_points_into_the_repository(path):
    """The wheel holds no `docs`: a text names the page's title or the command that explains."""
    texts = list_constants(path.read_text(encoding="utf-8"))
    assert [line for line, text in texts if re.search(r"\bdocs/", text)] == []
