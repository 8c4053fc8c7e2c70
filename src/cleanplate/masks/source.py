"""Mask sources: the protocol, morphology (dilate, feather), and orientation of masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError
from cleanplate.types import Box, Size
from cleanplate.video import VideoInfo, turn_upright

Mask = npt.NDArray[np.bool_]
Alpha = npt.NDArray[np.float32]

_ROUNDING = 1e-4
"""Tolerance of float32 distances. The next distance beyond r is r + 1/(2 r): larger to r = 5000."""


def dilate(mask: Mask, pixels: int) -> Mask:
    """Dilate `mask`, bool `(h, w)`, by a disc of radius `pixels`.

    The distance is Euclidean and exact, and the time does not depend on `pixels`.
    """
    if pixels < 0:
        raise ValueError("pixels must not be negative")
    if pixels == 0 or not mask.any():
        return mask.copy()
    return _around(mask, pixels, lambda distance: distance <= pixels + _ROUNDING)


def dilate_cross(mask: Mask, times: int) -> Mask:
    """Dilate `mask`, bool `(h, w)`, `times` times by a 3×3 cross; STTN's protocol uses 4."""
    if times < 0:
        raise ValueError("times must not be negative")
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    grown = cv2.dilate(mask.astype(np.uint8), cross, iterations=times) if times else mask
    return np.array(grown, dtype=np.bool_)


def dilate_ellipse(mask: Mask, pixels: int) -> Mask:
    """Dilate `mask`, bool `(h, w)`, by OpenCV's approximation of a disc."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), ellipse(pixels)), np.bool_)


def ellipse(radius: int) -> npt.NDArray[np.uint8]:
    """Make OpenCV's approximation of a disc, uint8 `(2 radius + 1, 2 radius + 1)`."""
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def feather(mask: Mask, pixels: int) -> Alpha:
    """Compute the alpha of `mask`, float32 `(h, w)` in [0, 1].

    It is 1 in the mask, falls smoothly (3 s² - 2 s³) with the distance from it, and is 0 beyond
    `pixels`: `feather(m, n) > 0` equals `dilate(m, n)`.
    """
    if pixels < 0:
        raise ValueError("pixels must not be negative")
    if pixels == 0 or not mask.any():
        return mask.astype(np.float32)

    def fall(distance: Alpha) -> Alpha:
        share = np.clip(1 - distance / np.float32(pixels + 1), 0, 1)
        share[distance > pixels + _ROUNDING] = 0
        return np.asarray(share * share * (3 - 2 * share), np.float32)

    return _around(mask, pixels, fall)


T = TypeVar("T", bound=np.generic)


def _around(mask: Mask, pixels: int, change: Callable[[Alpha], npt.NDArray[T]]) -> npt.NDArray[T]:
    """Apply `change` to the distance from `mask`, within the rectangle that it can affect."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    rows = slice(max(y - pixels, 0), y + height + pixels)
    columns = slice(max(x - pixels, 0), x + width + pixels)
    outside = np.asarray(~mask[rows, columns], np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = change(np.asarray(distance, np.float32))
    whole = np.zeros(mask.shape, near.dtype)
    whole[rows, columns] = near
    return whole


@dataclass(frozen=True)
class DoubtTuning:
    """Constants of the doubts about a mask; values are 0 to 255."""

    nearly_all: float = 0.9
    """Marked fraction of the picture above which a mask is most likely inverted."""
    black: int = 32
    """Value below which a pixel is nearly black: compression of black stays below it."""
    white: int = 223
    """Value from which a pixel is nearly white: compression of white stays above it."""
    grey: float = 0.25
    """Fraction of pixels in between that a photograph exceeds: a mask has them at edges only."""
    levels: int = 64
    """Minimum number of different values in between of a photograph: labels have fewer."""


_DOUBTS = DoubtTuning()
SAMPLES = 5
"""Maximum number of masks that are sampled for doubts."""


def spread(count: int, most: int = SAMPLES) -> list[int]:
    """Choose at most `most` of `count` frames, evenly spread; returns their numbers."""
    steps = max(1, min(most, count) - 1)
    return sorted({round(step * (count - 1) / steps) for step in range(steps + 1)})


def describe_doubts(
    name: str, samples: Iterable[npt.NDArray[np.uint8]], threshold: int, *, inverted: bool
) -> list[str]:
    """Note doubts about the mask `name` from sampled frames: uint8 values `(h, w)`.

    It looks like a photograph, or marks nearly everything. Values above `threshold` are marked, or
    with `inverted` all others.
    """
    counts = np.zeros(256, np.int64)
    looked = 0
    for values in samples:
        counts += np.bincount(values.ravel(), minlength=256)
        looked += 1
    share = counts[threshold + 1 :].sum() / max(1, counts.sum())
    share = 1 - share if inverted else share
    between = counts[_DOUBTS.black : _DOUBTS.white]
    grey, levels = between.sum() / max(1, counts.sum()), int(np.count_nonzero(between))
    where = "" if looked == 1 else f" in the {looked} sampled frames"
    if grey > _DOUBTS.grey and levels >= _DOUBTS.levels:
        return [
            f"mask {name} looks like a photograph: {_percent(grey)} of its pixels are neither"
            f" nearly black nor nearly white ({levels} levels between){where};"
            f" {_percent(share)} of the picture is marked at the threshold {threshold}"
        ]
    if share > _DOUBTS.nearly_all:
        remedy = (
            "if it was right without it, leave `invert=True` out"
            if inverted
            else "if black is what to remove, use `invert=True`"
        )
        inverse = ", inverted," if inverted else ""
        return [f"mask {name}{inverse} marks {_percent(share)} of the picture{where}; {remedy}"]
    return []


def _percent(share: float) -> str:
    """Format a percentage, rounded down, so that 100 % means every pixel."""
    return f"{int(share * 1000) / 10:g} %"


class MaskSource(Protocol):
    """Provide the hole of every frame of a video, in order."""

    def prepare(self, info: VideoInfo) -> None:
        """Make all checks that need no frame; raise MaskError."""

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the hole of frame `index` at `time` seconds, bool `(h, w)`, coded orientation.

        Called after `prepare`, with increasing `index`. Raises MaskError.
        """

    def close(self) -> None:
        """Close open files; idempotent, allowed at any time."""


class Union:
    """Union of `sources`."""

    def __init__(self, sources: Sequence[MaskSource]) -> None:
        if not sources:
            raise MaskError("no mask given; name a mask or a box")
        self._sources = tuple(sources)

    @property
    def sources(self) -> tuple[MaskSource, ...]:
        """The sources."""
        return self._sources

    def prepare(self, info: VideoInfo) -> None:
        """Check every source."""
        for source in self._sources:
            source.prepare(info)

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the union of the holes of all sources."""
        masks = [source.mask(index, time) for source in self._sources]
        return np.logical_or.reduce(masks) if len(masks) > 1 else masks[0]

    def still(self) -> Mask | None:
        """Return the union if it is the same in all frames; otherwise None."""
        known = [still_mask(source) for source in self._sources]
        whole = next((one for one in known if one is not None and one.all()), None)
        if whole is not None:
            return whole
        masks = [one for one in known if one is not None]
        return np.logical_or.reduce(masks) if len(masks) == len(known) else None

    def paths(self) -> list[Path]:
        """List the files that all sources read."""
        return [path for source in self._sources for path in list_paths(source)]

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """List the doubts of all sources."""
        return [note for source in self._sources for note in list_doubts(source, inverted=inverted)]

    def close(self) -> None:
        """Close every source."""
        for source in self._sources:
            source.close()


class Inverted:
    """Complement of `source`."""

    def __init__(self, source: MaskSource) -> None:
        self._source = source

    @property
    def source(self) -> MaskSource:
        """The source."""
        return self._source

    def prepare(self, info: VideoInfo) -> None:
        """Check the source."""
        self._source.prepare(info)

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the complement of the source's hole."""
        return ~self._source.mask(index, time)

    def still(self) -> Mask | None:
        """Return the complement of the source's constant hole; None if it is not constant."""
        mask = still_mask(self._source)
        return None if mask is None else ~mask

    def paths(self) -> list[Path]:
        """List the files that the source reads."""
        return list_paths(self._source)

    def doubts(self, *, inverted: bool = False) -> list[str]:
        """List the source's doubts about the inverted mask."""
        return list_doubts(self._source, inverted=not inverted)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


@runtime_checkable
class _Still(Protocol):
    def still(self) -> Mask | None: ...


def still_mask(source: MaskSource) -> Mask | None:
    """Return the hole of all frames if a prepared `source` knows that it is constant; or None.

    A source may have a method `still() -> Mask | None` for this.
    """
    return source.still() if isinstance(source, _Still) else None


@runtime_checkable
class _OnDisk(Protocol):
    def paths(self) -> list[Path]: ...


def list_paths(source: MaskSource) -> list[Path]:
    """List the files and folders that `source` reads; no output may replace them.

    A source may have a method `paths() -> list[Path]` for this.
    """
    return source.paths() if isinstance(source, _OnDisk) else []


@runtime_checkable
class _Doubtful(Protocol):
    def doubts(self, *, inverted: bool = False) -> list[str]: ...


def list_doubts(source: MaskSource, *, inverted: bool = False) -> list[str]:
    """List doubts about a prepared source, one line each; empty if it has no `doubts` method.

    `inverted` is True if the hole is the complement of the source's mask.
    """
    return source.doubts(inverted=inverted) if isinstance(source, _Doubtful) else []


def check_size(size: Size, info: VideoInfo, name: str) -> None:
    """Raise MaskError unless `size` is the video's displayed, coded or square-pixel size.

    The last one differs if pixels are not square; `turn_to_coded` scales such masks.
    """
    if size not in (info.display_size, info.size) and not info.is_shown_as(size):
        coded = "" if info.size == info.display_size else f" (or {info.size} as stored)"
        raise MaskError(
            f"mask {name} is {size} but the video is {describe_size(info)}{coded};"
            " make the mask in the video's size"
        )


def describe_size(info: VideoInfo) -> str:
    """Describe the displayed size and, if pixels are not square, the width in players."""
    if not info.is_shown_as(info.shown_size):
        return str(info.display_size)
    aspect = info.sample_aspect_ratio or Fraction(1)
    return (
        f"{info.display_size} with pixels of {aspect.numerator}:{aspect.denominator},"
        f" shown as {info.shown_size}"
    )


def describe_scaling(size: Size, info: VideoInfo, name: str) -> list[str]:
    """Note if a mask of `size` is scaled by `turn_to_coded`."""
    if size in (info.display_size, info.size):
        return []
    return [f"mask {name} is {size} and is scaled: the video is {describe_size(info)}"]


def turn_to_coded(mask: Mask, info: VideoInfo) -> Mask:
    """Rotate a mask `(h, w)` from display to coded orientation.

    A mask that has only the coded size is returned unchanged. A mask of the size at which players
    show non-square pixels is scaled; a pixel is marked if any part of it is.
    """
    if mask.shape == info.size.shape != info.display_size.shape:
        return mask
    if mask.shape != info.display_size.shape:
        size = info.display_size
        parts = cv2.resize(
            mask.astype(np.float32), (size.width, size.height), interpolation=cv2.INTER_AREA
        )
        mask = np.asarray(parts > 0)
    return np.ascontiguousarray(np.rot90(mask, info.rotation // 90))


Frame = npt.NDArray[np.uint8]

LONG_SIDE = 640
"""Maximum longer side of a working frame, in pixels."""


class Shape(NamedTuple):
    """Covered pixels: bool `(h, w)` in `area` of the working frame."""

    area: Box
    covers: Mask


@dataclass(frozen=True, slots=True)
class View:
    """Position and scale of the working frame, in which text is detected, in the video.

    Attributes:
        region: the visible part of the video, in display orientation.
        size: size of the working frame; at most `LONG_SIDE` on the longer side.
    """

    info: VideoInfo
    region: Box
    size: Size

    @classmethod
    def choose(cls, info: VideoInfo, region: Box | None) -> View:
        """Choose a view of `region`, or of the whole picture; raise MaskError if it is outside."""
        whole = info.display_size
        seen = Box(0, 0, whole.width, whole.height) if region is None else region.clipped(whole)
        if seen is None:
            raise MaskError(f"region {region} is outside the frame, which is {whole}")
        scale = min(1.0, LONG_SIDE / max(seen.width, seen.height))
        size = Size(max(1, round(seen.width * scale)), max(1, round(seen.height * scale)))
        return cls(info, seen, size)

    def shrink(self, rgb: Frame) -> Frame:
        """Make the working frame of a coded frame."""
        shown = turn_upright(rgb, self.info)[self.region.slices]
        size = (self.size.width, self.size.height)
        if shown.shape[:2] == self.size.shape:
            return np.ascontiguousarray(shown)
        return np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), np.uint8)

    def enlarge(self, shapes: Sequence[Shape]) -> Mask:
        """Upsample `shapes` to the video's size: bool `(h, w)` in display orientation."""
        working = np.zeros(self.size.shape, np.uint8)
        for area, covers in shapes:
            working[area.slices][covers] = 255
        size = (self.region.width, self.region.height)
        large = cv2.resize(working, size, interpolation=cv2.INTER_LINEAR) > 64
        mask = np.zeros(self.info.display_size.shape, np.bool_)
        mask[self.region.slices] = large
        return mask

    def locate(self, box: Box) -> Box:
        """Convert a box of the working frame to the video, in display orientation."""
        across, down = self.region.width / self.size.width, self.region.height / self.size.height
        x, y = self.region.x + int(box.x * across), self.region.y + int(box.y * down)
        return Box(x, y, round(box.width * across), round(box.height * down))
