"""The completion scripts work in the shells that are here."""

import os
import shutil
import subprocess
import sys

import pytest

ASK = {
    # What Tab does: hand the words to the function that the script registers, show what it found.
    "bash": """
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _cleanplate_completion "$@"
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": """
        source $argv[1]
        complete --do-complete "$argv[2..]"
    """,
}


@pytest.fixture
def command(tmp_path):
    """A folder for the PATH in which `cleanplate` is the code under test."""
    program = tmp_path / "bin" / "cleanplate"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cleanplate "$@"\n')
    program.chmod(0o755)
    return program.parent


@pytest.fixture
def complete(run, tmp_path, command):
    """`complete(shell, *words) -> list of suggestions` of a real shell."""

    def ask(shell, *words):
        if shutil.which(shell) is None:
            pytest.skip(f"no {shell} here")
        script = tmp_path / "script"
        script.write_text(run("completion", shell).out)
        program = ["-c", ASK[shell], shell] if shell == "bash" else ["-c", ASK[shell]]
        environment = os.environ | {"PATH": f"{command}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            [shell, *program, str(script), *words],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        return [line.split("\t")[0] for line in done.stdout.splitlines()]

    return ask


@pytest.mark.parametrize("shell", sorted(ASK))
def test_commands_and_options_are_completed(complete, shell):
    assert complete(shell, "cleanplate", "rem") == ["remove"]
    assert complete(shell, "cleanplate", "mask", "tr") == ["track"]
    assert {"--mask", "--mask-out", "--mask-threshold"} <= set(
        complete(shell, "cleanplate", "remove", "--mask")
    )
    assert complete(shell, "cleanplate", "remove", "--method", "f") == ["flow"]


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nosort -F _cleanplate_completion cleanplate"),
        ("zsh", "#compdef cleanplate"),
        ("fish", "complete --no-files --command cleanplate"),
    ],
)
def test_scripts_register_themselves(run, shell, line):
    outcome = run("completion", shell)
    assert outcome.code == 0
    assert line in outcome.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_good_shell(run, shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    script = tmp_path / "script"
    script.write_text(run("completion", shell).out)
    subprocess.run([shell, "-n", str(script)], check=True)


def test_another_shell_is_refused(run):
    outcome = run("completion", "tcsh")
    assert outcome.code == 2
    assert "'tcsh' is not one of" in outcome.err
    assert "Traceback" not in outcome.err


def test_help_says_where_the_script_goes(run):
    assert "source <(cleanplate completion bash)" in run("completion", "--help").out
