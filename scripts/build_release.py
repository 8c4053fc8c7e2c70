"""Build the files of a release in `dist/`; `make dist` runs it.

cleanplate-VERSION.tar.gz, cleanplate-VERSION-py3-none-any.whl
cleanplate-VERSION.cdx.json     bill of materials (CycloneDX) of an installed wheel
cleanplate-VERSION-licences.txt licences of everything in it, in full
SHA256SUMS                      to be signed: docs/releasing.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.test_wheel import make_environment, run

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    # The time of the commit, instead of now, makes builds of the same source identical.
    stamp = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    os.environ["SOURCE_DATE_EPOCH"] = subprocess.check_output(stamp, text=True).strip()
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT)
    (wheel,) = DIST.glob("*.whl")
    name = "-".join(wheel.name.split("-")[:2])
    bill = DIST / f"{name}.cdx.json"
    write_bill(wheel, bill)
    licences = DIST / f"{name}-licences.txt"
    licences.write_text("\n".join(write_licences(read_parts(bill))), encoding="utf-8")
    write_checksums(DIST)


def write_bill(wheel: Path, target: Path) -> None:
    """Install `wheel` alone and list the installed packages, with licences, as CycloneDX."""
    with tempfile.TemporaryDirectory(prefix="cleanplate-release-") as folder:
        installed = make_environment(sys.executable, Path(folder) / "installed") / "python"
        constraints = ROOT / "constraints.txt"
        run(installed, "-m", "pip", "install", "-q", "-c", constraints, wheel)
        run(installed, "-m", "pip", "uninstall", "-q", "-y", "pip")
        tools = make_environment(sys.executable, Path(folder) / "tools")
        needed = ROOT / "scripts" / "requirements.txt"
        run(tools / "python", "-m", "pip", "install", "-q", "-r", needed)
        options = ["--gather-license-texts", "--output-reproducible", "--of", "JSON"]
        about = ["--pyproject", ROOT / "pyproject.toml"]
        run(tools / "cyclonedx-py", "environment", *options, *about, "-o", target, installed)


def read_parts(bill: Path) -> list[dict[str, Any]]:
    """List the packages of a bill of materials, by name."""
    parts = json.loads(bill.read_text(encoding="utf-8"))["components"]
    return sorted(parts, key=lambda part: str(part["name"]).lower())


def write_licences(parts: list[dict[str, Any]]) -> Iterator[str]:
    """Format name, version, licence and its text for each package."""
    for part in parts:
        stated = [one.get("license", one) for one in part.get("licenses", [])]
        terms = [one.get("expression") or one.get("id") or one.get("name") for one in stated]
        yield f"{'=' * 78}\n{part['name']} {part['version']}: {'; '.join(filter(None, terms))}\n"
        for one in stated:
            yield from ([read_text(one["text"])] if "text" in one else [])


def read_text(text: dict[str, str]) -> str:
    """Return the text of a licence, which may be in base64."""
    if text.get("encoding") == "base64":
        return base64.b64decode(text["content"]).decode("utf-8", "replace")
    return text["content"]


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS of the other files, in the format of `sha256sum`."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if not path.name.startswith("SHA256SUMS")
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
