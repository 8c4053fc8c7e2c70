"""The files in which filled pixels are kept, one for each span of frames that were filled together.

A file is a line of JSON (`Head`), the pixels, compressed, and a checksum, so that a torn one is
noticed. It is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cleanplate.inputs import parse_json, read_file
from cleanplate.pipeline.engine import Pixels
from cleanplate.pipeline.entries import Frame, Mask

_CHECKSUM = 32
_LEVEL = 1
"""zlib's quickest: the pixels are worth no more time, and hardly become smaller by it."""

_MOST_BYTES = 1 << 34
"""No span is larger; a file that is was not written here."""

_LARGEST = 1 << 40
"""No count of frames or pixels is larger; a head that claims more is damaged."""


class Seen:
    """Running digests of all frames and masks that a run was given."""

    def __init__(self) -> None:
        self._frames, self._masks = hashlib.sha256(), hashlib.sha256()

    def add(self, frame: Frame, mask: Mask) -> None:
        """Take the next frame, uint8 (h, w, 3), and mask, bool (h, w)."""
        # Every eighth row tells one video from another, and takes a hundredth of the work.
        self._frames.update(frame[::8].tobytes())
        self._masks.update(np.packbits(mask).tobytes())

    def digests(self) -> dict[str, str]:
        """SHA-256 of what was seen so far."""
        return {"frames": self._frames.hexdigest(), "masks": self._masks.hexdigest()}


@dataclass(frozen=True)
class Head:
    """What a span's file says of itself.

    Attributes:
        start: number of the first frame.
        stop: number of the one behind the last.
        begins_segment: nothing but frames was carried into it.
        ends_segment: nothing but frames was carried on.
        seen: `Seen.digests` when it was filled.
        counts: for each frame the number of its pixels.
    """

    start: int
    stop: int
    begins_segment: bool
    ends_segment: bool
    seen: dict[str, str]
    counts: list[int]

    @classmethod
    def parse(cls, line: bytes) -> Head | None:
        """The head from its line of JSON; None when it is not what `write_span` writes."""
        try:
            head = cls(**parse_json(line))
        except (ValueError, TypeError):
            return None
        numbers = [head.start, head.stop, *head.counts] if isinstance(head.counts, list) else [-1]
        if not all(type(number) is int and 0 <= number < _LARGEST for number in numbers):
            return None
        whole = len(head.counts) == len(head.frames) > 0
        plain = type(head.begins_segment) is type(head.ends_segment) is bool
        known = isinstance(head.seen, dict) and head.seen.keys() == Seen().digests().keys()
        return head if whole and plain and known else None

    @property
    def frames(self) -> range:
        """Numbers of the frames."""
        return range(self.start, self.stop)


def name_span(start: int) -> str:
    """Name of the file of the span whose first frame is `start`."""
    return f"{start:09d}.span"


def read_span(path: Path) -> tuple[Head, bytes] | None:
    """Head and compressed pixels of a file; None when it is not there, torn or damaged."""
    try:
        data = read_file(path, _MOST_BYTES)
    except OSError:
        return None
    body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if hashlib.sha256(body).digest() != checksum:
        return None
    line, _, packed = body.partition(b"\n")
    head = Head.parse(line)
    return None if head is None else (head, packed)


def read_pixels(path: Path, head: Head) -> list[Pixels] | None:
    """The pixels of each frame; None when they are not those that `head` tells of."""
    content = read_span(path)
    if content is None or content[0] != head:
        return None
    pixels = stretch(content[1], sum(head.counts))
    return None if pixels is None else np.split(pixels, np.cumsum(head.counts)[:-1])


def write_span(path: Path, head: Head, pixels: list[Pixels]) -> None:
    """Write a span's file; raises OSError."""
    body = json.dumps(asdict(head)).encode() + b"\n" + squeeze(np.concatenate(pixels))
    write_file(path, body + hashlib.sha256(body).digest())


def find_whole_segments(folder: Path) -> dict[int, Head]:
    """Heads of all sound spans in `folder` that belong to a whole segment, by their first frame."""
    found = {}
    for path in folder.glob("*.span"):
        content = read_span(path)
        if content is not None and name_span(content[0].start) == path.name:
            found[content[0].start] = content[0]
    return choose_whole_segments(found)


def choose_whole_segments(spans: Mapping[int, Head]) -> dict[int, Head]:
    """Those of the `spans`, given by their first frame, whose segment is there from end to end."""
    chosen: dict[int, Head] = {}
    segment: dict[int, Head] = {}
    at = -1
    for start in sorted(spans):
        head = spans[start]
        if head.begins_segment:
            segment = {}
        elif not segment or start != at:
            segment = {}
            continue
        segment[start], at = head, head.stop
        if head.ends_segment:
            chosen |= segment
            segment = {}
    return chosen


def squeeze(pixels: Pixels) -> bytes:
    """Pixels (k, 3) as what they differ by from the one before and from green, compressed."""
    planes = pixels.T.copy()  # (c, k)
    planes[::2] -= planes[1]
    planes[:, 1:] -= planes[:, :-1].copy()
    return zlib.compress(planes.tobytes(), _LEVEL)


def stretch(packed: bytes, count: int) -> Pixels | None:
    """The `count` pixels that `squeeze` was given; None when it was given anything else."""
    reader = zlib.decompressobj()
    try:
        # One byte more than there should be tells of others, and takes no memory for them.
        differences = np.frombuffer(reader.decompress(packed, 3 * count + 1), np.uint8)
    except zlib.error:
        return None
    if len(differences) != 3 * count or not reader.eof:
        return None
    planes = differences.reshape(3, -1).cumsum(axis=1, dtype=np.uint8)
    planes[::2] += planes[1]
    return np.ascontiguousarray(planes.T)


def write_file(path: Path, data: bytes) -> None:
    """Put a file in its place, whole, so that it is still there after a power cut."""
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
