"""What the jobs of a clip made: its previews, masks and result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanplate.page.marks import Thing


@dataclass(frozen=True)
class Video:
    """Properties of a prepared clip; `folder` holds its previews."""

    folder: Path
    width: int
    height: int
    aspect: float
    frames: int
    rate: float
    duration: float
    sound: bool
    times: list[str]


@dataclass(frozen=True)
class FoundMasks:
    """Masks of `thing` in all frames, in `folder`.

    `unsure` lists what the user should check, `seen` the first and last frames of the spans whose
    masks are not empty.
    """

    version: int
    folder: Path
    thing: Thing
    unsure: list[dict[str, Any]]
    seen: list[tuple[int, int]]
    notes: list[str]

    def is_stale(self, thing: Thing) -> bool:
        """Whether tracking must start over: more than new corrections changed."""
        mine = self.thing
        if (thing.kind, thing.shadows, thing.boxes) != (mine.kind, mine.shadows, mine.boxes):
            return True
        if thing.kind == "fixed":
            return thing.marks != mine.marks
        corrections = mine.corrections  # they are part of the masks
        return thing.corrections[: len(corrections)] != corrections


@dataclass(frozen=True)
class Result:
    """The finished video in `folder`, with the masks used and preview frames.

    It shows the frames `first` to `last` of the clip; its files begin at frame `begins`, and have
    more frames if it was only `tried`. `things` are those removed, `origins` the
    shares of the filled pixels by where they are from, `edits` counts the changes of the plates
    that it shows.
    """

    version: int
    folder: Path
    output: Path
    things: list[Thing]
    first: int
    last: int
    begins: int
    tried: bool
    notes: list[str]
    seconds: float
    size: int
    origins: dict[str, float]
    edits: int

    def place(self, frame: int) -> int:
        """Number of a frame of the clip in the files; -1 if the result does not show it."""
        return frame - self.begins if self.first <= frame <= self.last else -1
