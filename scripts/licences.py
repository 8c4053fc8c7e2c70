"""Write docs/licences.md from what is installed: all that cleanplate needs, and its terms.

    python -m scripts.licences          # in an environment with all extras, such as `make test`'s

Versions are left out, as they change by the day; a release's bill of materials has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parents[1] / "docs" / "licences.md"
DEVELOPERS = {"dev", "lint", "test"}
"""Extras that nobody needs who only uses cleanplate."""
PREFACE = """\
# Licences

cleanplate is under the MIT licence, and so are the embedded weights; the
[model card](model-card.md) says what they were trained on. This is what it needs to run, as the
packages' own metadata state their terms. Written by `python -m scripts.licences`; a release carries
the versions, and the licences in full, as a bill of materials.

## Two to know about

- **PyAV's wheels contain FFmpeg with x264 and x265, which are under the GPL** (version 2 or later).
  PyAV itself, and FFmpeg without them, are not. That does not touch how you use cleanplate or what
  you make with it. Whoever passes on an image, an installer or a device with those wheels inside
  passes on GPL software, and has to meet its terms: offer the sources of those parts. A PyAV built
  against an FFmpeg of your own without them avoids that; `cleanplate doctor` then says which kinds
  of video cannot be written.
- **OpenCV's wheels contain FFmpeg under the LGPL** (2.1 or later), as a library that can be
  replaced. cleanplate does not use it: video goes through PyAV.

CUDA builds of torch bring NVIDIA's libraries, under NVIDIA's own terms. They are not listed here.
"""


def main() -> None:
    PAGE.write_text(write_page(), encoding="utf-8")


def write_page() -> str:
    """The page, with a table of what is always needed and one of what the extras add."""
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
    """Markdown; the last column only where there is something in it."""
    filled = [(name, find_licence(name), note) for name, note in rows]
    if not any(note for *_, note in filled):
        lines = [f"| {name} | {terms} |" for name, terms, _ in filled]
        return ["", "| package | licence |", "|---|---|", *lines]
    lines = [f"| {name} | {terms} | {note} |" for name, terms, note in filled]
    return ["", "| package | licence | extra |", "|---|---|---|", *lines]


def find_needed(extra: str) -> set[str]:
    """Names of all packages that cleanplate needs, directly or not, with `extra` or without."""
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
    """What a package says of its terms: an expression, else classifiers, else a line of text."""
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
