"""The one protocol behind which all masks stand, and what combines them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError
from cleanplate.types import Size

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo

Mask = npt.NDArray[np.bool_]


class MaskSource(Protocol):
    """Says for every frame of one video which pixels are the hole."""

    def prepare(self, info: VideoInfo) -> None:
        """Make all checks that need no frame; raises MaskError."""

    def mask(self, index: int, time: Fraction) -> Mask:
        """The hole of frame `index` shown at `time` seconds, bool `(h, w)`, coded orientation.

        Called after `prepare`, with increasing `index`. Raises MaskError.
        """

    def close(self) -> None:
        """Give back open files; may be called at any time and twice."""


class Union:
    """A pixel is in the hole when any of `sources` says so."""

    def __init__(self, sources: Sequence[MaskSource]) -> None:
        if not sources:
            raise MaskError("no mask given; name a mask or a box")
        self._sources = tuple(sources)

    def prepare(self, info: VideoInfo) -> None:
        """Check every source."""
        for source in self._sources:
            source.prepare(info)

    def mask(self, index: int, time: Fraction) -> Mask:
        """All sources' holes together."""
        masks = [source.mask(index, time) for source in self._sources]
        return np.logical_or.reduce(masks) if len(masks) > 1 else masks[0]

    def still(self) -> Mask | None:
        """All sources' holes together, or what alone covers the whole picture."""
        known = [still_mask(source) for source in self._sources]
        whole = next((one for one in known if one is not None and one.all()), None)
        if whole is not None:
            return whole
        masks = [one for one in known if one is not None]
        return np.logical_or.reduce(masks) if len(masks) == len(known) else None

    def paths(self) -> list[Path]:
        """What all sources read."""
        return [path for source in self._sources for path in list_paths(source)]

    def close(self) -> None:
        """Close every source."""
        for source in self._sources:
            source.close()


class Inverted:
    """The hole is what `source` does not mark."""

    def __init__(self, source: MaskSource) -> None:
        self._source = source

    def prepare(self, info: VideoInfo) -> None:
        """Check the source."""
        self._source.prepare(info)

    def mask(self, index: int, time: Fraction) -> Mask:
        """The complement of the source's hole."""
        return ~self._source.mask(index, time)

    def still(self) -> Mask | None:
        """The complement of the source's one hole."""
        mask = still_mask(self._source)
        return None if mask is None else ~mask

    def paths(self) -> list[Path]:
        """What the source reads."""
        return list_paths(self._source)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


@runtime_checkable
class _Still(Protocol):
    def still(self) -> Mask | None: ...


def still_mask(source: MaskSource) -> Mask | None:
    """The hole of all frames, when it is one and `source` knows it once it is prepared; or None.

    A source says so by a method `still() -> Mask | None`, which it need not have.
    """
    return source.still() if isinstance(source, _Still) else None


@runtime_checkable
class _OnDisk(Protocol):
    def paths(self) -> list[Path]: ...


def list_paths(source: MaskSource) -> list[Path]:
    """The files and folders that `source` reads, which no output may replace.

    A source says so by a method `paths() -> list[Path]`, which it need not have.
    """
    return source.paths() if isinstance(source, _OnDisk) else []


def check_size(size: Size, info: VideoInfo, name: str) -> None:
    """Raise MaskError unless `size` is the video's as displayed or as coded."""
    if size not in (info.display_size, info.size):
        coded = "" if info.size == info.display_size else f" (or {info.size} as stored)"
        raise MaskError(
            f"mask {name} is {size} but the video is {info.display_size}{coded};"
            " make the mask in the video's size"
        )


def turn_to_coded(mask: Mask, info: VideoInfo) -> Mask:
    """Turn a mask `(h, w)` as people see the video to the orientation of the stored frames.

    A mask that has only the stored frames' size is taken as it is.
    """
    if mask.shape != info.display_size.shape:
        return mask
    return np.ascontiguousarray(np.rot90(mask, info.rotation // 90))
