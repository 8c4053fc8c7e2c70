"""Build the wheel, install it into a new environment, and test the installation.

    python -m scripts.test_wheel                        # newest that constraints.txt allows
    python -m scripts.test_wheel --python python3.13    # another Python
    python -m scripts.test_wheel --oldest               # the lower bounds of pyproject.toml

At first the environment holds only the wheel, as for users. Then the test tools are installed, and
the suite runs from the unpacked sdist without `src`, so that only the wheel can be imported.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMOKE = """
import numpy as np
import cleanplate
frames = np.full((3, 48, 64, 3), 90, np.uint8)
masks = np.zeros((3, 48, 64), np.bool_)
masks[:, 20:28, 20:28] = True
filled = cleanplate.inpaint(frames, masks)
assert np.abs(filled.astype(int) - 90).max() <= 1, "a plain picture was not filled plainly"
"""
SHARED = [
    "share/man/man1/cleanplate-remove.1",
    "share/bash-completion/completions/cleanplate",
    "share/zsh/site-functions/_cleanplate",
    "share/fish/vendor_completions.d/cleanplate.fish",
]


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="cleanplate-wheel-") as folder:
        place = Path(folder)
        wheel, tree = build(place)
        constraints = ROOT / "constraints.txt"
        if options.oldest:
            constraints = place / "oldest.txt"
            constraints.write_text("\n".join(lower_bounds()) + "\n", encoding="utf-8")
        programs = make_environment(options.python, place / "environment")
        run(programs / "python", "-m", "pip", "install", "-q", "-c", constraints, wheel)
        look(programs)
        run(programs / "python", "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[dev]")
        # Old packages use deprecated functions of newer ones, or leave files open.
        forgiven = ["DeprecationWarning", "ResourceWarning"] if options.oldest else []
        tolerant = [part for name in forgiven for part in ("-W", f"ignore::{name}")]
        run(programs / "python", "-m", "pytest", *options.pytest, *tolerant, cwd=tree)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--python", default=sys.executable, help="the Python to test with")
    parser.add_argument("--oldest", action="store_true", help="install the lower bounds")
    parser.add_argument("pytest", nargs="*", default=["-q", "-n", "2", "-m", "not slow"])
    return parser.parse_args()


def build(place: Path) -> tuple[Path, Path]:
    """Build the wheel from the sdist; return it and the sdist's folder without `src`."""
    run(sys.executable, "-m", "build", "--outdir", place, ROOT)
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    tree = place / archive.name.removesuffix(".tar.gz")
    shutil.rmtree(tree / "src")
    (wheel,) = place.glob("*.whl")
    return wheel, tree


def lower_bounds() -> Iterator[str]:
    """List `name==version` for each lower bound in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    bounds: dict[str, str] = {}
    # Required packages come last: their bound counts if an extra needs a higher one.
    for line in [*(one for extra in extras for one in extra), *project["dependencies"]]:
        if line.startswith("cleanplate["):  # extras included in another one
            continue
        found = re.fullmatch(r"([\w-]+)>=([\d.]+)(,<\d+)?", line)
        if not found:
            raise SystemExit(f"no plain lower bound: {line}")
        bounds[found[1]] = found[2]
    yield from (f"{name}=={version}" for name, version in sorted(bounds.items()))


def make_environment(python: str, folder: Path) -> Path:
    """Create a virtual environment; return its folder of programs."""
    run(python, "-m", "venv", folder)
    return folder / ("Scripts" if os.name == "nt" else "bin")


def look(programs: Path) -> None:
    """Check the state after `pip install`: it starts, is complete, and fills a hole."""
    run(programs / "python", "-m", "pip", "check")
    run(programs / "cleanplate", "--help", stdout=subprocess.DEVNULL)
    run(programs / "cleanplate", "doctor")
    run(programs / "python", "-c", SMOKE)
    for name in SHARED:
        if not (programs.parent / name).is_file():
            raise SystemExit(f"the wheel did not bring {name}")


def run(*command: object, **options: object) -> None:
    """Print and run `command`; exit with its exit code if it fails."""
    words = [str(word) for word in command]
    print("+", " ".join(words), flush=True)
    # Nothing may be imported from the current folder.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, env=environment, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
