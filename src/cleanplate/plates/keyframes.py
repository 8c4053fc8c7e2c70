"""Keyframes: the frames of a shot that are kept as sources for distant ones."""

from __future__ import annotations

import zlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.plates.registration import SmallPicture

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class KeyframeTuning:
    """Constants of the choice of keyframes."""

    pixels: int = 400_000_000
    """Most pixels in the keyframes of a shot. In a short one every frame is a keyframe, which finds
    pictures that come back; in a longer one they lie further apart."""
    least: int = 24
    """Keyframes of a shot that are always allowed."""
    most: int = 256
    """Most keyframes of a shot."""
    around: int = 3
    """Frames before and after a keyframe whose holes are added to its own: an object is often seen
    a little before its mask begins and after it ends."""
    margin: float = 0.01
    """Pixels by which a keyframe's hole is dilated, as a fraction of the longer side: beside an
    object lie its shadow and blurred edge."""
    cached: int = 12
    """Keyframes that are held decoded at the same time."""


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
    """Keeps frames as PNG files in a folder, and the last few decoded.

    Raises OSError where the disk takes no more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._recent: OrderedDict[int, Frame] = OrderedDict()

    def put(self, number: int, frame: Frame) -> None:
        """See `Shelf.put`."""
        fast = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        done, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), fast)
        if not done:
            raise OSError(f"keyframe {number} could not be coded")
        self._path(number).write_bytes(data.tobytes())

    def get(self, number: int) -> Frame:
        """See `Shelf.get`."""
        if number not in self._recent:
            data = np.frombuffer(self._path(number).read_bytes(), np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if picture is None:
                raise OSError(f"keyframe {number} was changed on disk")
            self._recent[number] = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            if len(self._recent) > _TUNING.cached:
                self._recent.popitem(last=False)
        self._recent.move_to_end(number)
        return self._recent[number]

    def drop(self, number: int) -> None:
        """See `Shelf.drop`."""
        self._recent.pop(number, None)
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.png"


@dataclass(frozen=True)
class Keyframe:
    """A frame of a shot: its number, reduced picture and packed hole; `load` gives the whole."""

    number: int
    small: SmallPicture
    packed: bytes
    load: Callable[[], Frame]

    @property
    def hole(self) -> Mask:
        """The dilated hole (h, w)."""
        height, width = self.small.shape
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return np.unpackbits(bits, count=height * width).reshape(height, width).view(np.bool_)


class KeyframeChooser:
    """Choose the keyframes of one shot from its frames in order.

    At first every frame is one. When they are too many, every second one is dropped and the step
    doubled, so that memory is bounded and the choice depends on the shot alone.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._keyframes: list[Keyframe] = []
        self._recent: deque[tuple[int, Mask | None]] = deque(maxlen=2 * _TUNING.around + 1)
        self._open: deque[tuple[int, Frame, list[Mask]]] = deque()
        self._step, self._count = 1, 0
        self.has_hole = False

    def add(self, number: int, frame: Frame, hole: Mask) -> None:
        """Take the next frame (h, w, 3) and its hole (h, w); neither may change afterwards."""
        mask = hole if hole.any() else None
        self.has_hole = self.has_hole or mask is not None
        before = [other for _, other in list(self._recent)[-_TUNING.around :]]
        self._recent.append((number, mask))
        for _, _, holes in self._open:
            if mask is not None:
                holes.append(mask)
        if self._count % self._step == 0:
            holes = [one for one in [*before, mask] if one is not None]
            self._open.append((number, frame, holes))
        self._count += 1
        while self._open and self._open[0][0] <= number - _TUNING.around:
            self._close(*self._open.popleft())

    def finish(self) -> list[Keyframe]:
        """Return the keyframes of the shot, in order."""
        while self._open:
            self._close(*self._open.popleft())
        return self._keyframes

    def _close(self, number: int, frame: Frame, holes: list[Mask]) -> None:
        """Keep a keyframe whose surroundings in time are known."""
        shape = frame.shape[:2]
        hole = np.logical_or.reduce(holes) if holes else np.zeros(shape, np.bool_)
        side = 2 * max(1, round(_TUNING.margin * max(shape))) + 1
        ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        hole = np.asarray(cv2.dilate(hole.view(np.uint8), ellipse), np.bool_)
        if hole.all():
            return
        self._shelf.put(number, frame)
        packed = zlib.compress(np.packbits(hole).tobytes(), 1)
        small = SmallPicture.of(frame, hole)
        shelf = self._shelf
        self._keyframes.append(Keyframe(number, small, packed, lambda: shelf.get(number)))
        allowed = min(_TUNING.most, max(_TUNING.least, _TUNING.pixels // hole.size))
        if len(self._keyframes) > allowed:
            self._thin()

    def _thin(self) -> None:
        for dropped in self._keyframes[1::2]:
            self._shelf.drop(dropped.number)
        self._keyframes = self._keyframes[::2]
        self._step *= 2
