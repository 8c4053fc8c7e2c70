"""The interface of a segmentation model, the frames that it sees, and the result of tracking."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError, name_count
from cleanplate.masks.source import Mask
from cleanplate.motion import shrink
from cleanplate.types import Size, pack_mask, unpack_mask
from cleanplate.video import Picture

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo


class Frames(Protocol):
    """Frames of one shape, uint8 RGB (h, w, 3), to be read in any order."""

    shape: tuple[int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a segmenter says about one frame."""

    index: int
    mask: Mask
    """bool (h, w) of the frames' shape; empty where the object is not seen."""
    confidence: float
    """0 (not seen) to 1."""


class Segmenter(Protocol):
    """Finds an object: first inside a box, then in frame after frame."""

    looks: int
    """How often it looks at each frame: how many `Found` come for it."""

    def segment(self, frames: Frames, index: int, box: Mask) -> Mask:
        """The object inside `box`, bool (h, w), on frame `index`."""

    def follow(self, frames: Frames, mask: Mask, indices: Sequence[int]) -> Iterator[Found]:
        """Segment the object that `mask` shows on frame `indices[0]` in the frames after it.

        `indices` are consecutive frames, forwards or backwards in time. Yield one `Found` per
        frame except the prompt frame, in order. A segmenter with a second pass yields a second
        result per frame that replaces the first; that pass may include the prompt frame.
        """


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
        return cls((height, width), pack_mask(mask))

    def unpack(self) -> Mask:
        """The mask again."""
        return unpack_mask(self.data, self.shape)

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


Frame = npt.NDArray[np.uint8]

_SHORT_SIDE = 270
_QUALITY = 95
_RECENT = 64
"""Frames kept decoded: following an object looks at the same neighbours again and again."""


class SmallFrames:
    """Frames of one shape, kept as JPEG in a temporary file; a context manager.

    Memory holds an offset for each frame, however long the video is.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        """(height, width) of every frame."""
        self.times: list[Fraction] = []
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed by __exit__
        self._offsets = [0]
        self._recent: OrderedDict[int, Frame] = OrderedDict()

    def __enter__(self) -> SmallFrames:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> Frame:
        """Frame `index`, uint8 RGB (h, w, 3); not to be written to."""
        if index not in self._recent:
            self._recent[index] = self._read(index)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        self._recent.move_to_end(index)
        return self._recent[index]

    def _read(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(index)
        self._file.seek(self._offsets[index])
        data = self._file.read(self._offsets[index + 1] - self._offsets[index])
        image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        return np.ascontiguousarray(image[..., ::-1])

    def append(self, frame: Frame, time: Fraction) -> None:
        """Keep `frame` uint8 RGB (h, w, 3), shrunk to the shape."""
        small = shrink(frame, self.shape)
        _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        self._file.seek(self._offsets[-1])
        self._file.write(data.tobytes())
        self._offsets.append(self._offsets[-1] + data.size)
        self.times.append(time)


def choose_shape(size: Size) -> tuple[int, int]:
    """(height, width) of the analysis for a video of `size`: enough to see the object by."""
    share = min(1.0, _SHORT_SIDE / min(size.width, size.height))
    return max(round(size.height * share), 1), max(round(size.width * share), 1)


def collect(
    pictures: Iterable[Picture], shape: tuple[int, int], step: Callable[[], None]
) -> SmallFrames:
    """Shrink all pictures; `step` is called after each and may raise."""
    frames = SmallFrames(shape)
    try:
        for picture in pictures:
            frames.append(picture.rgb, picture.time)
            step()
    except BaseException:
        frames.__exit__(None, None, None)
        raise
    return frames
