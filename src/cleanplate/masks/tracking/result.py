"""What tracking gives: a mask and a confidence for every frame, kept small."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cleanplate.errors import MaskError, name_count
from cleanplate.masks.source import Mask
from cleanplate.types import Size

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo

_PART = 0.4
"""Share of a small pixel's mask from which a pixel of the video is covered; rather too many."""


@dataclass(frozen=True, slots=True)
class PackedMask:
    """A mask `(h, w)` as compressed bits."""

    shape: tuple[int, int]
    data: bytes = field(repr=False)

    @classmethod
    def pack(cls, mask: Mask) -> PackedMask:
        """Compress `mask`, bool `(h, w)`."""
        height, width = mask.shape
        return cls((height, width), zlib.compress(np.packbits(mask).tobytes(), 1))

    def unpack(self) -> Mask:
        """The mask again."""
        bits = np.frombuffer(zlib.decompress(self.data), np.uint8)
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(bits, count=count).reshape(self.shape).astype(np.bool_)

    def enlarge(self, size: Size) -> Mask:
        """The mask at `size`, with smooth outlines."""
        mask = self.unpack()
        if self.shape == size.shape or not mask.any():
            return mask if self.shape == size.shape else np.zeros(size.shape, np.bool_)
        share = cv2.resize(
            mask.astype(np.float32), (size.width, size.height), interpolation=cv2.INTER_LINEAR
        )
        return np.asarray(share > _PART)


@dataclass(frozen=True, slots=True)
class LostSpan:
    """From `start` to before `end`, in seconds, the object of prompt number `prompt` is not seen.

    `prompt` counts from 0; None is the foreground as a whole, when masks were edited by hand.
    """

    start: Fraction
    end: Fraction
    prompt: int | None = None

    def __str__(self) -> str:
        return f"{float(self.start):.2f}-{float(self.end):.2f} s"


@dataclass(frozen=True)
class Tracked:
    """A mask source made by `track`: what was found in each frame of one video."""

    size: Size
    """Coded size of the video."""
    times: tuple[Fraction, ...] = field(repr=False)
    """Seconds of each frame."""
    masks: tuple[PackedMask, ...] = field(repr=False)
    confidence: tuple[float, ...] = field(repr=False)
    """For each frame, 0 (lost) to 1 (as sure as on the frame that was prompted)."""
    lost: tuple[LostSpan, ...] = ()
    """Where an object is not seen: hidden, out of the picture, or lost."""
    end: Fraction | None = None
    """Seconds at which the last frame leaves the screen."""

    def __len__(self) -> int:
        return len(self.masks)

    def prepare(self, info: VideoInfo) -> None:
        """Refuse another video than the one that was tracked."""
        if info.size != self.size or info.frame_count != len(self.masks):
            raise MaskError(
                f"masks were tracked in a video of {name_count(len(self.masks), 'frame')} of"
                f" {self.size}, but"
                f" this one has {info.frame_count} of {info.size}; track the object in this video"
            )

    def mask(self, index: int, time: Fraction | None = None) -> Mask:
        """The mask of frame `index`, bool `(h, w)`, coded orientation; `time` is not needed.

        Raises MaskError for a frame behind the last one.
        """
        if not 0 <= index < len(self.masks):
            raise MaskError(f"frame {index} was not tracked; there are {len(self.masks)}")
        return self.masks[index].enlarge(self.size)

    def close(self) -> None:
        """Nothing is open."""

    def unsure(self, below: float = 0.5) -> tuple[LostSpan, ...]:
        """Spans of time whose confidence is under `below`: what to look at first."""
        return find_spans([value < below for value in self.confidence], self.times, end=self.end)


def find_spans(
    marked: Sequence[bool],
    times: Sequence[Fraction],
    prompt: int | None = None,
    *,
    end: Fraction | None = None,
) -> tuple[LostSpan, ...]:
    """The runs of `marked` frames as spans of time.

    The last frame is on the screen until `end`, or if that is not known as long as the one before.
    """
    usual = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 0)
    ends = [*times[1:], usual if end is None else end]
    spans, start = [], None
    for index, mark in enumerate([*marked, False]):
        if mark and start is None:
            start = times[index]
        if not mark and start is not None:
            spans.append(LostSpan(start, ends[index - 1], prompt))
            start = None
    return tuple(spans)
