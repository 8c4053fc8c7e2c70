"""Where results go: names that no file can have are refused before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanplate.errors import OutputError
from cleanplate.video.destination import Destination


@pytest.mark.parametrize("name", ["é" * 200 + ".mp4", "a" * 256, "a\0b.mp4"])
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="cannot be used"):
        Destination(tmp_path / name, tmp_path / "source.mp4", overwrite=False)


def test_a_source_whose_name_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "r.mp4").touch()
    with pytest.raises(OutputError, match="use --overwrite"):
        Destination(tmp_path / "r.mp4", Path("é" * 300), overwrite=False)
