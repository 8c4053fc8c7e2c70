"""A dead worker is explained by what ended it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from cleanplate.errors import explain_exit


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE", "SIGBUS"])
def test_a_crash_is_a_bug_and_no_lack_of_memory(name):
    number = int(getattr(signal, name))
    said = explain_exit(-number, memory="use fewer workers")
    bug = "This is a bug; please report it"
    assert said == f"the program crashed (signal {number}, {name}). {bug}"


def test_a_kill_is_most_likely_lack_of_memory():
    said = explain_exit(-9, memory="use fewer workers")
    assert "killed (signal 9, SIGKILL), most likely because memory ran out; use fewer" in said


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (-15, "stopped from outside (signal 15, SIGTERM)"),
        (143, "stopped from outside (signal 15, SIGTERM)"),
        (139, "crashed (signal 11, SIGSEGV)"),
        (-63, "stopped from outside (signal 63)"),
        (1, "ended early, with exit code 1. This is a bug"),
        (0, "ended early, with exit code 0. This is a bug"),
        (None, "ended early, for an unknown reason. This is a bug"),
        (0xC0000005, "crashed (code 0xC0000005). This is a bug"),
    ],
)
def test_every_other_end_is_named(code, says):
    said = explain_exit(code, memory="use fewer workers")
    assert says in said
    assert "memory" not in said


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_a_real_process_is_understood(number):
    kill = f"import os; os.kill(os.getpid(), {int(number)})"
    code = subprocess.run([sys.executable, "-S", "-c", kill], check=False).returncode
    assert f"(signal {int(number)}, {number.name})" in explain_exit(code, memory="")
