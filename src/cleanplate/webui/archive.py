"""Masks to take away: a ZIP of PNGs, made while it is sent."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path


class _Buffer:
    """A file that only ever grows, whose bytes are taken out as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """All is handed on by `take`."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def zip_masks(folder: Path) -> Iterator[bytes]:
    """A ZIP with all masks of `folder`, which `cleanplate remove --mask` takes once unpacked."""
    buffer = _Buffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.glob("[0-9]*.png")):
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
            yield buffer.take()
    yield buffer.take()
