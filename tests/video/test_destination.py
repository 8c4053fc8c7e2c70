"""Where results go: names that no file can have are refused before the work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cleanplate.errors import OutputError
from cleanplate.video import lock
from cleanplate.video.destination import Destination


@pytest.mark.parametrize("name", ["é" * 200 + ".mp4", "a" * 256, "a\0b.mp4"])
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="cannot be used"):
        Destination(tmp_path / name, tmp_path / "source.mp4", overwrite=False)


def test_a_source_whose_name_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "r.mp4").touch()
    with pytest.raises(OutputError, match="use `overwrite=True`"):
        Destination(tmp_path / "r.mp4", Path("é" * 300), overwrite=False)


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """In a folder that many write to, anybody may have put it there."""
    (tmp_path / "precious" / "journal").mkdir(parents=True)
    (tmp_path / ".r.mp4.cleanplate").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="cannot be written to: File exists"):
        Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=False).claim()
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["journal"]


def test_a_folder_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".r.mp4.cleanplate").mkdir()
    monkeypatch.setattr(lock.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OutputError, match="is another user's; remove it"):
        Destination(tmp_path / "r.mp4", tmp_path / "source.mp4", overwrite=False).claim()
