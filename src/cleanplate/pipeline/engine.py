"""The streaming engine: frames and masks go in one by one, finished frames come out in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError, MaskError
from cleanplate.flow import enlarge, propagate, shrink, shrink_mask
from cleanplate.masks import dilate as grow
from cleanplate.masks import feather as soften
from cleanplate.pipeline.regions import Region, find_region
from cleanplate.pipeline.shots import ShotDetector
from cleanplate.pipeline.windows import Blend, WindowFiller
from cleanplate.types import Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]
Method = Literal["auto", "sttn", "flow"]

_FLOW_PIXELS = 640 * 360
_BUFFERED_PIXELS = 120_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """How many frames are filled together: `own` new ones, with `around` more on either side."""

    own: int
    around: int

    @classmethod
    def for_size(cls, size: Size) -> Span:
        """As long as memory allows: 64 + 2 * 16 frames, fewer above 1280x720."""
        total = _BUFFERED_PIXELS // max(1, size.width * size.height)
        return cls(*((64, 16) if total >= 96 else (max(4, total * 2 // 3), max(2, total // 6))))


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished frame, uint8 RGB (h, w, 3), and the pixels (h, w) that differ from the source's."""

    frame: Frame
    touched: Mask


@dataclass(frozen=True, slots=True)
class _Entry:
    frame: Frame
    mask: Mask  # what must go: the user's mask, dilated
    touched: Mask  # that and its feathered rim: the hole that is filled


class Engine:
    """Fills the holes of one video, frame by frame, in memory that does not grow with its length.

    `push` gives back the frames that became ready, `finish` the rest; together one for each frame
    that was pushed, in order. Frames are held until enough of the future is known to fill them
    (`span`), and until a shot ends: nothing is carried across a cut.

    Args:
        size: of all frames and masks.
        filler: the network, or None: then what no frame saw is guessed from the rim of the hole.
        method: "auto" propagates what other frames saw and leaves the rest to the network,
            "flow" propagates only, "sttn" leaves everything to the network.
        dilate: pixels by which masks grow.
        feather: pixels outside the grown mask over which the fill fades into the source.
        span: frames that are filled together; by default as memory allows.
        split_shots: carry nothing across a cut.
    """

    def __init__(
        self,
        size: Size,
        *,
        filler: WindowFiller | None = None,
        method: Method = "auto",
        dilate: int = 0,
        feather: int = 0,
        span: Span | None = None,
        split_shots: bool = True,
    ) -> None:
        if method == "sttn" and filler is None:
            raise InputError("method 'sttn' needs a network; name its weights with --model FILE")
        self._size = size
        self._filler = None if method == "flow" else filler
        self._propagates = method != "sttn"
        self._dilate, self._feather = dilate, feather
        self._span = span or Span.for_size(size)
        self._shots = ShotDetector() if split_shots else None
        self._held: list[_Entry] = []
        self._finished = 0  # how many of those held have been given back; kept as context

    def push(self, frame: Frame, mask: Mask) -> list[Finished]:
        """Take one frame, uint8 RGB (h, w, 3), and its mask, bool (h, w); True = hole."""
        self._check(frame, mask)
        cut = self._shots is not None and self._shots.begins_shot(frame)
        ready = self.finish() if cut else []
        core = grow(mask, self._dilate)
        self._held.append(_Entry(frame, core, grow(core, self._feather)))
        if len(self._held) - self._finished >= self._span.own + self._span.around:
            ready += self._advance()
        return ready

    def finish(self) -> list[Finished]:
        """Give back all frames still held; the engine can go on with another shot."""
        ready = self._fill(self._finished, len(self._held)) if self._held else []
        self._held, self._finished = [], 0
        return ready

    def _check(self, frame: Frame, mask: Mask) -> None:
        shape = (*self._size.shape, 3)
        if frame.dtype != np.uint8 or frame.shape != shape:
            raise InputError(f"a frame is {frame.dtype} {frame.shape}; it must be uint8 {shape}")
        if mask.dtype != np.bool_ or mask.shape != shape[:2]:
            raise MaskError(f"a mask is {mask.dtype} {mask.shape}; it must be bool {shape[:2]}")

    def _advance(self) -> list[Finished]:
        last = self._finished + self._span.own
        ready = self._fill(self._finished, last)
        context = min(self._span.around, last)
        self._held, self._finished = self._held[last - context :], context
        return ready

    def _fill(self, first: int, last: int) -> list[Finished]:
        """Finish the held frames `first`..`last`, with all that is held as their surroundings."""
        wanted = [at for at in range(first, last) if self._held[at].touched.any()]
        if not wanted:
            return [_unchanged(entry) for entry in self._held[first:last]]
        begin = max(0, wanted[0] - self._span.around)
        end = min(len(self._held), wanted[-1] + 1 + self._span.around)
        filled = self._fill_holes(self._held[begin:end])
        return [
            self._compose(entry, filled[at - begin]) if begin <= at < end else _unchanged(entry)
            for at, entry in enumerate(self._held[first:last], start=first)
        ]

    def _fill_holes(self, entries: Sequence[_Entry]) -> list[Frame]:
        frames = [entry.frame for entry in entries]
        holes = [entry.touched for entry in entries]
        if not self._propagates:
            return self._ask_network(frames, holes, [hole.astype(np.float32) for hole in holes])
        margin = max(32, max(self._size.shape) // 12)
        least = Size(margin * 4, margin * 4)
        region = find_region(holes, self._size, margin=0.5, least=least, pixels=_FLOW_PIXELS)
        assert region is not None
        part = region.box.slices
        result = propagate(
            [frame[part] for frame in frames],
            [hole[part] for hole in holes],
            work=region.work.shape,
        )
        carried = [_replaced(frame, region, new) for frame, new in zip(frames, result.frames, strict=True)]
        if self._filler is None:
            return carried
        shares = [_placed(share, region, self._size) for share in result.guessed]
        unknown = [share > 0.5 for share in shares]
        return self._ask_network(carried, unknown, shares)

    def _ask_network(
        self, frames: list[Frame], unknown: list[Mask], shares: list[Field]
    ) -> list[Frame]:
        """Let the network fill what is `unknown`, and mix it in by `shares` (h, w) in [0, 1]."""
        assert self._filler is not None
        region = self._filler.region(unknown, self._size)
        if region is None:
            return frames
        part, work = region.box.slices, region.work.shape
        made = self._filler.fill(
            [shrink(frame[part], work) for frame in frames],
            [shrink_mask(mask[part], work) for mask in unknown],
        )
        result = []
        for frame, picture, mask, share in zip(frames, made, unknown, shares, strict=True):
            if not mask.any():
                result.append(frame)
                continue
            picture = enlarge(np.rint(picture).clip(0, 255).astype(np.uint8), region.box.size.shape)
            weight = np.where(mask[part], share[part], 0)[..., None]
            mixed = frame[part] + weight * (picture.astype(np.float32) - frame[part])
            result.append(_replaced(frame, region, np.rint(mixed).astype(np.uint8)))
        return result

    def _compose(self, entry: _Entry, filled: Frame) -> Finished:
        """Fade the fill into the source; pixels outside the feathered mask are the source's own."""
        if not entry.touched.any():
            return _unchanged(entry)
        if self._feather == 0:
            frame = np.where(entry.touched[..., None], filled, entry.frame)
            return Finished(frame, entry.touched)
        alpha = soften(entry.mask, self._feather)[..., None]
        mixed = entry.frame + alpha * (filled.astype(np.float32) - entry.frame)
        return Finished(np.rint(mixed).astype(np.uint8), entry.touched)


def _unchanged(entry: _Entry) -> Finished:
    return Finished(entry.frame, np.zeros(entry.touched.shape, np.bool_))


def _replaced(frame: Frame, region: Region, part: Frame) -> Frame:
    result = frame.copy()
    result[region.box.slices] = part
    return result


def _placed(part: Field, region: Region, size: Size) -> Field:
    result = np.zeros(size.shape, np.float32)
    result[region.box.slices] = part
    return result
