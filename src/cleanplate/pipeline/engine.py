"""The streaming engine: frames and masks go in one by one, finished frames come out in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError, MaskError
from cleanplate.flow import Motion, enlarge, propagate, shrink, shrink_mask
from cleanplate.masks import dilate as grow
from cleanplate.masks import feather as soften
from cleanplate.pipeline.regions import Region, find_region
from cleanplate.pipeline.shots import ShotDetector
from cleanplate.pipeline.stages import Stages
from cleanplate.types import Size

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]
Method = Literal["auto", "sttn", "flow"]
Pixels = npt.NDArray[np.uint8]
Picture = TypeVar("Picture", bound=npt.NDArray[np.generic])

_FLOW_PIXELS = 640 * 360
_BUFFERED_PIXELS = 120_000_000
_SEGMENT = 8
"""Spans after which motion is estimated anew: it costs some 5 %, and work can start again there."""
_GUESSED, _UNSEEN = 0.5, 0.8
"""Shares of guesswork in a pixel at which the network begins to count, and is all that counts."""


@dataclass(frozen=True, slots=True)
class Span:
    """How many frames are filled together: `own` new ones, with `around` more on either side."""

    own: int
    around: int

    @classmethod
    def for_size(cls, size: Size) -> Span:
        """64 frames between 24 and 24 where memory allows it, fewer above 1280x720."""
        total = min(112, _BUFFERED_PIXELS // max(1, size.width * size.height))
        around = max(2, total * 3 // 14)
        return cls(max(4, total - 2 * around), around)


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished frame, uint8 RGB (h, w, 3), and the pixels (h, w) that may have changed."""

    frame: Frame
    touched: Mask


class Filler(Protocol):
    """A network that fills what no frame saw, such as `WindowFiller`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a report should say about how it went so far."""

    def region(self, holes: Sequence[Mask], size: Size) -> Region | None:
        """The part of pictures of `size` that is to be looked at, None where `holes` are empty."""

    def fill(
        self, frames: Sequence[Frame], masks: Sequence[Mask], wanted: range
    ) -> npt.NDArray[np.float32]:
        """The `wanted` frames (t, h, w, 3) in [0, 255], with their holes filled."""


class Store(Protocol):
    """Keeps what was filled, so that a run that was cut off can go on.

    Frames are counted from the start of the video; pixels are uint8 RGB (k, 3), those of a frame's
    touched mask in the order of `np.nonzero`. A segment ends where nothing but the frames
    themselves is carried on, so only whole segments may be given back.
    """

    def load(self, frames: range) -> list[Pixels] | None:
        """What was kept of these frames, or None."""

    def save(self, frames: range, pixels: list[Pixels], *, ends_segment: bool) -> None:
        """Keep the pixels of these frames, which were filled together."""


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
        store: of what an earlier run filled, and this one does.
        stages: clock of the run.
    """

    def __init__(
        self,
        size: Size,
        *,
        filler: Filler | None = None,
        method: Method = "auto",
        dilate: int = 0,
        feather: int = 0,
        span: Span | None = None,
        split_shots: bool = True,
        store: Store | None = None,
        stages: Stages | None = None,
    ) -> None:
        if dilate < 0 or feather < 0:
            raise InputError(f"dilate {dilate} and feather {feather} must not be negative")
        if method == "sttn" and filler is None:
            raise InputError("method 'sttn' needs a network; name its weights with --model FILE")
        self._size = size
        self._filler = None if method == "flow" else filler
        self._propagates = method != "sttn"
        self._dilate, self._feather = dilate, feather
        self.span = span or Span.for_size(size)
        self._shots = ShotDetector() if split_shots else None
        self._store, self._stages = store, stages or Stages()
        self._held: list[_Entry] = []
        self._first = 0  # number of the first of those held
        self._spans = 0  # finished in this segment
        self._finished = 0  # how many of those held have been given back; kept as context
        self._region: Region | None = None
        self._motion = Motion.none()  # of the first of those held, inside that region

    def push(self, frame: Frame, mask: Mask) -> list[Finished]:
        """Take one frame, uint8 RGB (h, w, 3), and its mask, bool (h, w); True = hole."""
        self._check(frame, mask)
        cut = self._shots is not None and self._shots.begins_shot(frame)
        ready = self.finish() if cut else []
        core = grow(mask, self._dilate)
        self._held.append(_Entry(frame, core, grow(core, self._feather)))
        if len(self._held) - self._finished >= self.span.own + self.span.around:
            ready += self._advance()
        return ready

    def finish(self) -> list[Finished]:
        """Give back all frames still held; the engine can go on with another shot."""
        ready = self._finish(range(self._finished, len(self._held)), ends_segment=True)
        self._drop(len(self._held), len(self._held))
        self._begin_segment()
        return ready

    def _check(self, frame: Frame, mask: Mask) -> None:
        shape = (*self._size.shape, 3)
        if frame.dtype != np.uint8 or frame.shape != shape:
            raise InputError(f"a frame is {frame.dtype} {frame.shape}; it must be uint8 {shape}")
        if mask.dtype != np.bool_ or mask.shape != shape[:2]:
            raise MaskError(f"a mask is {mask.dtype} {mask.shape}; it must be bool {shape[:2]}")

    def _advance(self) -> list[Finished]:
        last = self._finished + self.span.own
        ends_segment = not self._propagates or self._spans + 1 == _SEGMENT
        ready = self._finish(range(self._finished, last), ends_segment=ends_segment)
        self._spans += 1
        self._drop(last - min(self.span.around, last), last)
        if ends_segment:
            self._begin_segment()
        return ready

    def _drop(self, count: int, finished: int) -> None:
        """Hold the first `count` frames no longer; `finished` of all have been given back."""
        self._held, self._first = self._held[count:], self._first + count
        self._finished = finished - count
        self._motion = self._motion.without(count)

    def _begin_segment(self) -> None:
        self._spans, self._motion = 0, Motion.none()

    def _finish(self, wanted: range, *, ends_segment: bool) -> list[Finished]:
        """Finish the `wanted` held frames: from the store, or by filling them."""
        numbers = range(self._first + wanted.start, self._first + wanted.stop)
        entries = [self._held[at] for at in wanted]
        if self._store is None or not numbers:
            return self._fill(wanted)
        kept = self._store.load(numbers)
        if kept is not None:
            return [_recall(entry, pixels) for entry, pixels in zip(entries, kept, strict=True)]
        ready = self._fill(wanted)
        pixels = [done.frame[done.touched] for done in ready]
        self._store.save(numbers, pixels, ends_segment=ends_segment)
        return ready

    def _fill(self, wanted: range) -> list[Finished]:
        """Fill the `wanted` held frames, with all that is held as their surroundings."""
        entries = [self._held[at] for at in wanted]
        if not any(entry.touched.any() for entry in entries):
            return [_unchanged(entry) for entry in entries]
        frames = [entry.frame for entry in self._held]
        holes = [entry.touched for entry in self._held]
        shares = [hole.astype(np.float32) for hole in holes]
        if self._propagates:
            with self._stages.time("flow"):
                self._propagate(frames, holes, shares, wanted)
        if self._filler is not None:
            with self._stages.time("network"):
                self._ask_network(self._filler, frames, shares, wanted)
        with self._stages.time("blend"):
            return [self._compose(self._held[at], frames[at]) for at in wanted]

    def _propagate(
        self, frames: list[Frame], holes: list[Mask], shares: list[Field], wanted: range
    ) -> None:
        """Replace the wanted frames and their shares of guesswork by what other frames saw."""
        least = max(128, max(self._size.shape) // 3)
        region = find_region(
            holes, self._size, margin=0.5, least=Size(least, least), pixels=_FLOW_PIXELS
        )
        assert region is not None
        if region != self._region:
            self._region, self._motion = region, Motion.none()
        part = region.box.slices
        result = propagate(
            [frame[part] for frame in frames],
            [hole[part] for hole in holes],
            wanted=wanted,
            motion=self._motion,
            work=region.work.shape,
        )
        self._motion = result.motion
        for at, frame, share in zip(wanted, result.frames, result.guessed, strict=True):
            frames[at] = _replaced(frames[at], region, frame)
            shares[at] = _replaced(np.zeros_like(shares[at]), region, share)

    def _ask_network(
        self, filler: Filler, frames: list[Frame], shares: list[Field], wanted: range
    ) -> None:
        """Let the network fill what is mostly guessed in the wanted frames, and fade it in."""
        unknown = [share > _GUESSED for share in shares]
        region = filler.region([unknown[at] for at in wanted], self._size)
        if region is None:
            return
        part, work = region.box.slices, region.work.shape
        made = filler.fill(
            [shrink(frame[part], work) for frame in frames],
            [shrink_mask(mask[part], work) for mask in unknown],
            wanted,
        )
        for at, picture in zip(wanted, made, strict=True):
            share = shares[at][part]
            weight = np.clip((share - _GUESSED) / (_UNSEEN - _GUESSED), 0, 1)[..., None]
            large = enlarge(np.rint(picture).clip(0, 255).astype(np.uint8), share.shape)
            known = frames[at][part]
            mixed = known + weight * (large.astype(np.float32) - known)
            frames[at] = _replaced(frames[at], region, mixed)

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


def _recall(entry: _Entry, pixels: Pixels) -> Finished:
    if len(pixels) != np.count_nonzero(entry.touched):
        raise InputError(
            "what the earlier run kept does not fit its masks; leave --resume out to begin anew"
        )
    if not len(pixels):
        return _unchanged(entry)
    frame = entry.frame.copy()
    frame[entry.touched] = pixels
    return Finished(frame, entry.touched)


def _replaced(picture: Picture, region: Region, part: npt.NDArray[np.generic]) -> Picture:
    """`picture` with what `region` covers replaced, rounded where it holds whole levels."""
    result = picture.copy()
    whole = np.issubdtype(picture.dtype, np.integer)
    result[region.box.slices] = np.rint(part) if whole else part
    return result
