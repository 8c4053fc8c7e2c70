"""The same option means the same in every command, but for exceptions that name their reason."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import click
import pytest

from cleanplate.cli.app import cleanplate

Meaning = tuple[str, str | None, bool, bool, str]
"""Type, unit, whether it may be repeated, whether it is a switch, and what the help says."""

EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "--start": {"train": "it names weights, as training has no times"},
    "--output": {
        "mask track": "one mask a frame, never a single picture",
        "mask text": "as for `mask track`",
        "mask logo": "as for `mask track`",
        "batch": "a pattern, as there are many inputs",
        "evaluate": "a folder of reports",
        "overlay learn": "a profile",
        "attention": "a folder of pictures and numbers",
        "export": "a folder of networks",
    },
    "--mask": {
        "batch": "a pattern, as there are many inputs",
        "overlay learn": "marks what is learned",
        "attention": "one path: one frame is looked at",
        "benchmark run": "one path: it goes with the one INPUT",
    },
    "--box": {"overlay learn": "without a time span, as the overlay stays"},
    "--overwrite": {
        "mask track": "names the one argument that is replaced",
        "mask text": "as for `mask track`",
        "mask logo": "as for `mask track`",
        "overlay learn": "as for `mask track`",
        "demo": "replaces a whole demo",
        "models convert": "names the one argument that is replaced",
        "export": "replaces the files of one folder",
    },
    "--model": {"attention": "it has no method: a network is always asked"},
    "--threads": {"batch": "of each worker, of which there are several"},
    "--resume": {"evaluate": "goes on in a folder of reports"},
    "--workers": {"serve": "a page has a queue; a batch shares out the processors"},
    "--preview": {
        "train": "of samples; elsewhere of masks",
        "overlay learn": "of the overlay; elsewhere of masks",
    },
    "--size": {"ablate": "of the experiment; elsewhere of the drawn clip"},
    "--steps": {"benchmark train": "a few steps to time, not a training"},
}
"""Options by name: commands in which they differ, and why."""


def list_commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from list_commands(command, f"{before}{name} ")
        elif command is not None:
            yield f"{before}{name}", command


def describe(option: click.Option) -> Meaning:
    """What the option means; its default may differ."""
    text = (option.help or "").partition("  [default: ")[0]
    return (option.type.name, option.metavar, option.multiple, option.is_flag, text)


def collect() -> dict[str, dict[str, Meaning]]:
    """For each long name what it means, by command; former names, which are hidden, apart."""
    found: dict[str, dict[str, Meaning]] = defaultdict(dict)
    for name, command in list_commands(cleanplate):
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                for flag in (*option.opts, *option.secondary_opts):
                    if flag.startswith("--"):
                        found[flag][name] = describe(option)
    return {flag: follow(meanings) for flag, meanings in found.items()}


def follow(meanings: Mapping[str, Meaning]) -> dict[str, Meaning]:
    """Put what the named command says in place of "As in `cleanplate NAME`"."""
    followed = {}
    for name, meaning in meanings.items():
        refers = re.match(r"As in `cleanplate ([a-z ]+)`", meaning[-1])
        followed[name] = (*meaning[:-1], meanings[refers[1]][-1]) if refers else meaning
    return followed


FOUND = collect()


def test_all_commands_are_seen() -> None:
    seen = {name for meanings in FOUND.values() for name in meanings}
    assert {"remove", "batch", "mask track", "benchmark train"} <= seen
    assert len([flag for flag, meanings in FOUND.items() if len(meanings) > 1]) > 20


@pytest.mark.parametrize("flag", sorted(FOUND))
def test_an_option_means_the_same_everywhere(flag: str) -> None:
    apart = EXCEPTIONS.get(flag, {})
    meanings = {name: one for name, one in FOUND[flag].items() if name not in apart}
    assert len(set(meanings.values())) <= 1, meanings


def test_exceptions_are_needed_and_have_a_reason() -> None:
    for flag, apart in EXCEPTIONS.items():
        usual = [one for name, one in FOUND[flag].items() if name not in apart]
        assert usual, f"{flag}: no command left that follows the rule"
        for name, reason in apart.items():
            assert reason
            assert FOUND[flag][name] != usual[0], f"{flag} of {name} is no exception"


def test_a_short_name_stands_for_the_same_long_name() -> None:
    long: dict[str, set[str]] = defaultdict(set)
    for _, command in list_commands(cleanplate):
        for option in command.params:
            names = option.opts if isinstance(option, click.Option) else []
            for short in (name for name in names if not name.startswith("--")):
                long[short] |= {name for name in names if name.startswith("--")}
    assert long["-o"] == {"--output"}
    assert all(len(names) <= 1 for names in long.values()), long


def test_what_is_tracked_is_said_alike() -> None:
    assert FOUND["--track"].keys() == {"remove", "mask track", "batch"}
