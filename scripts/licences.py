"""Write docs/licences.md: all installed dependencies of cleanplate, with their licences.

    python -m scripts.licences          # in an environment with all extras, such as `make test`'s

Versions are left out, since they change often; a release's bill of materials has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parents[1] / "docs" / "licences.md"
DEVELOPERS = {"dev", "lint", "test"}
"""Extras for developers, which users do not need."""
PREFACE = """\
# Licences

cleanplate and the embedded weights are under the MIT licence; the [model card](model-card.md)
describes their training data. This page lists all dependencies with their licences, as stated in
their metadata. `python -m scripts.licences` writes it. The bill of materials of a release has the
versions and the full texts.

## Two to know about

- **PyAV's wheels contain FFmpeg with x264 and x265, which are under the GPL** (version 2 or later).
  PyAV itself, and FFmpeg without them, are not. This does not restrict your use of cleanplate or
  its results. If you distribute an image, an installer or a device that contains those wheels, you
  distribute GPL software and must comply with its terms: offer the sources of those parts. A PyAV
  built against your own FFmpeg without them avoids that; `cleanplate doctor` then lists the kinds
  of video that cannot be written.
- **OpenCV's wheels contain FFmpeg under the LGPL** (2.1 or later), as a replaceable library.
  cleanplate does not use it: it reads and writes video with PyAV.

CUDA builds of torch include NVIDIA's libraries, under NVIDIA's terms. They are not listed here.
"""


def main() -> None:
    PAGE.write_text(write_page(), encoding="utf-8")


def write_page() -> str:
    """Format the page: a table of required packages, and one of those that extras add."""
    always = find_needed("")
    parts = [PREFACE, "## Always needed", *write_table((name, "") for name in sorted(always))]
    extras = metadata.metadata("cleanplate").get_all("Provides-Extra") or []
    users: dict[str, list[str]] = {}
    for extra in sorted(set(extras) - DEVELOPERS):
        for name in find_needed(extra) - always:
            users.setdefault(name, []).append(f"`[{extra}]`")
    parts += ["", "## Needed by extras"]
    parts += write_table((name, ", ".join(users[name])) for name in sorted(users))
    return "\n".join(parts) + "\n"


def write_table(rows: Iterator[tuple[str, str]]) -> list[str]:
    """Format a Markdown table; the last column only if it is not empty."""
    filled = [(name, find_licence(name), note) for name, note in rows]
    if not any(note for *_, note in filled):
        lines = [f"| {name} | {terms} |" for name, terms, _ in filled]
        return ["", "| package | licence |", "|---|---|", *lines]
    lines = [f"| {name} | {terms} | {note} |" for name, terms, note in filled]
    return ["", "| package | licence | extra |", "|---|---|---|", *lines]


def find_needed(extra: str) -> set[str]:
    """Find all packages that cleanplate needs, directly or not, with `extra` or without."""
    found: set[str] = set()
    waiting = [("cleanplate", frozenset({extra}))]
    while waiting:
        name, extras = waiting.pop()
        for needed in map(Requirement, metadata.requires(name) or []):
            marker = needed.marker
            if marker and not any(marker.evaluate({"extra": one}) for one in extras):
                continue
            below = canonicalize_name(needed.name)
            if below not in found:
                found.add(below)
                waiting.append((below, frozenset({"", *needed.extras})))
    return found


def find_licence(name: str) -> str:
    """Read the licence of a package: an expression, otherwise classifiers, otherwise a text."""
    about = metadata.metadata(name)
    if expression := about.get("License-Expression"):
        return expression
    classes = [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    if classes:
        return ", ".join(line.split(" :: ")[-1] for line in classes)
    lines = (about.get("License") or "").strip().splitlines()
    return lines[0] if lines else "not stated"


if __name__ == "__main__":
    main()
