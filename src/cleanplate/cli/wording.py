"""Messages of the library in words of the command line: its arguments become options."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

_QUOTES = "'\""
_ARGUMENT = re.compile(r"`(\w+)(?:=([^`]*))?`")


def name_options(text: str, command: click.Command | None = None) -> str:
    """`text` with arguments in backticks replaced by the options of `command` that set them.

    "use `overwrite=True`" becomes "use --overwrite", "`device='cpu'`" becomes "--device cpu". What
    the command has no option for stays. The default is the command that runs.
    """
    known = _list_options(command or click.get_current_context().command)

    def translate(match: re.Match[str]) -> str:
        name, value = match[1].replace("_", "-"), match[2]
        option = f"--no-{name}" if value == "False" else f"--{name}"
        if option not in known:
            return match[0]
        is_flag = value in (None, "True", "False")
        return option if is_flag else f"{option} {value.strip(_QUOTES)}"

    return _ARGUMENT.sub(translate, text)


def find_command(group: click.Command, arguments: Sequence[str]) -> click.Command:
    """The command of `group` that `arguments` name, or the last group on the way."""
    for word in arguments:
        if not isinstance(group, click.Group) or word not in group.commands:
            break
        group = group.commands[word]
    return group


def _list_options(command: click.Command) -> set[str]:
    """All names of the options of `command`, such as --no-journal."""
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
