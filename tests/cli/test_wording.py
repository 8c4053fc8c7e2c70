"""The library names its arguments, the command line its options: one translates into the other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import click
import pytest

import cleanplate as package
from cleanplate.cli.app import cleanplate
from cleanplate.cli.options import find_command, name_options
from cleanplate.errors import EncodeError

from .conftest import FakeRemove

ROOT = Path(package.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z]")
COMMAND_LINE = re.compile(r"`(cleanplate|ray) [^`]*`")
ARGUMENT = re.compile(r"`(\w+)(?:=[^`]*)?`")
ONLY_IN_PYTHON = {"filler"}
"""Arguments in messages that no command can cause."""


def read_texts(path: Path) -> Iterator[str]:
    """All string literals of a module but docstrings; what an f-string inserts becomes {}."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    seen = docstrings | {id(part) for node in joined for part in node.values}
    for node in joined:
        yield "".join(part.value if _is_text(part) else "{}" for part in node.values)
    yield from (node.value for node in ast.walk(tree) if _is_text(node) and id(node) not in seen)


def _is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def list_library_texts() -> list[str]:
    own_command_line = {"benchmarks", "elsewhere.py"}  # of research
    modules = [
        path
        for path in ROOT.rglob("*.py")
        if path.parts[len(ROOT.parts)] != "cli" and not own_command_line & set(path.parts)
    ]
    return [text for path in modules for text in read_texts(path)]


def list_commands(group: click.Command) -> Iterator[click.Command]:
    yield group
    for command in group.commands.values() if isinstance(group, click.Group) else ():
        yield from list_commands(command)


def test_no_message_below_the_command_line_names_an_option() -> None:
    texts = [COMMAND_LINE.sub("", text) for text in list_library_texts()]
    assert [text for text in texts if OPTION.search(text)] == []


def test_every_argument_in_a_message_is_an_option_of_some_command() -> None:
    named = {found[1] for text in list_library_texts() for found in ARGUMENT.finditer(text)}
    assert {"overwrite", "resume", "max_memory", "model", "region"} <= named
    unknown = {
        name
        for name in named - ONLY_IN_PYTHON
        if not any("--" in name_options(f"`{name}`", one) for one in list_commands(cleanplate))
    }
    assert unknown == set()


@pytest.mark.parametrize(
    ("command", "message", "shown"),
    [
        ("remove", "use `overwrite=True` to replace it", "use --overwrite to replace it"),
        ("mask text", "or `overwrite=True`", "or --overwrite"),
        ("mask text", "a smaller `max_memory`", "a smaller `max_memory`"),
        ("remove", "`max_memory=0.10GB` is too little", "--max-memory 0.10GB is too little"),
        ("remove", "use `device='cpu'`", "use --device cpu"),
        ("remove", "leave `resume=True` out", "leave --resume out"),
        ("remove", "`journal=False` keeps nothing", "--no-journal keeps nothing"),
        ("remove", "`lossless=False`", "`lossless=False`"),
        ("batch", "use fewer `workers`", "use fewer --workers"),
        ("serve", "another `port` or `host`", "another --port or --host"),
        ("evaluate", "`protocol='paper'` needs none", "--protocol paper needs none"),
        ("models list", "give `frames` and `x y`", "give `frames` and `x y`"),
    ],
)
def test_arguments_become_options_of_the_command(command: str, message: str, shown: str) -> None:
    assert name_options(message, find_command(cleanplate, command.split())) == shown


def test_an_error_is_shown_with_its_notes_in_options(run, remove: FakeRemove) -> None:
    remove.error = EncodeError("the disk is full")
    remove.error.add_note("8 frames are kept; `resume=True` goes on from there")
    outcome = run("remove", "in.mp4", "-o", "out.mp4", "--box", "1,1,9,9")
    said = "the disk is full; 8 frames are kept; --resume goes on from there"
    assert outcome.err == f"cleanplate: {said}\n"


def test_an_interruption_is_shown_with_its_notes_in_options(run, remove: FakeRemove) -> None:
    remove.error = KeyboardInterrupt()
    remove.error.add_note("8 frames are kept; `resume=True` goes on from there")
    outcome = run("remove", "in.mp4", "-o", "out.mp4", "--box", "1,1,9,9")
    assert outcome.code == 130
    assert "--resume goes on" in outcome.err


def test_the_command_is_found_among_other_words() -> None:
    assert find_command(cleanplate, ["--version"]) is cleanplate
    assert find_command(cleanplate, ["mask", "--help"]).name == "mask"
