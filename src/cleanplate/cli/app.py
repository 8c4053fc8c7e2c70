"""The `cleanplate` command: its subcommands, shell completion, and exit codes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from cleanplate import __version__
from cleanplate.cli.options import find_command, name_options
from cleanplate.errors import NO_MEMORY, CleanplateError, tame
from cleanplate.machine import share_heaps

_HOW = """\b
In bash:  source <(cleanplate completion bash)
In zsh:   source <(cleanplate completion zsh)
In fish:  cleanplate completion fish | source"""


@click.command(epilog=_HOW, short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL."""
    click.echo(write_script(shell), nl=False)


def write_script(shell: str) -> str:
    """Return the completion script of `bash`, `zsh` or `fish`; it runs the command at each Tab."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"no completion for {shell}")
    script = kind(click.Group(), {}, "cleanplate", "_CLEANPLATE_COMPLETE")
    # Not .source(), which requires a recent bash on this machine.
    return script.source_template % script.source_vars()


DEBUG = "CLEANPLATE_DEBUG"


_FILE_ERRORS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors of the system for paths that cannot be used, wherever they were opened."""

_CTRL_C = ("interrupted", 130)


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM; as with Ctrl-C, open context managers clean up."""


class _Stopped(Exception):
    """The command was interrupted."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Log(logging.Handler):
    """Write log records to stderr, one line each, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Look up sys.stderr on each write: a progress bar replaces it while it is drawn."""
        text = record.getMessage()
        # Threads of the library have no active click command, so options cannot be named.
        if (context := click.get_current_context(silent=True)) is not None:
            text = name_options(text, context.command)
        click.echo(tame(f"cleanplate: {text}"), file=sys.stderr)
        if record.exc_info:
            traceback.print_exception(record.exc_info[1])


_HELP_OPTIONS = ["-h", "--help"]
_WIDEST = 64
"""Characters of a summary that fit next to the command names in 80 columns."""


_SECTIONS = {
    "Remove": {
        "remove": "remove",
        "mask": "mask",
        "overlay": "overlay",
        "batch": "batch",
        "pipe": "pipe",
        "serve": "serve",
    },
    "Check": {"demo": "check", "doctor": "check", "models": "models", "completion": "app"},
    "Research": {
        "train": "train",
        "ablate": "train",
        "evaluate": "evaluate",
        "attention": "evaluate",
        "export": "models",
        "benchmark": "evaluate",
    },
}
"""Commands by use, in the order of the help, and the module of each in `cleanplate.cli`."""

_HOMES = {name: home for part in _SECTIONS.values() for name, home in part.items()}


class _Commands(click.Group):
    """A group that imports a command on first use, so that `remove` does not load `train`.

    It leaves no KeyboardInterrupt to click, which would print a line of its own.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List all command names without importing them."""
        return list(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command `cmd_name` on first use; None for an unknown name."""
        if cmd_name in _HOMES and cmd_name not in self.loaded:
            found = getattr(import_module(f"cleanplate.cli.{_HOMES[cmd_name]}"), cmd_name)
            # click caches the help option that it makes itself under the names of the first
            # context that asks, and man pages are written in a context of their own.
            for one in _walk(found):
                click.help_option(*_HELP_OPTIONS)(one)
            self.loaded[cmd_name] = found
        return self.loaded.get(cmd_name)

    @property  # type: ignore[override]
    def commands(self) -> dict[str, click.Command]:
        """Import all commands, for man pages and the reference."""
        context = click.Context(self)
        for name in _HOMES:
            self.get_command(context, name)
        return {name: self.loaded[name] for name in _HOMES}

    @commands.setter
    def commands(self, given: dict[str, click.Command]) -> None:
        self.loaded = given

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections by use."""
        commands = self.commands
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name, commands[name].get_short_help_str(_WIDEST)) for name in names]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            what = ("stopped by SIGTERM", 143) if isinstance(error, Terminated) else _CTRL_C
            stopped = _Stopped(*what)
            for note in _notes(error):
                stopped.add_note(note)
            raise stopped from None


def _walk(command: click.Command) -> Iterator[click.Command]:
    """Yield `command` and all commands below it."""
    yield command
    if isinstance(command, click.Group):
        for one in command.commands.values():
            yield from _walk(one)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": _HELP_OPTIONS, "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cleanplate", message="%(prog)s %(version)s")
def cleanplate() -> None:
    """Remove moving objects, logos and subtitles from video."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line with `arguments` (default: the process's) and leave the process."""
    # OpenCV reports damaged files on stderr by itself; the one line that we print says it better.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    logging.basicConfig(handlers=[_Log()], level=logging.WARNING)
    share_heaps()
    with _signals_raised():
        sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command; convert an exception to one line on stderr and an exit code."""
    try:
        code = cleanplate.main(arguments, prog_name="cleanplate", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _say(_describe_usage(error), error.exit_code)
    except CleanplateError as error:
        return _say(_explain(error, arguments), error.exit_code)
    except (_Stopped, click.Abort) as error:
        stop = error if isinstance(error, _Stopped) else _Stopped(*_CTRL_C)
        return _say(_explain(stop, arguments), stop.exit_code)
    except MemoryError:
        return _say(NO_MEMORY, 1)
    except _FILE_ERRORS as error:
        place = f"'{os.fsdecode(error.filename)}'" if error.filename else "a file"
        return _say(f"{place} cannot be used: {error.strerror}; check path and permissions", 2)
    except Exception as error:
        name = type(error).__name__
        return _say(f"unexpected {name}: {error} ({DEBUG}=1 shows the traceback)", 1)


def _explain(error: BaseException, arguments: Sequence[str] | None) -> str:
    """Format the error's message and notes, with option names of the command that was run."""
    command = find_command(cleanplate, sys.argv[1:] if arguments is None else arguments)
    return name_options("; ".join([str(error), *_notes(error)]), command)


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _say(message: str, code: int) -> int:
    """Print one line on stderr, after the traceback if enabled, and return `code`."""
    if os.environ.get(DEBUG):
        traceback.print_exc()
    click.echo(f"cleanplate: {tame(' '.join(message.split()))}", err=True)
    return code


def _describe_usage(error: click.ClickException) -> str:
    """Format click's error message, and name the help command to run."""
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context else ""
    return error.format_message().rstrip(".") + hint


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and Terminated on SIGTERM at the current statement."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        # An impatient second signal must not break into the cleaning up, nor into leaving.
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        before.clear()
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # A signal that is ignored at the start, by nohup or in a background job, stays ignored.
    before = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
