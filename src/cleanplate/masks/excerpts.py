"""Masks of an excerpt: sources keep their frame numbers and times, which are those of the video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from cleanplate.errors import MaskError
from cleanplate.masks.files import FolderMask, VideoMask
from cleanplate.masks.opening import ArrayMask
from cleanplate.masks.source import (
    Inverted,
    Mask,
    MaskSource,
    Union,
    list_doubts,
    list_paths,
    still_mask,
)
from cleanplate.video import Excerpt, VideoInfo


def match_excerpt(source: MaskSource, excerpt: Excerpt | None) -> MaskSource:
    """Ask `source`, the masks of a whole video, for those of an excerpt; None: of all of it.

    A folder, video or array with as many masks as the excerpt has frames belongs to the excerpt.
    """
    if excerpt is None:
        return source
    if isinstance(source, Union):
        return Union([match_excerpt(one, excerpt) for one in source.sources])
    if isinstance(source, Inverted):
        return Inverted(match_excerpt(source.source, excerpt))
    return ExcerptMask(source, excerpt)


class ExcerptMask:
    """The masks of an excerpt; see `match_excerpt`."""

    def __init__(self, source: MaskSource, excerpt: Excerpt) -> None:
        self._source, self._excerpt = source, excerpt
        self._first, self._time = excerpt.frames.start, excerpt.time

    def prepare(self, info: VideoInfo) -> None:
        """Check the masks against the whole video, or else against the excerpt `info`."""
        try:
            self._source.prepare(self._excerpt.whole)
        except MaskError:
            # Only these have one mask per frame; others would take the times for the excerpt's.
            if not isinstance(self._source, FolderMask | VideoMask | ArrayMask):
                raise
            if not self._fits(info):
                raise
            self._first, self._time = 0, Fraction(0)

    def _fits(self, info: VideoInfo) -> bool:
        """Whether the source has one mask for each frame of the excerpt."""
        try:
            self._source.prepare(info)
        except MaskError:
            return False
        return True

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask of frame `index` of the excerpt, at `time` in it."""
        return self._source.mask(index + self._first, time + self._time)

    def still(self) -> Mask | None:
        """Return the hole of all frames if it is constant; otherwise None."""
        return still_mask(self._source)

    def paths(self) -> list[Path]:
        """List the files that the source reads."""
        return list_paths(self._source)

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """List the source's doubts."""
        return list_doubts(self._source, inverted=inverted)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class PartMask:
    """The masks of a video, of which only the excerpt `part` can be asked for.

    It serves for an excerpt of the excerpt; `source` may belong to the whole video or to `part`.
    """

    def __init__(self, source: MaskSource, part: VideoInfo) -> None:
        if part.excerpt is None:
            raise ValueError("part must be an excerpt")
        self._excerpt, self._part = part.excerpt, part
        self._source = match_excerpt(source, part.excerpt)

    def prepare(self, info: VideoInfo) -> None:
        """Check the masks of the part."""
        self._source.prepare(self._part)

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask of frame `index` of the whole video, which must be in the part."""
        excerpt = self._excerpt
        return self._source.mask(index - excerpt.frames.start, time - excerpt.time)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
