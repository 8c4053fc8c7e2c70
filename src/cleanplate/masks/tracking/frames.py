"""All frames of a video at the size of the analysis, on disk, to be read in any order."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from fractions import Fraction
from types import TracebackType
from typing import IO

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow import shrink
from cleanplate.types import Size
from cleanplate.video import Picture

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
