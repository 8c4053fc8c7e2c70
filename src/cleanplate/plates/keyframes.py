"""Keyframes: the frames of a shot that are kept as sources for distant ones."""

from __future__ import annotations

import math
import os
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, widen
from cleanplate.motion.letterbox import find_picture
from cleanplate.plates.registration import SmallPicture
from cleanplate.types import Box, pack_mask, unpack_mask

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class KeyframeTuning:
    """Constants of the choice of keyframes."""

    pixels: int = 250_000_000
    """Most pixels in the keyframes of a shot. In a short one every frame is a keyframe, which finds
    pictures that come back; in a longer one they lie further apart."""
    least: int = 24
    """Keyframes of a shot that are always allowed."""
    most: int = 256
    """Most keyframes of a shot."""
    around: int = 3
    """Frames before and after a keyframe whose holes are added to its own: an object is often seen
    a little before its mask begins and after it ends."""
    views: int = 4
    """Keyframes in which letterbox bars are looked for, at most."""
    margin: float = 0.01
    """Pixels by which a keyframe's hole is dilated at least, as a fraction of the longer side:
    beside an object lie its shadow and blurred edge."""


_TUNING = KeyframeTuning()


class Shelf(Protocol):
    """Keeps the pictures of keyframes."""

    def put(self, number: int, frame: Frame) -> None:
        """Keep `frame` (h, w, 3) as that of this number."""

    def get(self, number: int) -> Frame:
        """Return it again, the same to the last bit."""

    def drop(self, number: int) -> None:
        """Keep it no longer."""


class MemoryShelf:
    """Keeps frames as they are, without a copy: for clips that are in memory anyway."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}

    def put(self, number: int, frame: Frame) -> None:
        """See `Shelf.put`."""
        self._frames[number] = frame

    def get(self, number: int) -> Frame:
        """See `Shelf.get`."""
        return self._frames[number]

    def drop(self, number: int) -> None:
        """See `Shelf.drop`."""
        self._frames.pop(number, None)


class DiskShelf:
    """Keeps frames as raw samples in a file without a name, which is gone when it is closed.

    Raises OSError where the disk takes no more.

    Args:
        folder: where the file lies.
    """

    def __init__(self, folder: Path) -> None:
        # Without a buffer: after a failed write none of it may come again with the next one.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (see `close`)
        self._places: dict[int, int] = {}
        self._free: list[int] = []
        self._shape: tuple[int, ...] = ()

    def put(self, number: int, frame: Frame) -> None:
        """See `Shelf.put`."""
        place = self._free.pop() if self._free else len(self._places)
        self._shape = frame.shape
        left, at = memoryview(frame.tobytes()), place * frame.size
        try:
            while left:
                written = os.pwrite(self._file.fileno(), left, at)
                left, at = left[written:], at + written
        except OSError:
            self._free.append(place)
            raise
        self._places[number] = place

    def get(self, number: int) -> Frame:
        """See `Shelf.get`."""
        count = math.prod(self._shape)
        place = self._places[number] * count
        data = bytearray()
        while part := os.pread(self._file.fileno(), count - len(data), place + len(data)):
            data += part
        if len(data) != count:
            raise OSError(f"keyframe {number} could not be read again")
        return np.frombuffer(data, np.uint8).reshape(self._shape)

    def drop(self, number: int) -> None:
        """See `Shelf.drop`."""
        self._free.append(self._places.pop(number))

    def close(self) -> None:
        """Delete the file; idempotent."""
        self._file.close()


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A frame of a shot: its number, reduced picture and packed hole; `load` gives the whole.

    Two of them are equal only if they are the same object.
    """

    number: int
    small: SmallPicture
    packed: bytes
    load: Callable[[], Frame]

    @property
    def hole(self) -> Mask:
        """The dilated hole (h, w)."""
        return unpack_mask(self.packed, self.small.shape)

    def inside(self, picture: Box) -> Keyframe:
        """The same with all outside `picture` hidden: letterbox bars are no background."""
        hidden = np.ones(self.small.shape, np.bool_)
        hidden[picture.slices] = self.hole[picture.slices]
        small = SmallPicture.of(self.load(), hidden)
        return replace(self, small=small, packed=pack_mask(hidden))

    def field(self, parity: int) -> Keyframe:
        """The lines of one field, as a picture of its own; `parity` is that of their numbers."""
        hole = self.hole[parity::2]
        small = SmallPicture.of(self.load()[parity::2], hole)
        return Keyframe(self.number, small, pack_mask(hole), lambda: self.load()[parity::2])


class KeyframeChooser:
    """Choose the keyframes of one shot from its frames in order.

    At first every frame is one. When they are too many, every second one is dropped and the step
    doubled, so that memory is bounded and the choice depends on the shot alone.

    Args:
        shelf: keeps their pictures.
        rim: pixels by which masks grow before they are filled; none of them is background.
    """

    def __init__(self, shelf: Shelf, rim: int = 0) -> None:
        self._shelf, self._rim = shelf, rim
        self._keyframes: list[Keyframe] = []
        self._recent: deque[Mask] = deque(maxlen=_TUNING.around)
        self._open: deque[tuple[int, Frame, list[Mask]]] = deque()
        self._step = 1
        self._first: int | None = None  # number of the shot's first frame
        self.has_hole = False
        self.is_short = False
        """Whether the disk took fewer keyframes than wanted."""

    def add(self, number: int, frame: Frame, hole: Mask) -> None:
        """Take the next frame (h, w, 3) and its hole (h, w); neither may change afterwards."""
        self.has_hole = self.has_hole or bool(hole.any())
        for _, _, holes in self._open:
            holes.append(hole)
        if self._first is None:
            self._first = number
        if self._is_due(number):
            self._open.append((number, frame, [*self._recent, hole]))
        self._recent.append(hole)
        while self._open and self._open[0][0] <= number - _TUNING.around:
            self._close(*self._open.popleft())

    @property
    def keyframes(self) -> tuple[Keyframe, ...]:
        """The keyframes so far, in order, with letterbox bars; see `hide_bars`.

        Frames whose surroundings in time are not yet known are none.
        """
        return tuple(self._keyframes)

    def finish(self) -> list[Keyframe]:
        """Return the keyframes of the shot, in order."""
        while self._open:
            self._close(*self._open.popleft())
        return hide_bars(self._keyframes)

    def _close(self, number: int, frame: Frame, holes: list[Mask]) -> None:
        """Keep a keyframe whose surroundings in time are known."""
        hole = np.logical_or.reduce(holes)
        side = 2 * max(1, self._rim + 1, round(_TUNING.margin * max(hole.shape))) + 1
        ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        box = bound(hole)
        if box is not None:
            part = widen(box, side // 2, hole.shape).slices
            hole[part] = cv2.dilate(hole[part].view(np.uint8), ellipse) > 0
        if hole.all():
            return
        if not self._put(number, frame):
            return
        packed = pack_mask(hole)
        small = SmallPicture.of(frame, hole)
        shelf = self._shelf
        self._keyframes.append(Keyframe(number, small, packed, lambda: shelf.get(number)))
        allowed = min(_TUNING.most, max(_TUNING.least, _TUNING.pixels // hole.size))
        if len(self._keyframes) > allowed:
            self._thin()

    def _put(self, number: int, frame: Frame) -> bool:
        """Keep a picture; where the disk is full, in the place of others."""
        try:
            self._shelf.put(number, frame)
        except OSError:
            self.is_short = True
            dropped = len(self._keyframes) > 1
            self._thin()
            return dropped and self._is_due(number) and self._put(number, frame)
        return True

    def _thin(self) -> None:
        """Double the step until keyframes are dropped, of those that wait as well."""
        before = len(self._keyframes)
        while 1 < before == len(self._keyframes):
            self._step *= 2
            for keyframe in self._keyframes:
                if not self._is_due(keyframe.number):
                    self._shelf.drop(keyframe.number)
            self._keyframes = [one for one in self._keyframes if self._is_due(one.number)]
            self._open = deque(one for one in self._open if self._is_due(one[0]))

    def _is_due(self, number: int) -> bool:
        """Whether a frame is a keyframe with the present step."""
        return (number - (self._first or 0)) % self._step == 0


def hide_bars(keyframes: Sequence[Keyframe]) -> list[Keyframe]:
    """Keyframes of one shot without its letterbox bars, which do not move with the picture."""
    if not keyframes:
        return []
    step = -(-len(keyframes) // _TUNING.views)
    picture = find_picture([(one.load(), ~one.hole) for one in keyframes[::step]])
    if picture.size.shape == keyframes[0].small.shape:
        return list(keyframes)
    return [one.inside(picture) for one in keyframes]
