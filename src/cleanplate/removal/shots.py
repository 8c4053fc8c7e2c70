"""Shots: where they begin, and what all of their frames show."""

from __future__ import annotations

import tempfile
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import CleanplateError, EncodeError
from cleanplate.masks import MaskSource
from cleanplate.plates import (
    DiskShelf,
    Keyframe,
    KeyframeArchive,
    KeyframeChooser,
    MemoryShelf,
    ShotMemory,
    hide_bars,
)
from cleanplate.types import pack_mask, unpack_mask
from cleanplate.video import Picture, VideoInfo

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_THUMBNAIL = (64, 36)
_CHANGED = 30.0
"""Levels that a cut changes the picture by, at the least."""
_BRIGHTNESS = (0.6, 1.7)
"""Range of the gain between two frames that is taken out before they are compared."""
_SURPRISE = 3.0
"""Times the change seen lately that a cut stands out by, so that fast motion is no cut."""


class ShotDetector:
    """Detect cuts; call with the frames in order."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.float32] | None = None
        self._usual = 0.0

    def begins_shot(self, frame: npt.NDArray[np.uint8]) -> bool:
        """True when `frame` uint8 (h, w, 3) follows a cut; the first frame does not."""
        small = cv2.resize(frame, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, small
        if last is None:
            return False
        change = _change(last, small)
        cut = change > _CHANGED and change > _SURPRISE * self._usual
        self._usual = 0.0 if cut else 0.8 * self._usual + 0.2 * change
        return cut


def _change(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Mean absolute difference in levels, without a small motion and a change of brightness.

    So that fast motion, flicker and a flash are no cuts.
    """
    gain = np.clip((one.mean() + 1) / (other.mean() + 1), *_BRIGHTNESS)
    # The darker one becomes brighter, so that the difference is in the levels of the brighter.
    one, other = one * np.float32(max(1, 1 / gain)), other * np.float32(max(1, gain))
    gray = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (one, other)]
    (dx, dy), _ = cv2.phaseCorrelate(gray[0], gray[1], None)
    if abs(dx) > 16 or abs(dy) > 9:
        dx = dy = 0.0
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    moved = cv2.warpAffine(one, shift, _THUMBNAIL, borderMode=cv2.BORDER_REPLICATE)
    return float(min(np.abs(moved - other).mean(), np.abs(one - other).mean()))


class Memories(Protocol):
    """Knows what each shot of a video shows."""

    def find(self, number: int) -> ShotMemory | None:
        """Return the memory of the shot of a frame, by its number from 0; numbers never fall."""

    def find_shot(self, number: int) -> range | None:
        """Return the frames of its shot, None if not known; after `find`, numbers never fall."""


class ArrayMemories:
    """Memories of a clip that is held as an array.

    Args:
        frames: uint8 (t, h, w, 3).
        masks: bool (t, h, w).
        split_shots: a cut ends a shot; else all frames are one.
        rim: pixels by which the masks grow before they are filled: dilation and feather.
    """

    def __init__(self, frames: Frame, masks: Mask, *, split_shots: bool, rim: int = 0) -> None:
        self._frames, self._masks, self._split = frames, masks, split_shots
        self._rim = rim
        self._shots: list[range] | None = None
        self._archive = KeyframeArchive(MemoryShelf())
        self._memory: tuple[range, ShotMemory] = range(0), ShotMemory([])

    def find(self, number: int) -> ShotMemory | None:
        """See `Memories.find`."""
        if self.find_shot(number) is None:
            return None
        while number not in self._memory[0]:
            self._look_at_shot(self._memory[0].stop)
        return self._memory[1]

    def _look_at_shot(self, first: int) -> None:
        """Remember the shot that begins at frame `first`, the one after the last."""
        shot = self.find_shot(first) or range(first, len(self._frames))
        chooser = KeyframeChooser(MemoryShelf(), self._rim)
        for t in shot:
            chooser.add(t, self._frames[t], self._masks[t])
        keyframes = chooser.finish()
        self._memory = shot, ShotMemory(keyframes, self._archive.find(keyframes))
        self._archive.add(keyframes)

    def find_shot(self, number: int) -> range | None:
        """See `Memories.find_shot`."""
        if self._shots is None:
            self._shots = self._find_shots()
        return next((shot for shot in self._shots if number in shot), None)

    def _find_shots(self) -> list[range]:
        detector = ShotDetector()
        first = [t for t, frame in enumerate(self._frames) if detector.begins_shot(frame)]
        edges = [0, *(first if self._split else []), len(self._frames)]
        return [range(a, b) for a, b in pairwise(edges)]


class StreamMemories:
    """Memories of frames that come one by one: what they have shown so far.

    Keyframes lie in files without a name in the system's temporary folder, at most about 1 GB.
    Where there is no such folder they are held in memory.

    Args:
        rim: pixels by which the masks grow before they are filled: dilation and feather.
    """

    def __init__(self, rim: int = 0) -> None:
        self._rim = rim
        self._folder = _find_folder()
        self._archive = KeyframeArchive(self._open_shelf()[0])
        self._close: Callable[[], object] = lambda: None
        self._chooser: KeyframeChooser | None = None
        self.begin_shot()

    def begin_shot(self) -> None:
        """Keep a few frames of the shot so far: a cut comes before the next one."""
        if self._chooser is not None:
            self._archive.add(self._chooser.finish())
        self._close()
        self._close = lambda: None
        self._chooser = None
        self._known: tuple[Keyframe, ...] = ()
        self._visitors: list[Keyframe] | None = None
        self._memory = ShotMemory([])

    def add(self, number: int, frame: Frame, mask: Mask) -> None:
        """Take the next frame, uint8 (h, w, 3), and its mask, bool (h, w); both are copied."""
        if self._chooser is None:
            shelf, self._close = self._open_shelf()
            self._chooser = KeyframeChooser(shelf, self._rim)
        self._chooser.add(number, frame.copy(), mask.copy())

    def find(self, number: int) -> ShotMemory | None:
        """See `Memories.find`; of the current shot, whatever the number."""
        if self._chooser is None or not self._chooser.has_hole:
            return None
        known = self._chooser.keyframes
        if known != self._known:
            keyframes = hide_bars(known)
            if self._visitors is None:
                self._visitors = self._archive.find(keyframes)
            self._known, self._memory = known, ShotMemory(keyframes, self._visitors)
        return self._memory

    def find_shot(self, number: int) -> range | None:
        """See `Memories.find_shot`; None, since the end of the shot is not known."""
        return None

    def _open_shelf(self) -> tuple[DiskShelf | MemoryShelf, Callable[[], object]]:
        """A shelf, and what closes it: called, or left to the end of this object."""
        if self._folder is None:
            return MemoryShelf(), lambda: None
        shelf = DiskShelf(self._folder)
        # An engine may be dropped in the middle of a shot.
        return shelf, weakref.finalize(self, shelf.close)


def _find_folder() -> Path | None:
    """The system's temporary folder, None where there is none."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return None


class MaskSpool:
    """A queue of masks in a file without a name, for shots of any length.

    Args:
        folder: where the file lies.
        shape: (h, w) of all masks.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        # Without a buffer, a full disk is met here, and not again in `close`.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._shape = shape
        self._sizes: deque[int] = deque()
        self._begin = self._end = 0
        self._last = self._first = np.zeros(shape, np.bool_)

    def put(self, mask: Mask) -> None:
        """Append a mask (h, w)."""
        if np.array_equal(mask, self._last):
            self._sizes.append(0)  # the same again
            return
        data = pack_mask(mask)
        self._file.seek(self._end)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._end += len(data)
        self._sizes.append(len(data))
        self._last = mask

    def take(self) -> Mask:
        """Return the first mask and forget it; raises IndexError when there is none."""
        size = self._sizes.popleft()
        if size:
            self._file.seek(self._begin)
            self._first = unpack_mask(self._file.read(size), self._shape)
            self._begin += size
        if self._begin == self._end:
            self._begin = self._end = 0
        return self._first

    def __len__(self) -> int:
        return len(self._sizes)

    def close(self) -> None:
        """Delete the file; idempotent."""
        self._file.close()


@contextmanager
def _disk_errors_told(folder: Path) -> Iterator[None]:
    """Raise EncodeError for what the disk of `folder` does not take."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise EncodeError(
            f"'{folder}' cannot hold the masks of a shot: {why}; free some disk space"
        ) from None


class FileMemories:
    """Memories of a video file: a reader of its own looks at each shot before the run gets there.

    It asks for the masks, too, in order, and hands them on: to the run it is a mask source.

    Args:
        pictures: of the video, from a reader of their own.
        source: of the masks, prepared.
        folder: on the disk that keeps the keyframes of a shot.
        shape: (h, w) of a frame.
        rim: pixels by which the masks grow before they are filled: dilation and feather.
    """

    def __init__(
        self,
        pictures: Iterator[Picture],
        source: MaskSource,
        folder: Path,
        shape: tuple[int, int],
        rim: int = 0,
    ) -> None:
        self._pictures, self._source, self._folder = pictures, source, folder
        self._rim = rim
        with _disk_errors_told(folder):
            self._earlier = DiskShelf(folder)  # keyframes of the shots before
            self._archive = KeyframeArchive(self._earlier)
            self._masks = MaskSpool(folder, shape)
        self._detector = ShotDetector()
        self._count = 0  # frames looked at
        self._begun: tuple[Picture, Mask] | None = None  # first frame of the next shot
        self._shots: deque[tuple[range, ShotMemory | None, DiskShelf]] = deque()
        self._error: CleanplateError | None = None
        self.is_short = False
        """Whether the disk took fewer keyframes than wanted."""

    def prepare(self, info: VideoInfo) -> None:
        """Do nothing: the source was prepared before."""

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask of the next frame; see `MaskSource.mask`."""
        while not len(self._masks):
            if self._error is not None:
                raise self._error
            self._look_at_shot(index, time)
        return self._masks.take()

    def find(self, number: int) -> ShotMemory | None:
        """See `Memories.find`."""
        while self._shots and self._shots[0][0].stop <= number:
            self._shots.popleft()[2].close()
        return self._shots[0][1] if self._shots and number in self._shots[0][0] else None

    def find_shot(self, number: int) -> range | None:
        """See `Memories.find_shot`."""
        return next((shot for shot, _, _ in self._shots if number in shot), None)

    def close(self) -> None:
        """Delete what is kept on disk; idempotent."""
        getattr(self._pictures, "close", lambda: None)()
        self._masks.close()
        self._earlier.close()
        while self._shots:
            self._shots.popleft()[2].close()

    def _look_at_shot(self, index: int, time: Fraction) -> None:
        """Read up to the next cut, keep the masks, and choose keyframes."""
        with _disk_errors_told(self._folder):
            shelf = DiskShelf(self._folder)
        chooser = KeyframeChooser(shelf, self._rim)
        first = self._count
        try:
            for picture, mask in self._read_shot():
                chooser.add(self._count, picture.rgb, mask)
                with _disk_errors_told(self._folder):
                    self._masks.put(mask)
                self._count += 1
        except CleanplateError as error:
            # The run meets it where it belongs: at the frame that cannot be had.
            self._error = error
        if self._count == first and self._error is None:
            # The run's reader has a frame that this one has not: a file that grows.
            with _disk_errors_told(self._folder):
                self._masks.put(self._source.mask(index, time))
            self._count += 1
        self.is_short = self.is_short or chooser.is_short
        keyframes = chooser.finish()
        memory = None
        if chooser.has_hole:
            memory = ShotMemory(keyframes, self._archive.find(keyframes))
        self._archive.add(keyframes)
        self._shots.append((range(first, self._count), memory, shelf))

    def _read_shot(self) -> Iterator[tuple[Picture, Mask]]:
        if self._begun is not None:
            yield self._begun
            self._begun = None
        for picture in self._pictures:
            mask = self._source.mask(picture.index, picture.time)
            if self._detector.begins_shot(picture.rgb):
                self._begun = picture, mask
                return
            yield picture, mask
