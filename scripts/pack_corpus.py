"""Pack a training corpus into folders that each fit into a transfer of limited size.

python scripts/pack_corpus.py ../shared/data/train --limit 50 --wheel 'av==18.*'

makes .carry1, .carry2, … here (git ignores them) with the files of clips/ and images/
spread over them, largest first, and the wheels that the other machine lacks. There,
`scripts/elsewhere.sh unpack .carryN` puts them together again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="folder with clips/ and images/")
    parser.add_argument("--limit", type=float, default=50, help="megabytes in a folder")
    parser.add_argument("--wheel", action="append", default=[], help="package to take along")
    parser.add_argument("--python", default="3.12", help="version of Python there")
    parser.add_argument("--into", type=Path, default=Path(), help="where the folders are made")
    options = parser.parse_args()
    wheels = options.into / ".carry-wheels"
    for wheel in options.wheel:
        download(wheel, wheels, options.python)
    files = [(path, path.relative_to(options.corpus)) for path in list_files(options.corpus)]
    files += [(path, Path("wheels") / path.name) for path in sorted(wheels.glob("*.whl"))]
    groups = spread(files, int(options.limit * 1e6))
    for number, group in enumerate(groups, start=1):
        folder = options.into / f".carry{number}"
        shutil.rmtree(folder, ignore_errors=True)
        for path, name in group:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            link(path, folder / name)
        size = sum(path.stat().st_size for path, _ in group)
        print(f"{folder}: {len(group)} files, {size / 1e6:.1f} MB")


def list_files(corpus: Path) -> list[Path]:
    found = [path for part in ("clips", "images") for path in (corpus / part).glob("*")]
    if not found:
        sys.exit(f"{corpus}: neither clips/ nor images/ holds a file; give the corpus's folder")
    return sorted(path for path in found if path.is_file())


def spread(files: list[tuple[Path, Path]], limit: int) -> list[list[tuple[Path, Path]]]:
    """Groups of files that are each at most `limit` bytes; first fit, largest first."""
    groups: list[list[tuple[Path, Path]]] = []
    sizes: list[int] = []
    for path, name in sorted(files, key=lambda pair: (-pair[0].stat().st_size, pair[1])):
        size = path.stat().st_size
        if size > limit:
            sys.exit(
                f"{path}: {size / 1e6:.1f} MB do not fit into {limit / 1e6:.0f}; raise --limit"
            )
        at = next((k for k, used in enumerate(sizes) if used + size <= limit), len(groups))
        if at == len(groups):
            groups.append([])
            sizes.append(0)
        groups[at].append((path, name))
        sizes[at] += size
    return groups


def download(wheel: str, folder: Path, python: str) -> None:
    systems = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    subprocess.run([*command, *systems, "-d", str(folder), wheel], check=True)


def link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


if __name__ == "__main__":
    main()
