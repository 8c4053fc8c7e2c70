"""The boxes of MP4 and QuickTime files: whether what they claim can be in the file at all.

FFmpeg takes memory for each picture and piece of sound that a table claims, before it reads any: a
file of a thousand bytes may claim billions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cleanplate.errors import VideoError
from cleanplate.inputs import open_file

# Top-level boxes; anything else is foreign data behind the film.
_TOP = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"sidx", b"mfra", b"udta")
_INNER = (b"moov", b"moof", b"trak", b"traf", b"mdia", b"minf", b"stbl", b"mvex", b"udta", b"edts")
_LARGEST = 1 << 28
"""Bytes of a film's tables; hours of film have some millions."""
_OPTIONAL_FIELDS = 0xF00
"""Flags of a `trun` box, one for each number that it holds for every sample."""


@dataclass(frozen=True)
class Box:
    """A box's kind, and where its content lies in the file (or in the tables read from it)."""

    kind: bytes
    start: int
    end: int


def check_claims(path: Path) -> None:
    """Refuse a film whose tables claim more samples than its bytes can hold; others pass.

    Raises VideoError.
    """
    length = os.path.getsize(path)
    claimed = 0
    with open_file(path) as file:
        for box in list_boxes(file, length):
            if box.kind in (b"moov", b"moof"):
                file.seek(box.start)
                tables = file.read(min(box.end, length, box.start + _LARGEST) - box.start)
                claimed += _count(tables, path)
    # A table may be there twice; far more is made to exhaust memory.
    if claimed > 2 * length + 1024:
        raise VideoError(
            f"'{path}' claims {claimed} pictures and pieces of sound, more than it has bytes; it is"
            " damaged or made to exhaust memory, copy or export it again"
        )


def check_complete(path: Path) -> None:
    """Refuse a film whose last box is longer than the file: FFmpeg reads what is left of it."""
    length = os.path.getsize(path)
    with open_file(path) as file:
        end = max((box.end for box in list_boxes(file, length)), default=0)
    if end > length:
        raise VideoError(
            f"'{path}' is cut short: {end - length} bytes are missing at its end; copy or export it"
            " again"
        )


def list_boxes(file: BinaryIO, length: int) -> Iterator[Box]:
    """The boxes of a film, one after the other; ends at the first thing that is none."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        head = file.read(16)
        size, start = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), at + 16
        end = at + size if size else length
        if head[4:8] not in _TOP or end < start or start > length:
            return
        yield Box(head[4:8], start, end)
        at = end


def _count(tables: bytes, path: Path) -> int:
    """The samples that all tables claim, each counted by its bytes where it has a size."""
    claimed = 0
    for box in _walk(tables):
        if box.kind == b"cmov":
            raise VideoError(
                f"'{path}' has compressed tables, which are not opened; export it again"
            )
        content = tables[box.start : min(box.end, box.start + 20)]
        if box.kind in (b"stsz", b"stz2"):
            size, count = _number(content, 4), _number(content, 8)
            one = size if box.kind == b"stsz" and size else 1
            fits = one == size or count <= 2 * (box.end - box.start)
            claimed += count * one if fits else count << 32
        elif box.kind == b"trun":
            fields = (_number(content, 0) & _OPTIONAL_FIELDS).bit_count()
            count = _number(content, 4)
            claimed += count if 4 * fields * count <= box.end - box.start else count << 32
    return claimed


def _walk(tables: bytes) -> Iterator[Box]:
    """All boxes that other boxes hold, however deep; sizes beyond the outer box end with it."""
    ends = [Box(b"", 0, len(tables))]
    while ends:
        outer = ends.pop()
        at = outer.start
        while at + 8 <= outer.end:
            size, kind = _number(tables, at), tables[at + 4 : at + 8]
            start = at + 8
            if size == 1:
                size, start = _number(tables, at + 8) << 32 | _number(tables, at + 12), at + 16
            end = min(at + size, outer.end) if size else outer.end
            if size and end < start:
                break
            yield Box(kind, start, end)
            if kind in _INNER:
                ends.append(Box(kind, start, end))
            at = end


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
