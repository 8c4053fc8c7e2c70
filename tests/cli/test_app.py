import io
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap

import click
import pytest
from tests.patience import PATIENCE

from cleanplate.cli.app import _Log, cleanplate
from cleanplate.errors import CleanplateError, DecodeError, MaskError

REMOVE = ("remove", "in.mp4", "-o", "out.mp4", "--box", "1,2,3,4")


def python(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_version_and_help(run):
    assert run("--version").out.startswith("cleanplate ")
    for arguments in (["--help"], ["remove", "-h"], ["demo", "--help"], ["models", "--help"]):
        outcome = run(*arguments)
        assert outcome.code == 0
        assert outcome.out.startswith("Usage: cleanplate")


def test_without_arguments_help_is_shown(run):
    outcome = run()
    assert outcome.code == 2
    assert "Remove:" in outcome.err + outcome.out


@pytest.mark.parametrize("arguments", [["--help"], ["remove", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments):
    code = f"""
        import sys
        from cleanplate.cli import main
        try:
            main({arguments})
        except SystemExit:
            pass
        heavy = ["av", "cv2", "numpy", "rich", "torch"]
        print([name for name in heavy if name in sys.modules], file=sys.stderr)
    """
    assert python(code).communicate()[1].strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["remove"], "Missing argument 'INPUT' (see cleanplate remove --help)"),
        (["remove", "a", "--nonsense"], "No such option"),
        (["nonsense"], "No such command 'nonsense' (see cleanplate --help)"),
        ([*REMOVE, "--method", "best"], "'best' is not one of"),
        ([*REMOVE, "--crf", "99"], "99 is not in the range"),
        (["remove", "in.mp4", "-o", "out.mp4"], "nothing to remove: give --mask, --box"),
        ([*REMOVE, "--invert"], "--invert needs --mask"),
        ([*REMOVE, "--crf", "3", "--lossless"], "give --crf or --lossless, not both"),
    ],
)
def test_wrong_usage_is_one_line_and_two(run, remove, arguments, says):
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("cleanplate: ")
    assert outcome.err.count("\n") == 1
    assert says in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MaskError("mask is\nbad"), 2, "mask is bad"),
        (DecodeError("it broke"), 1, "it broke"),
        (CleanplateError("it failed"), 1, "it failed"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            ZeroDivisionError("why"),
            1,
            "unexpected ZeroDivisionError: why (CLEANPLATE_DEBUG=1 shows the traceback)",
        ),
        (
            MemoryError(),
            1,
            "there is not enough memory; close other programs, or make the video smaller",
        ),
        (
            PermissionError(13, "Permission denied", "/a/b"),
            2,
            "'/a/b' cannot be used: Permission denied; check path and permissions",
        ),
    ],
)
def test_failures_are_one_line_and_a_code(run, remove, error, code, line):
    remove.error = error
    outcome = run(*REMOVE)
    assert (outcome.code, outcome.out, outcome.err) == (code, "", f"cleanplate: {line}\n")


@pytest.mark.parametrize("error", [ValueError, MaskError])
def test_no_failure_fills_the_screen(run, remove, error):
    remove.error = error("why " + "x" * 8_000_000 + "\x1b[2J end")
    outcome = run(*REMOVE)
    assert outcome.err.startswith("cleanplate: ")
    assert "end" in outcome.err
    assert "\x1b" not in outcome.err
    assert len(outcome.err) < 2000


def test_debug_shows_the_traceback(run, remove, monkeypatch):
    monkeypatch.setenv("CLEANPLATE_DEBUG", "1")
    remove.error = ZeroDivisionError("why")
    outcome = run(*REMOVE)
    assert "Traceback" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("cleanplate: unexpected ZeroDivisionError")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_clean_up_and_leave_with_their_code(number, code):
    process = python(
        """
        import sys, time
        from cleanplate import removal
        from cleanplate.cli import main

        def remove(*arguments, **options):
            try:
                print("ready", flush=True)
                time.sleep(900)
            finally:
                print("leaving", flush=True)
                sys.stdin.readline()
                print("cleaned", flush=True)

        removal.remove = remove
        main(["remove", "in.mp4", "-o", "out.mp4", "--box", "1,2,3,4"])
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == "leaving\n"
    if number == signal.SIGTERM:
        process.send_signal(number)
    out, err = process.communicate("\n", timeout=PATIENCE)
    assert out == "cleaned\n"
    assert process.returncode == code
    assert err.startswith("cleanplate: ")
    assert err.count("\n") == 1


def test_a_reader_that_leaves_is_no_error_message():
    process = python(
        """
        from cleanplate.cli import main
        main(["remove", "--help"])
        """
    )
    with process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode in (0, 1)


def test_the_signal_handler_is_put_back(run):
    before = signal.getsignal(signal.SIGTERM)
    run("--version")
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_logged_goes_to_stderr_as_it_is_then(capsys, monkeypatch):
    record = logging.makeLogRecord({"msg": "%s is odd\x1b[2J", "args": ("a\nb",)})
    handler = _Log()
    handler.emit(record)
    assert capsys.readouterr().err == "cleanplate: a b is odd\ufffd[2J\n"
    monkeypatch.setattr("sys.stderr", replaced := io.StringIO())
    handler.emit(record)
    assert replaced.getvalue().startswith("cleanplate: a b is odd")


def list_groups(group, path=()):
    """Names of `group` and of all groups below it, as words of a command line."""
    yield path
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from list_groups(one, (*path, name))


@pytest.mark.parametrize("path", list(list_groups(cleanplate)), ids=" ".join)
def test_no_summary_is_cut_off(run, path):
    text = run(*path, "--help").out
    assert not [line for line in text.splitlines()[1:] if line.endswith("...")]
    assert max(map(len, text.splitlines())) <= 80


def test_the_help_names_every_command(run):
    text = run("--help").out
    names = re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE)
    assert sorted(names) == sorted(cleanplate.commands)
