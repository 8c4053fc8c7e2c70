"""The doctor says what is broken: each test breaks one thing and looks for its line."""

import json
import platform
import shutil
import sys
import tempfile
from importlib import metadata

import pytest

from cleanplate.network import weights
from cleanplate.video import encoding


@pytest.fixture
def examine(run):
    """`examine() -> (exit code, findings by name)`."""

    def ask():
        outcome = run("doctor", "--json")
        report = json.loads(outcome.out)
        assert report["works"] is (outcome.code == 0)
        return outcome.code, {one["name"]: one for one in report["findings"]}

    return ask


@pytest.fixture
def versions(monkeypatch):
    """Installed versions that are pretended; None: not installed."""
    pretended = {}
    ask = metadata.version

    def version(name):
        found = pretended[name] if name in pretended else ask(name)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)
    return pretended


def test_a_whole_installation_is_good(run, examine):
    code, found = examine()
    assert code == 0
    assert {"python", "torch", "av", "opencv-python-headless", "device", "threads"} <= set(found)
    assert found["weights"]["state"] == found["libx264"]["state"] == "good"
    assert {"memory", "temporary", "here", "[web]", "[text]"} <= set(found)
    assert all(one["remedy"] or one["state"] == "good" for one in found.values())
    assert run("doctor").out.endswith("All that is needed works.\n")


def test_a_missing_package_is_said(examine, versions):
    versions["einops"] = None
    code, found = examine()
    assert code == 1
    assert found["einops"]["state"] == "wrong"
    assert found["einops"]["remedy"].startswith("pip install 'einops>=")


def test_an_old_package_is_said(run, versions):
    versions["torch"] = "1.9.0"
    outcome = run("doctor")
    assert outcome.code == 1
    assert "1.9.0 is not >=2.4" in outcome.out
    assert "pip install 'torch>=2.4'" in outcome.out
    assert outcome.out.endswith("Something needed does not work; see 'wrong'.\n")


def test_a_build_of_a_version_is_that_version(examine, versions):
    versions["torch"] = "2.13.0+cu130"
    assert examine()[1]["torch"]["state"] == "good"


def test_a_package_that_does_not_load_is_said(examine, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, found = examine()
    assert code == 1
    assert "does not load" in found["opencv-python-headless"]["says"]
    assert "--force-reinstall" in found["opencv-python-headless"]["remedy"]


def test_a_module_that_even_the_doctor_needs(examine, monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    code, found = examine()
    assert code == 1
    assert found["packages"]["remedy"] == "pip install packaging.requirements"
    assert found["weights"]["state"] == "good"


def test_an_old_python_is_said(examine, monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.18")
    code, found = examine()
    assert code == 1
    assert found["python"]["remedy"] == "make an environment with Python >=3.11"


def test_damaged_weights_are_said(examine, monkeypatch, tmp_path):
    copy = tmp_path / weights.EMBEDDED.name
    copy.write_bytes(weights.EMBEDDED.read_bytes()[:-1] + b"?")
    checksum = f"{weights.EMBEDDED.name}.sha256"
    shutil.copy(weights.EMBEDDED.with_name(checksum), tmp_path)
    monkeypatch.setattr(weights, "EMBEDDED", copy)
    code, found = examine()
    assert code == 1
    assert "do not match their checksum" in found["weights"]["says"]


@pytest.mark.parametrize(
    ("name", "state", "code"), [("libx264", "wrong", 1), ("ffv1", "lacking", 0)]
)
def test_a_missing_encoder_is_said(examine, monkeypatch, name, state, code):
    ask = encoding.has_encoder
    monkeypatch.setattr(encoding, "has_encoder", lambda asked: asked != name and ask(asked))
    ended, found = examine()
    assert ended == code
    assert found[name]["state"] == state


def test_encoders_are_looked_up():
    assert encoding.has_encoder("libx264")
    assert not encoding.has_encoder("nonsense")
    assert not encoding.has_encoder("h264")  # a format, not an encoder


def test_a_missing_extra_is_no_fault_but_has_its_line(examine, versions):
    versions["uvicorn"] = None
    code, found = examine()
    assert code == 0
    assert found["[web]"]["state"] == "lacking"
    assert found["[web]"]["says"].startswith("uvicorn ")
    assert found["[web]"]["remedy"].startswith("pip install 'cleanplate[web]'")


def test_no_place_for_temporary_files_is_said(examine, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    code, found = examine()
    assert code == 1
    assert "TMPDIR" in found["temporary"]["remedy"]


def test_a_temporary_folder_that_is_passed_over_is_said(run, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    outcome = run("doctor")
    assert outcome.code == 0
    assert f"TMPDIR is {tmp_path / 'nowhere'}, which cannot be written" in outcome.out
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    assert "cannot be written" not in run("doctor").out


def test_two_opencvs_are_said(examine, versions):
    assert "opencv" not in examine()[1]
    versions["opencv-python"] = "4.12.0.88"
    code, found = examine()
    assert code == 0
    assert found["opencv"]["says"].startswith("opencv-python lies in the same files")
    assert "pip uninstall -y opencv-python-headless opencv-python," in found["opencv"]["remedy"]


def test_a_full_disk_is_said(examine, monkeypatch):
    usage = shutil._ntuple_diskusage(100, 100, 5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    code, found = examine()
    assert code == 0
    assert found["here"]["state"] == "lacking"
    assert found["here"]["says"].startswith("5.24 MB free in ")


def test_run_from_a_source_that_is_not_installed(examine, monkeypatch):
    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", nothing)
    monkeypatch.setattr(metadata, "requires", nothing)
    code, found = examine()
    assert code == 1
    assert "pip install -e ." in found["packages"]["remedy"]
