"""See a mask over its video: as a video, as a folder of pictures, or as one sheet."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, OccupiedError
from cleanplate.files import build_file, find_place
from cleanplate.masks.source import Mask
from cleanplate.video import Picture, VideoInfo, Writer, open_writer
from cleanplate.video.fields import PROGRESSIVE
from cleanplate.video.images import write_png

Frame = npt.NDArray[np.uint8]

_COLOUR = (255, 0, 160)
_SHEET_FRAMES, _COLUMNS = 16, 4
_SHEET_WIDTH = 480
"""Pixels across one frame of a sheet at most."""


def draw_overlay(frame: Frame, mask: Mask) -> Frame:
    """`frame` uint8 RGB `(h, w, 3)` with the hole tinted and its rim drawn."""
    drawn = frame.copy()
    if mask.any():
        tinted = frame[mask].astype(np.uint16) + np.array(_COLOUR, np.uint16)
        drawn[mask] = (tinted // 2).astype(np.uint8)
        rims = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(drawn, rims, -1, _COLOUR, 1)
    return drawn


def turn_upright(pixels: npt.NDArray[np.generic], info: VideoInfo) -> npt.NDArray[np.generic]:
    """An array `(h, w, …)` in coded orientation as people see it."""
    return np.ascontiguousarray(np.rot90(pixels, -(info.rotation // 90)))


def describe_upright(info: VideoInfo) -> VideoInfo:
    """`info` of pictures that were turned upright and come alone, with the same timestamps."""
    aspect = info.sample_aspect_ratio
    if aspect and info.rotation in (90, 270):
        aspect = Fraction(1) / aspect
    return replace(
        info,
        kind="images",
        size=info.display_size,
        rotation=0,
        display_matrix=None,
        sample_aspect_ratio=aspect,
        pixel_format="rgb24",
        color_range=0,
        chroma_siting="",
        field_order=PROGRESSIVE,
        audio_streams=0,
        subtitle_streams=0,
    )


class Preview:
    """A context manager that takes frames and their masks and draws them over each other.

    Leaving it normally puts the result in place; leaving it by an exception leaves nothing.
    """

    def __init__(self, path: Path, info: VideoInfo, *, overwrite: bool) -> None:
        self._info = info
        self._film: Writer | None = None
        self._sheet: _Sheet | None = None
        if path.suffix.lower() == ".png":
            self._sheet = _Sheet(path, info.frame_count, overwrite)
        else:
            self._film = open_writer(path, describe_upright(info), crf=20, overwrite=overwrite)

    def write(self, picture: Picture, mask: Mask) -> None:
        """Draw the next frame; both in coded orientation."""
        drawn = np.asarray(turn_upright(draw_overlay(picture.rgb, mask), self._info), np.uint8)
        if self._film is not None:
            upright = Picture(picture.index, picture.pts, picture.time, drawn)
            self._film.write(upright, drawn, np.zeros(drawn.shape[:2], np.bool_))
        if self._sheet is not None:
            self._sheet.add(picture.index, drawn)

    def __enter__(self) -> Preview:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._film is not None:
            self._film.__exit__(kind, error, trace)
        if self._sheet is not None and (error is None or isinstance(error, OccupiedError)):
            self._sheet.finish()


def open_preview(path: str | PathLike[str], info: VideoInfo, *, overwrite: bool = False) -> Preview:
    """Open `path` for the masks over `info`'s frames: a video, a sheet (`.png`) or a folder.

    Raises OutputError.
    """
    return Preview(Path(path), info, overwrite=overwrite)


class _Sheet:
    """Some frames, evenly spread over the video, in one picture."""

    def __init__(self, path: Path, frame_count: int, overwrite: bool) -> None:
        find_place(path, "a file", overwrite=overwrite)
        count = min(_SHEET_FRAMES, max(1, frame_count))
        self._path, self._overwrite = path, overwrite
        self._chosen = {round((k + 0.5) * frame_count / count - 0.5) for k in range(count)}
        self._tiles: list[Frame] = []

    def add(self, index: int, drawn: Frame) -> None:
        if index not in self._chosen:
            return
        scale = min(1.0, _SHEET_WIDTH / drawn.shape[1])
        size = (max(1, round(drawn.shape[1] * scale)), max(1, round(drawn.shape[0] * scale)))
        self._tiles.append(
            np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)
        )

    def finish(self) -> None:
        """Write the picture."""
        height, width = self._tiles[0].shape[:2]
        rows = -(-len(self._tiles) // _COLUMNS)
        columns = min(_COLUMNS, len(self._tiles))
        sheet = np.full((rows * (height + 4) - 4, columns * (width + 4) - 4, 3), 255, np.uint8)
        for number, tile in enumerate(self._tiles):
            y, x = (number // _COLUMNS) * (height + 4), (number % _COLUMNS) * (width + 4)
            sheet[y : y + height, x : x + width] = tile
        try:
            with build_file(self._path, overwrite=self._overwrite) as partial:
                write_png(partial, sheet)
        except OSError as error:
            raise EncodeError(f"'{self._path}' could not be written: {error.strerror}") from None
