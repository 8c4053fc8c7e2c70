"""Find what to remove: tracked objects, burned-in text and logos, with notes for people."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from cleanplate.errors import InputError, name_count
from cleanplate.masks.files import read_corrections
from cleanplate.masks.opening import describe_cuts
from cleanplate.masks.source import Mask, MaskSource
from cleanplate.types import Box
from cleanplate.video import VideoInfo, probe

AnyPath = str | os.PathLike[str]
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class SearchResult:
    """Masks that were found, with notes for people and values for JSON."""

    source: MaskSource
    notes: list[str]
    details: dict[str, Any]


def follow_objects(
    source: AnyPath,
    boxes: Sequence[str],
    shadows: bool = False,
    correct: Path | None = None,
    sam: Path | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Track what `boxes` "X,Y,W,H[@TIME]" enclose; see `tracking.track` for the errors."""
    from cleanplate.masks.tracking import TrackPrompt, load_sam2, track

    prompts = [TrackPrompt.parse(box) for box in boxes]
    corrections = read_corrections(correct, probe(source)) if correct is not None else {}
    segmenter = load_sam2(sam) if sam is not None else None
    found = track(
        source,
        prompts,
        segmenter=segmenter,
        corrections=corrections,
        shadows=shadows,
        progress=progress,
    )
    cuts = describe_cuts([prompt.box for prompt in prompts], probe(source).display_size)
    lost, unsure = [str(span) for span in found.lost], [str(span) for span in found.unsure()]
    notes = [f"the object is not seen at {list_some(lost)}"] if lost else []
    if unsure != lost and unsure:
        notes.append(f"look at the mask at {list_some(unsure)}: it may be wrong there")
    return SearchResult(found, [*cuts, *notes], {"lost": lost, "unsure": unsure})


def find_captions(
    source: AnyPath, region: str | None, progress: Progress | None = None, **options: Any
) -> SearchResult:
    """Find burned-in text in `region` "X,Y,W,H"; see `text.find_text` for options and errors."""
    from cleanplate.masks.text import find_text

    place = Box.parse(region) if region is not None else None
    found = find_text(source, region=place, progress=progress, **options)
    captions = [
        {
            "box": str(one.box),
            "start": round(one.start, 3),
            "end": round(one.end, 3),
            "reason": one.evidence.value if one.evidence else None,
        }
        for one in found.captions
    ]
    details = {"captions": captions, "left_out": [str(one) for one in found.left_out]}
    cuts = describe_cuts([place], probe(source).display_size) if place is not None else []
    count = name_count(len(captions), "caption")
    return SearchResult(found, [count, *cuts, *found.notes], details)


def find_marks(source: AnyPath, dilate: int = 0, progress: Progress | None = None) -> SearchResult:
    """Find static logos; see `logo.find_logos` for the errors."""
    from cleanplate.masks.logo import find_logos

    found = find_logos(source, dilate=dilate, progress=progress)
    places = [str(box) for box in found.boxes]
    count = name_count(len(places), "logo")
    return SearchResult(found, [f"{count} at {list_some(places)}"], {"logos": places})


def list_some(names: Sequence[str], most: int = 4) -> str:
    """List the first of `names` and the number of others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


ShowProgress = Callable[[str], AbstractContextManager[Progress | None]]
"""Opens a progress bar with this label."""


def _show_nothing(label: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Search:
    """What to look for in a video.

    Attributes:
        tracks: boxes "X,Y,W,H[@TIME]" around objects to follow.
        text: look for burned-in text.
        region: the area "X,Y,W,H" in which text is looked for.
        logo: look for static logos.
    """

    tracks: tuple[str, ...] = ()
    text: bool = False
    region: str | None = None
    logo: bool = False

    def __bool__(self) -> bool:
        return bool(self.tracks or self.text or self.logo)

    def check(self) -> None:
        """Raise InputError or MaskError for texts that are no boxes."""
        if self.tracks:
            from cleanplate.masks.tracking import TrackPrompt  # loads torch

            for track in self.tracks:
                TrackPrompt.parse(track)
        if self.region is not None:
            if not self.text:
                raise InputError("region needs text")
            Box.parse(self.region)

    def run(self, source: AnyPath, show: ShowProgress = _show_nothing) -> list[SearchResult]:
        """Find everything; `show` opens a progress bar for each step."""
        found = []
        if self.tracks:
            with show("track") as progress:
                found.append(follow_objects(source, self.tracks, progress=progress))
        if self.text:
            with show("find text") as progress:
                found.append(find_captions(source, self.region, progress))
        if self.logo:
            with show("find logo") as progress:
                found.append(find_marks(source, progress=progress))
        return found

    def describe(self) -> list[str]:
        """Name what is looked for."""
        within = f" in {self.region}" if self.region is not None else ""
        return [
            *(f"track {track}" for track in self.tracks),
            *([f"text{within}"] if self.text else []),
            *(["logo"] if self.logo else []),
        ]


class UnknownMask:
    """Stands for masks that are still to be found, in checks before the work: no hole."""

    def prepare(self, info: VideoInfo) -> None:
        """Take the size of the video."""
        self._shape = info.size.shape

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return an empty mask."""
        return np.zeros(self._shape, np.bool_)

    def close(self) -> None:
        """Do nothing; no file is open."""
