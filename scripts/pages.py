"""Find the commands and snippets of the documentation in its pages, and run them in order.

A page's `sh` and `python` blocks are run in order, in a folder with the clips of `footage.py`. A
block that cannot be run (it serves until it is stopped, needs a cluster, installs packages) has the
comment `<!-- not run: REASON -->` on the line before it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_FILE_COMMANDS = {"mkdir", "cp"}


@dataclass(frozen=True)
class Block:
    """Code of a page.

    Attributes:
        language: `sh`, `python` or another, which is never run.
        text: the code.
        reason: why it is not run; empty if it is.
    """

    language: str
    text: str
    reason: str

    @property
    def is_run(self) -> bool:
        """Whether it is code for readers that can be run here."""
        return self.language in ("sh", "python") and not self.reason

    @property
    def commands(self) -> list[list[str]]:
        """Split each command of a `sh` block into words, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def list_pages() -> list[Path]:
    """List all pages of the site, and the README."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read_blocks(page: Path) -> list[Block]:
    """List the code blocks of `page`, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(one["language"], one["text"], one["reason"] or "") for one in found]


def run_page(page: Path, run: Callable[[list[str]], None], names: dict[str, Any]) -> None:
    """Run the code of `page` in the current folder.

    `run` is called with the arguments of each `cleanplate` command; `names` are defined in Python.
    """
    for block in filter(lambda block: block.is_run, read_blocks(page)):
        if block.language == "python":
            exec(block.text, names)
        else:
            for words in block.commands:
                run_command(words, run)


def run_command(words: list[str], run: Callable[[list[str]], None]) -> None:
    """Run one command: `cleanplate …`, or one that creates or copies files."""
    if words[0] == "cleanplate":
        run(words[1:])
    elif words[0] in _FILE_COMMANDS:
        subprocess.run(words, check=True)
    else:
        raise ValueError(f"'{words[0]}' is not run here; say why before its block")


def walk_commands() -> Iterator[tuple[Path, list[str]]]:
    """List all `cleanplate` commands of all pages, also those that are not run."""
    for page in list_pages():
        for block in read_blocks(page):
            if block.language == "sh":
                yield from ((page, words) for words in block.commands if words[0] == "cleanplate")
