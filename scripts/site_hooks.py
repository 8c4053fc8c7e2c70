"""What mkdocs calls while it builds the site: the pages beside `docs` become part of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_OUTWARDS = re.compile(rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, BESIDE))})")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that people look for at the root of a repository."""
    for name in BESIDE:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to those pages one folder less far up: in the site they lie in `docs`."""
    return _OUTWARDS.sub(r"](\1\2", markdown)
