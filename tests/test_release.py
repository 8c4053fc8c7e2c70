"""What a release is made of: checksums that can be signed, licences, and a bill of materials."""

import base64
import re
import shutil
import subprocess
import tomllib

import pytest
from scripts.build_release import write_checksums, write_licences
from scripts.licences import DEVELOPERS, find_licence, find_needed
from scripts.pages import ROOT
from scripts.test_wheel import lower_bounds

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[>\[]", requirement)[0]


def test_few_packages_are_needed():
    assert len(PROJECT["dependencies"]) <= 10


def test_every_bound_is_there_once():
    bounds = [line.split("==") for line in lower_bounds()]
    names = [name for name, _ in bounds]
    assert {"torch", "numpy", "av", "fastapi"} <= set(names)
    assert sorted(names) == sorted(set(names))
    assert f"torch>={dict(bounds)['torch']}" in PROJECT["dependencies"]


def test_the_licences_of_all_packages_are_listed():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    extras = PROJECT["optional-dependencies"]
    listed = set(re.findall(r"^\| ([\w-]+) \|", page, re.MULTILINE))
    needed = PROJECT["dependencies"] + [
        one for name, extra in extras.items() if name not in DEVELOPERS for one in extra
    ]
    assert {name_of(one) for one in needed} <= listed
    assert "not stated" not in page
    assert "x264 and x265" in page


def test_what_is_needed_is_followed_to_its_end():
    needed = find_needed("")
    assert {"torch", "sympy", "mpmath", "click"} <= needed
    assert "uvicorn" not in needed
    assert {"uvicorn", "h11"} <= find_needed("web")
    assert find_licence("click") == "BSD-3-Clause"


def test_licences_are_written_in_full():
    text = {"content": base64.b64encode(b"Do as you like.").decode(), "encoding": "base64"}
    part = {
        "name": "thing",
        "version": "1.2",
        "licenses": [{"license": {"id": "MIT", "text": text}}, {"expression": "BSD-3-Clause"}],
    }
    written = "\n".join(write_licences([part]))
    assert "thing 1.2: MIT; BSD-3-Clause" in written
    assert "Do as you like." in written


@pytest.fixture
def dist(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"wheel")
    (tmp_path / "b.tar.gz").write_bytes(b"sdist")
    write_checksums(tmp_path)
    return tmp_path


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_checksums_are_those_of_sha256sum(dist):
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=dist, capture_output=True).returncode == 0
    (dist / "a.whl").write_bytes(b"another")
    assert subprocess.run(check, cwd=dist, capture_output=True).returncode != 0


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
def test_a_signature_is_accepted_and_a_change_is_not(dist, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text().split()[:2]
    (tmp_path / "allowed_signers").write_text(" ".join(["releases@cleanplate", *public]) + "\n")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (sign,) = re.findall(r"^\t(ssh-keygen -Y sign .*)$", makefile, re.MULTILINE)
    sign = sign.replace("'$(KEY)'", str(key)).replace("dist/", f"{dist}/")
    subprocess.run(sign, shell=True, check=True, capture_output=True)
    releasing = (ROOT / "docs" / "releasing.md").read_text(encoding="utf-8")
    (verify,) = re.findall(r"^(ssh-keygen -Y verify .*)$", releasing, re.MULTILINE)
    assert subprocess.run(verify, shell=True, cwd=dist, capture_output=True).returncode == 0
    with (dist / "SHA256SUMS").open("a") as sums:
        sums.write("more\n")
    assert subprocess.run(verify, shell=True, cwd=dist, capture_output=True).returncode != 0
