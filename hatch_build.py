"""Build hook: add man pages and completions, generated from the commands, to the wheel."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPLETIONS = {
    "bash": "share/bash-completion/completions/cleanplate",
    "zsh": "share/zsh/site-functions/_cleanplate",
    "fish": "share/fish/vendor_completions.d/cleanplate.fish",
}


class SharedFiles(BuildHookInterface):
    """Add the files below `share/`, which an installation puts next to `bin/`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the files, except for an sdist or an editable installation."""
        if self.target_name != "wheel" or version == "editable":
            return
        self.folder = TemporaryDirectory(prefix="cleanplate-build-")
        folder = Path(self.folder.name)
        write_shared_files(Path(self.root) / "src", folder, self.metadata.version)
        build_data["shared_data"] |= {
            str(path): str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
        }

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Delete the generated files."""
        if hasattr(self, "folder"):
            self.folder.cleanup()


def write_shared_files(source: Path, folder: Path, version: str) -> None:
    """Write man pages and completions of the commands in `source` below `folder`."""
    from click_man.core import write_man_pages

    sys.path.insert(0, str(source))
    try:
        from cleanplate.cli.app import cleanplate, write_script
    finally:
        sys.path.remove(str(source))

    pages = folder / "share" / "man" / "man1"
    pages.mkdir(parents=True)
    write_man_pages("cleanplate", cleanplate, version=version, target_dir=str(pages))
    for shell, name in COMPLETIONS.items():
        script = folder / name
        script.parent.mkdir(parents=True)
        script.write_text(write_script(shell), encoding="utf-8")
