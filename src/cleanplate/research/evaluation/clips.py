"""Evaluation clips: one sequence with one set of masks, streamed; strips of its frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import CleanplateError, InputError
from cleanplate.masks import open_mask
from cleanplate.types import Box, Size
from cleanplate.video import VideoInfo, open_reader, probe, turn_upright

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

BLANK = 128
"""Grey level inside holes in the input of methods, so that no ground truth leaks."""
MOMENTS = 4
"""Number of frames of a clip shown in a report."""


@dataclass(frozen=True, slots=True)
class Case:
    """Paths of one sequence and its masks.

    Attributes:
        sequence: its name, unique in a data set.
        mask: the name of the set of masks, such as `moving`.
        frames: folder of images, or a video.
        masks: folder of images, one image, or a video.
        truth: ground truth, like `frames`; None if it is not known.
        size: size to which frames and truth are scaled; None keeps theirs. Masks have this size.
    """

    sequence: str
    mask: str
    frames: Path
    masks: Path
    truth: Path | None
    size: Size | None = None

    def __str__(self) -> str:
        return f"{self.sequence}, {self.mask}"


class Unsuitable(CleanplateError):
    """The method does not support this kind of hole; not counted as a failure."""


class Shot(NamedTuple):
    """A frame `(h, w, 3)`, its hole `(h, w)`, and the ground truth `(h, w, 3)` or None."""

    frame: Frame
    mask: Mask
    truth: Frame | None


@dataclass(frozen=True, slots=True)
class Survey:
    """Statistics of the masks of a clip.

    Attributes:
        with_hole: number of frames with a hole.
        share: fraction of the clip's pixels inside holes.
        checksum: SHA-256 of the masks' shapes and bits in order; the same for any file format.
        box: the hole, if it is the same rectangle in all frames that have one; otherwise None.
        moments: indices of frames to show, preferably with a hole.
    """

    with_hole: int
    share: float
    checksum: str
    box: Box | None
    moments: tuple[int, ...]


class Clip:
    """A case whose frames, masks and ground truth match in size and count. Frames are upright.

    Raises InputError with the name of the sequence if frames, masks and truth differ in number or
    size, or cannot be read.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        with _naming(case):
            self._info = probe(case.frames)
            self.size = case.size or self._info.display_size
            self.count = self._info.frame_count
            self._truth = self._probe_truth(case)
            with closing(open_mask(case.masks)) as masks:
                masks.prepare(self._scaled_info())

    def __iter__(self) -> Iterator[Shot]:
        """Iterate over all frames in order; each call reads them again."""
        with _naming(self.case), ExitStack() as files:
            masks = files.enter_context(closing(open_mask(self.case.masks)))
            masks.prepare(self._scaled_info())
            pictures = files.enter_context(open_reader(self.case.frames, self._info))
            truths = self._read_truth(files)
            for picture in pictures:
                mask = masks.mask(picture.index, picture.time)
                frame = self._scale(turn_upright(picture.rgb, self._info))
                yield Shot(frame, mask, next(truths) if truths else frame)

    def blanked(self) -> Iterator[tuple[Frame, Mask]]:
        """Iterate over the input of methods: frames (h, w, 3), BLANK in holes, and masks (h, w)."""
        for frame, mask, _ in self:
            hidden = frame.copy()
            hidden[mask] = BLANK
            yield hidden, mask

    @property
    def has_truth(self) -> bool:
        """Whether there is ground truth behind the holes."""
        return self.case.truth is not None

    def _probe_truth(self, case: Case) -> VideoInfo | None:
        """Probe result of the ground truth; None if there is none or it is the frames."""
        if case.truth is None or case.truth == case.frames:
            return None
        truth = probe(case.truth)
        size = self._info.display_size
        if (truth.frame_count, truth.display_size) != (self.count, size):
            raise InputError(
                f"the truth has {truth.frame_count} frames of {truth.display_size}, but the clip"
                f" has {self.count} of {size}; they must be equal"
            )
        return truth

    def _read_truth(self, files: ExitStack) -> Iterator[Frame | None] | None:
        """Open the frames of the ground truth; None if they are the frames of the clip."""
        if self._truth is not None:
            info = self._truth
            reader = files.enter_context(open_reader(info.path, info))
            return (self._scale(turn_upright(picture.rgb, info)) for picture in reader)
        return None if self.has_truth else repeat(None)

    def _scaled_info(self) -> VideoInfo:
        """Probe result of the clip at the scored size, upright."""
        return replace(self._info, size=self.size, rotation=0)

    def _scale(self, frame: Frame) -> Frame:
        if frame.shape[:2] == self.size.shape:
            return frame
        size = (self.size.width, self.size.height)
        return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def survey(clip: Clip) -> Survey:
    """Compute the statistics of the masks of `clip` in one pass."""
    digest = hashlib.sha256()
    pixels, holes = 0, []
    boxes: set[Box | None] = set()
    for index, shot in enumerate(clip):
        digest.update(repr(shot.mask.shape).encode() + np.packbits(shot.mask).tobytes())
        marked = int(np.count_nonzero(shot.mask))
        pixels += marked
        if marked:
            holes.append(index)
            boxes.add(find_rectangle(shot.mask))
    return Survey(
        with_hole=len(holes),
        share=pixels / (clip.size.width * clip.size.height * clip.count),
        checksum=digest.hexdigest(),
        box=boxes.pop() if len(boxes) == 1 else None,
        moments=_spread(holes or list(range(clip.count))),
    )


def find_rectangle(mask: Mask) -> Box | None:
    """Return the rectangle if the True pixels of `mask` (h, w) form exactly one, else None."""
    box = Box(*cv2.boundingRect(mask.astype(np.uint8)))
    return box if box.width and mask[box.slices].all() else None


def _spread(indices: list[int]) -> tuple[int, ...]:
    """Choose MOMENTS of `indices`, evenly spaced; all if there are fewer."""
    places = {int((step + 0.5) * len(indices) / MOMENTS) for step in range(MOMENTS)}
    return tuple(indices[place] for place in sorted(places))


class _naming:
    """Prefix errors while reading with the case's name."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CleanplateError):
            raise InputError(f"{self._case}: {error}") from error


_CELL = 240
"""Width of a picture in a strip, in pixels."""


_GAP = 4


_QUALITY = 88


_TINT = np.array([255, 0, 255], np.uint8)


def draw_strip(pictures: Sequence[Frame]) -> bytes:
    """Encode `pictures` (h, w, 3) of one size, downscaled and side by side, as JPEG."""
    height, width = pictures[0].shape[:2]
    size = (_CELL, max(1, round(_CELL * height / width)))
    cells: list[Frame] = []
    for picture in pictures:
        cells.append(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8))
        cells.append(np.full((size[1], _GAP, 3), 128, np.uint8))
    strip = np.hstack(cells[:-1])
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return cv2.imencode(".jpg", np.ascontiguousarray(strip[..., ::-1]), quality)[1].tobytes()


def tint(frame: Frame, mask: Mask) -> Frame:
    """Blend the hole of `frame` with magenta at 50 %."""
    shown = frame.copy()
    shown[mask] = shown[mask] // 2 + _TINT // 2
    return shown


def draw_case(shots: Iterator[Shot], moments: Sequence[int]) -> dict[str, bytes]:
    """Draw the strips of a case: `input` with holes in magenta, and `truth` if it is known."""
    shown = [shot for index, shot in enumerate(shots) if index in moments]
    strips = {"input": draw_strip([tint(shot.frame, shot.mask) for shot in shown])}
    truths = [shot.truth for shot in shown if shot.truth is not None]
    return strips | ({"truth": draw_strip(truths)} if truths else {})
