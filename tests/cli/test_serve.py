"""`cleanplate serve`: its options, and how it starts and stops."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from tests.patience import PATIENCE

from cleanplate.cli import serve as command
from cleanplate.page import server


@pytest.fixture
def served(monkeypatch):
    """Keeps the settings that the command would serve with."""
    seen = []
    monkeypatch.setattr(server, "serve", lambda settings, announce: seen.append(settings))
    return seen


def test_loopback_without_a_token_is_the_default(run, served):
    assert run("serve").code == 0
    (settings,) = served
    assert (settings.host, settings.port, settings.token) == ("127.0.0.1", 7860, None)
    assert (settings.limits.upload, settings.limits.duration) == (2 * 10**9, 600)


def test_options_reach_the_server(run, served, tmp_path):
    outcome = run(
        "serve", "--port", 0, "--max-upload", "1.5MB", "--max-duration", "1:01:30", "--workers", 2,
        "--allow-host", "studio", "--token", "0123456789abcdef", "--folder", tmp_path,
    )  # fmt: skip
    assert outcome.code == 0
    (settings,) = served
    assert settings.limits.upload == 1_500_000
    assert settings.limits.duration == 3690
    assert (settings.workers, settings.names, settings.folder) == (2, ("studio",), tmp_path)
    assert settings.token == "0123456789abcdef"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "studio.example"])
def test_other_machines_need_a_token(run, served, host):
    assert run("serve", "--host", host).code == 0
    assert len(served[0].token) >= 32


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--max-upload", "much"], "'much' is no size"),
        (["--max-upload", "0"], "'0' is too small"),
        (["--max-duration", "1:75"], "'1:75' is no time"),
        (["--max-duration", "0.5"], "'0.5' is less than a second"),
        (["--token", "short"], "the token is too short"),
        (["--port", "70000"], "70000"),
        (["--folder", "absent"], "no folder can be made in 'absent'"),
    ],
)
def test_wrong_usage_is_one_line(run, arguments, says):
    outcome = run("serve", "--port", "0", *arguments)
    assert outcome.code == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_port_in_use_is_said(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outcome = run("serve", "--port", port)
    assert outcome.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in outcome.err


def test_without_the_extra_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    outcome = run("serve")
    assert outcome.code == 2
    assert "pip install 'cleanplate[web]'" in outcome.err


def test_it_serves_until_it_is_stopped_and_leaves_nothing(tmp_path):
    arguments = ["serve", "--port", "0", "--folder", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "cleanplate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)[0]
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            assert b"<title>cleanplate</title>" in answer.read()
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 143
    assert errors == "cleanplate: stopped by SIGTERM\n"
    assert list(tmp_path.iterdir()) == []
