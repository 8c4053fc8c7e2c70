"""`cleanplate completion`: the script with which a shell completes commands, options and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_HOW = """\b
In bash:  source <(cleanplate completion bash)
In zsh:   source <(cleanplate completion zsh)
In fish:  cleanplate completion fish | source"""


@click.command(epilog=_HOW)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete what follows `cleanplate`."""
    click.echo(write_script(shell), nl=False)


def write_script(shell: str) -> str:
    """The completion script of `bash`, `zsh` or `fish`; it asks the command itself at each Tab."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"no completion for {shell}")
    script = kind(click.Group(), {}, "cleanplate", "_CLEANPLATE_COMPLETE")
    # Not .source(), which looks for a bash of the right age on this machine.
    return script.source_template % script.source_vars()
