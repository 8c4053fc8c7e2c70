"""Hooks of MkDocs: add the pages outside `docs` and the table of options to the site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from cleanplate.cli.app import cleanplate
from cleanplate.options import OPTION_TEXTS, RemoveOptions

ROOT = Path(__file__).parents[1]
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_OUTWARDS = re.compile(rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, BESIDE))})")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give parameters without a default the None that mkdocs-click 0.9 expects.

    Since click 8.3 they have a sentinel, whose name it would print.
    """
    for parameter in _list_parameters(cleanplate):
        if "UNSET" in repr(parameter.default):
            parameter.default = None
    return config


def _list_parameters(
    command: click.Command, parent: click.Context | None = None
) -> Iterator[click.Parameter]:
    """List the parameters of a command and its subcommands, including `--help`."""
    context = click.Context(command, parent=parent, **command.context_settings)
    yield from command.get_params(context)
    for part in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _list_parameters(part, context)


def on_page_content(html: str, **_: Any) -> str:
    """Mark required options, and those without a default, in plain words."""
    return html.replace("<td>_required</td>", "<td>required</td>").replace(
        "<td>None</td>", "<td>none</td>"
    )


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the root of the repository."""
    for name in BESIDE:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Insert the table of options, and correct links to pages at the root."""
    return _OUTWARDS.sub(r"](\1\2", markdown).replace("<!-- options -->", list_options())


def list_options() -> str:
    """Format the options of a removal as a Markdown table."""
    defaults = RemoveOptions()
    rows = ["| option | default | values | what it does |", "|---|---|---|---|"]
    for name, said in OPTION_TEXTS.items():
        default = getattr(defaults, name)
        values = ", ".join(said.choices) or said.unit or "true, false"
        if said.least is not None:
            values = f"{said.least} to {said.most}"
        rows.append(f"| `{name}` | `{default!r}` | {values.replace('|', ' or ')} | {said.text} |")
    return "\n".join(rows)
