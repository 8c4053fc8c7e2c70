"""Shared by commands: options, their names in error messages, and the progress bar."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from cleanplate.arguments import describe_renamed
from cleanplate.cli.quiet import is_quiet
from cleanplate.errors import tame
from cleanplate.options import OPTION_TEXTS, RENAMED_METHODS, RemoveOptions

if TYPE_CHECKING:
    from rich.progress import Task
    from rich.text import Text


class FilePath(click.Path):
    """A path that is not empty: `Path("")` would mean the current folder by accident."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail for an empty one, such as an unset shell variable."""
        if value == "":
            self.fail("the path is empty; name a file or a folder", param, ctx)
        return super().convert(value, param, ctx)


class SectionedCommand(click.Command):
    """Command whose help lists options by section: heading → parameters, in that order.

    All others follow under "More options".
    """

    def __init__(self, *arguments: Any, sections: Mapping[str, Sequence[str]], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sections = dict(sections)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        found = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        left = {str(one.name): one for one in found}
        groups = {
            title: [left.pop(name) for name in names] for title, names in self.sections.items()
        }
        for title, group in {**groups, "More options": list(left.values())}.items():
            records = [one.get_help_record(ctx) for one in group]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


class MethodChoice(click.Choice[str]):
    """Names of methods. A former name becomes the present one, with a note on stderr."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the method; fail for an unknown one."""
        return super().convert(rename_method(value), param, ctx)


def rename_method(name: str) -> str:
    """Return the present name of a method; print a note on stderr if `name` is a former one."""
    if name not in RENAMED_METHODS:
        return name
    renamed = RENAMED_METHODS[name]
    _note_renamed(f"method '{name}'", f"'{renamed}'")
    return renamed


def _note_renamed(former: str, present: str) -> None:
    click.echo(f"cleanplate: {describe_renamed(former, present)}", err=True)


_QUOTES = "'\""
_ARGUMENT = re.compile(r"`(\w+)(?:=([^`]*))?`")


def name_options(text: str, command: click.Command | None = None) -> str:
    """Replace arguments in backticks in `text` with the options of `command` that set them.

    "use `overwrite=True`" becomes "use --overwrite", "`device='cpu'`" becomes "--device cpu".
    Arguments without an option of the command stay. `command` defaults to the one that runs.
    """
    known = _list_options(command or click.get_current_context().command)

    def translate(match: re.Match[str]) -> str:
        name, value = _name_flag(match[1]), match[2]
        option = f"--no-{name}" if value == "False" else f"--{name}"
        if option not in known:
            return match[0]
        is_flag = value in (None, "True", "False")
        return option if is_flag else f"{option} {value.strip(_QUOTES)}"

    return _ARGUMENT.sub(translate, text)


def find_command(group: click.Command, arguments: Sequence[str]) -> click.Command:
    """Find the command of `group` that `arguments` name, or the last group on the way."""
    for word in arguments:
        if not isinstance(group, click.Group):
            break
        found = group.get_command(click.Context(group), word)
        if found is None:
            break
        group = found
    return group


def _list_options(command: click.Command) -> set[str]:
    """List all names of the options of `command`, such as --no-journal."""
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


Command = TypeVar("Command", bound=Callable[..., Any])


def removal_option(
    name: str, text: str | None = None, default: Any = None
) -> Callable[[Command], Command]:
    """Make the click option for one field of `RemoveOptions`.

    `text` replaces its help, `default` its default.
    """
    said = OPTION_TEXTS[name]
    default = getattr(_DEFAULTS, name) if default is None else default
    flag = f"--{name.replace('_', '-')}"
    more: dict[str, Any] = {"help": _ARGUMENT.sub(_show_option, text or said.text)}
    if isinstance(default, bool):
        if default:
            return click.option(f"{flag}/--no-{flag[2:]}", default=True, show_default=True, **more)
        return click.option(flag, is_flag=True, **more)
    if name == "method":
        more["type"] = MethodChoice(said.choices)
    elif said.choices:
        more["type"] = click.Choice(said.choices)
    elif said.least is not None:
        more["type"] = click.IntRange(said.least, said.most)
    elif isinstance(default, tuple):
        more["multiple"], more["help"] = True, f"{more['help']} Can be repeated."
    elif said.unit in ("PATH", "DIR", "FILE"):
        more["type"] = FilePath(path_type=Path)
    if said.unit is not None:
        more["metavar"] = said.unit
    return click.option(flag, default=default, show_default=default not in (None, ()), **more)


def removal_options(*names: str) -> Callable[[Command], Command]:
    """Make the click options for these fields of `RemoveOptions`, in this order."""

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = removal_option(name)(command)
        return command

    return add


def former_option(
    former: str, present: str, name: str, **more: Any
) -> Callable[[Command], Command]:
    """Make a hidden option with the `former` name of `present`; it sets the parameter `name`.

    A repeatable option adds to the values of `present`; any other cannot be given with it.
    """

    parameter = f"former_{former.strip('-')}"

    def add(command: Command) -> Command:
        @wraps(command)
        def call(*arguments: Any, **given: Any) -> Any:
            value = given.pop(parameter)
            if value not in (None, ()):
                _note_renamed(former, present)
                source = click.get_current_context().get_parameter_source(name)
                if not isinstance(value, tuple) and source is ParameterSource.COMMANDLINE:
                    raise click.UsageError(f"give {present} or its former name {former}, not both")
                given[name] = given[name] + value if isinstance(value, tuple) else value
            return command(*arguments, **given)

        return click.option(former, parameter, hidden=True, **more)(cast(Command, call))

    return add


def overwrite_option(what: str) -> Callable[[Command], Command]:
    """Make `--overwrite`, which replaces `what`, such as "OUTPUT if it exists"."""
    return removal_option("overwrite", f"Overwrite {what}.")


def _show_option(match: re.Match[str]) -> str:
    return f"--{_name_flag(match[1])}"


def _name_flag(argument: str) -> str:
    """Name the option that sets an argument of the library, without the dashes."""
    return "mask" if argument == "masks" else argument.replace("_", "-")


_DEFAULTS = RemoveOptions()

invert_option = click.option(
    "--invert",
    is_flag=True,
    help="With --mask: remove the black areas instead of the white ones.",
)
mask_threshold_option = click.option(
    "--mask-threshold",
    type=click.IntRange(0, 254),
    default=127,
    show_default=True,
    metavar="N",
    help="With --mask: remove pixels whose mask value (0 to 255) is above N.",
)
track_option = click.option(
    "--track",
    "tracks",
    multiple=True,
    metavar="X,Y,W,H[@TIME]",
    help="A box around an object on the frame at TIME (default: the first frame). The object is"
    " tracked through the video. Can be repeated.",
)
text_option = click.option(
    "--text",
    is_flag=True,
    help="Detect and remove burned-in subtitles and captions. Needs the extra [text].",
)
logo_option = click.option(
    "--logo",
    is_flag=True,
    help="Detect and remove logos and watermarks that stay in place while the picture moves.",
)
region_option = click.option(
    "--region",
    metavar="X,Y,W,H",
    help="Area in which `remove --text` and `mask text` look for text. All static text in it counts"
    " as burned in.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the report as JSON on stdout."
)


Progress = Callable[[int, int | None], None]
"""Called with the number of frames (or other units) done and in total; None: not known."""

_WINDOW = 60.0
"""Seconds over which the rate is measured; longer if reports are rare."""
_FEWEST = 5
"""Minimum number of bursts in the window."""
_BURST = 0.5
"""Seconds. Reports this close together are one burst, since the frames of a span come at once."""


@contextmanager
def show_progress(label: str, unit: str = "frames") -> Iterator[Progress | None]:
    """Draw a progress bar on stderr while the block runs.

    Yield None if stderr is no terminal or the command is quiet.

    `unit` names what is counted.
    """
    if not sys.stderr.isatty() or is_quiet():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    pace = Pace()

    class Numbers(ProgressColumn):
        """Column with count, rate and remaining time, as far as they are known."""

        def render(self, task: Task) -> Text:
            return Text(_describe(pace, int(task.completed), task.total, unit))

    with Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Numbers(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(tame(label), total=None)

        def report(done: int, total: int | None) -> None:
            pace.note(done)
            bar.update(task, completed=done, total=total)

        yield report


@dataclass
class _Burst:
    """Reports close together: the times of the first and the last, and the last count."""

    start: float
    end: float
    done: int


class Pace:
    """Speed of this run over a sliding window; see `rate` and `estimate_remaining`.

    Frames finished by an earlier run do not count. Until the first new frame, each report restarts
    the clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._earlier: int | None = None  # done by an earlier run
        self._bursts: deque[_Burst] = deque()
        self._start_at(0)

    def note(self, done: int) -> None:
        """Record that `done` are finished so far.

        Counts begin at 1, so a first count above 1 means a resumed run. A falling count means that
        a job was restarted, and restarts the measurement.
        """
        if self._earlier is None:
            self._earlier = done if done != 1 else 0
        now, last = self._clock(), self._bursts[-1]
        if done <= self._earlier or done < last.done:
            self._start_at(done)
        elif len(self._bursts) > 1 and now - last.start < _BURST:
            last.end, last.done = now, done
        else:
            self._bursts.append(_Burst(now, now, done))
            self._forget(now)

    @property
    def rate(self) -> float | None:
        """New frames per second, or None while there is too little to measure.

        One frame is too little: a batch reports a span as soon as its first frame is done.
        """
        bursts = self._closed()
        frames = bursts[-1].done - bursts[0].done
        seconds = bursts[-1].end - bursts[0].end
        return frames / seconds if frames > 1 and seconds > 0 else None

    def estimate_remaining(self, total: float) -> float | None:
        """Estimate the seconds until `total` are done; the value falls between two bursts.

        None if it is not known, or if the estimated time has passed.
        """
        rate, last = self.rate, self._closed()[-1]
        if rate is None:
            return None
        if last.done >= total:
            return 0.0
        left = (total - last.done) / rate - (self._clock() - last.end)
        return left if left > 0 else None

    def _start_at(self, done: int) -> None:
        now = self._clock()
        self._bursts = deque([_Burst(now, now, done)])

    def _closed(self) -> list[_Burst]:
        """List the finished bursts. An open one holds too few frames for the time it took."""
        bursts = list(self._bursts)
        is_open = len(bursts) > 1 and self._clock() - bursts[-1].start < _BURST
        return bursts[:-1] if is_open else bursts

    def _forget(self, now: float) -> None:
        while len(self._bursts) > _FEWEST and self._bursts[1].end < now - _WINDOW:
            self._bursts.popleft()


def _describe(pace: Pace, done: int, total: float | None, unit: str) -> str:
    """Format the numbers next to the bar; leave out what is not known."""

    some = f"{done} {unit}" if done else ""
    count = some if total is None else f"{done}/{total:.0f}"
    rate = pace.rate
    left = None if total is None else pace.estimate_remaining(total)
    parts = [
        count,
        f"{rate:.1f} {unit}/s" if rate else "",
        str(timedelta(seconds=ceil(left))) if left is not None else "",
    ]
    return " ".join(part for part in parts if part)
