"""Write masks as a folder or a video, and previews of them over the frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, OccupiedError, OutputError
from cleanplate.masks.source import Mask, MaskSource, list_paths
from cleanplate.storage.atomic import build_file, find_place
from cleanplate.storage.paths import check_places
from cleanplate.video import (
    Picture,
    VideoInfo,
    Writer,
    open_reader,
    open_writer,
    probe,
    turn_upright,
)
from cleanplate.video.destination import Destination
from cleanplate.video.images import PICTURES, write_png
from cleanplate.video.info import describe_upright
from cleanplate.video.writer import check_picture

Frame = npt.NDArray[np.uint8]

_COLOUR = (255, 0, 160)
_SHEET_FRAMES, _COLUMNS = 16, 4
_SHEET_WIDTH = 480
"""Maximum width of one frame of a sheet, in pixels."""


def draw_overlay(frame: Frame, mask: Mask) -> Frame:
    """Draw the hole over `frame`, uint8 RGB `(h, w, 3)`: tinted, with an outline."""
    drawn = frame.copy()
    if mask.any():
        tinted = frame[mask].astype(np.uint16) + np.array(_COLOUR, np.uint16)
        drawn[mask] = (tinted // 2).astype(np.uint8)
        rims = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(drawn, rims, -1, _COLOUR, 1)
    return drawn


class Preview:
    """Context manager that overlays masks on frames and writes the pictures.

    A normal exit moves the result into place; an exception leaves nothing.
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
        """Draw the next frame; picture and mask are in coded orientation."""
        drawn = turn_upright(draw_overlay(picture.rgb, mask), self._info)
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
    """Open `path` for overlays on `info`'s frames: a video, a sheet (`.png`) or a folder.

    Raises OutputError.
    """
    return Preview(Path(path), info, overwrite=overwrite)


class _Sheet:
    """One picture of some frames, evenly spread over the video."""

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


Progress = Callable[[int, int | None], None]


class MapWriter:
    """Context manager that writes one drawn picture per frame, in order and without loss.

    A normal exit moves the pictures into place; an exception leaves nothing.
    Raises EncodeError if the disk is full.

    Args:
        path: a video, or without suffix a folder of PNGs.
        info: of the video that the pictures belong to.
        pixel_format: "gray" or "rgb24".
        overwrite: replace what is there.
    """

    def __init__(self, path: Path, info: VideoInfo, pixel_format: str, *, overwrite: bool) -> None:
        self._info = info
        self._film: Writer | None = None
        self._folder: Destination | None = None
        if path.suffix:
            result = replace(describe_upright(info), pixel_format=pixel_format)
            self._film = open_writer(path, result, lossless=True, overwrite=overwrite)
        else:
            self._folder = _claim_folder(path, info.path, overwrite)
        stems = [file.stem for file in info.files]
        self._stems = stems if len(set(stems)) == len(stems) else []

    def draw(self, picture: Picture, drawn: Frame) -> None:
        """Write what belongs to `picture`: uint8 gray (h, w) or RGB (h, w, 3), as coded."""
        shown = turn_upright(drawn, self._info)
        if self._film is not None:
            rgb = np.dstack([shown] * 3) if shown.ndim == 2 else shown
            upright = Picture(picture.index, picture.pts, picture.time, rgb)
            self._film.write(upright, rgb, np.zeros(rgb.shape[:2], np.bool_))
        if self._folder is not None:
            number = picture.index
            stem = self._stems[number] if self._stems else f"{number:05d}"
            _write_image(self._folder.partial / f"{stem}.png", shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._film is not None:
            self._film.__exit__(kind, error, trace)
        if self._folder is not None:
            self._folder.settle(error)

    def finish(self) -> None:
        """See `video.Writer.finish`."""
        for output in (self._film, self._folder):
            if isinstance(output, Writer):
                output.finish()
            elif output is not None:
                output.seal()


class MaskWriter(MapWriter):
    """Write one mask per frame as a gray picture: white where the hole is."""

    def __init__(self, path: Path, info: VideoInfo, *, overwrite: bool) -> None:
        super().__init__(path, info, "gray", overwrite=overwrite)

    def write(self, picture: Picture, mask: Mask) -> None:
        """Write the hole of `picture`, bool `(h, w)`, coded orientation."""
        self.draw(picture, mask.astype(np.uint8) * np.uint8(255))


def open_mask_writer(
    path: str | PathLike[str], info: VideoInfo, *, overwrite: bool = False
) -> MaskWriter:
    """Open `path` for the masks of `info`'s frames: a video, or without suffix a folder of PNGs.

    Raises OutputError.
    """
    return MaskWriter(Path(path), info, overwrite=overwrite)


@dataclass(frozen=True)
class Recorded:
    """Result of `record_masks`.

    Attributes:
        frames: number of masks.
        frames_with_hole: number of masks that mark something.
        hole_share: mean marked fraction of the picture, 0 to 1.
    """

    frames: int
    frames_with_hole: int
    hole_share: float


def record_masks(
    path: str | PathLike[str],
    source: MaskSource,
    output: str | PathLike[str],
    *,
    preview: str | PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Recorded:
    """Write the masks of a video, and optionally a preview of them on its frames.

    Args:
        path: a video file or a folder of images.
        source: source of the masks; it is not closed.
        output: a video file, or a path without extension for a folder of PNGs.
        preview: a video file, a `.png` for one sheet of frames, or a folder.
        overwrite: replace existing outputs.
        progress: called with the number of frames done and in total.

    Raises:
        InputError: the arguments or inputs cannot be used (exit code 2).
        OccupiedError: a file appeared at an output path during the run; the message names the
            path of the finished result.
        CleanplateError: the run failed; all outputs are unchanged.

    An error raised by `progress` is passed on, and all outputs are unchanged.
    """
    info = probe(Path(path))
    check_outputs(
        path,
        Path(output),
        preview=Path(preview) if preview is not None else None,
        reads=list_paths(source),
        overwrite=overwrite,
    )
    source.prepare(info)
    frames = with_hole = marked = 0
    with ExitStack() as stack:
        writer = stack.enter_context(open_mask_writer(output, info, overwrite=overwrite))
        overlay = None
        if preview is not None:
            overlay = stack.enter_context(open_preview(preview, info, overwrite=overwrite))
        for picture in stack.enter_context(open_reader(path, info)):
            mask = source.mask(picture.index, picture.time)
            writer.write(picture, mask)
            if overlay is not None:
                overlay.write(picture, mask)
            count = int(np.count_nonzero(mask))
            frames, with_hole, marked = frames + 1, with_hole + (count > 0), marked + count
            if progress is not None:
                progress(frames, info.frame_count)
        # Complete before the preview is moved into place, so that both exist or none.
        writer.finish()
    return Recorded(frames, with_hole, marked / max(1, frames * info.size.width * info.size.height))


def check_outputs(
    path: str | PathLike[str],
    *outputs: Path | None,
    preview: Path | None = None,
    reads: Iterable[str | PathLike[str]] = (),
    overwrite: bool,
) -> None:
    """Raise OutputError in advance if `path` cannot be written.

    `reads` are all other paths that the run reads: masks, corrections, models. None of them, nor
    `path` itself, may be replaced or removed.
    """
    given = [output for output in (*outputs, preview) if output is not None]
    check_places(given, [path, *reads])
    for output in given:
        if output is preview and output.suffix.lower() == ".png":
            find_place(output, "a file", overwrite=overwrite)
        else:
            if output.suffix.lower() in PICTURES:
                check_picture(output, probe(path))
            Destination(output, Path(path), overwrite=overwrite)


def _claim_folder(path: Path, source: Path, overwrite: bool) -> Destination:
    """Make the folder for masks as images; raise OutputError if that fails."""
    place = Destination(path, source, overwrite=overwrite)
    place.claim()
    try:
        place.partial.mkdir()
    except BaseException as error:
        place.discard()
        if not isinstance(error, OSError):
            raise
        raise OutputError(f"'{place.folder}' cannot be written to: {error.strerror}") from None
    return place


def _write_image(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write an array `(h, w)` or `(h, w, 3)` as a PNG with one or three channels."""
    if pixels.ndim == 3:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
    try:
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise EncodeError(
            f"'{path.name}' could not be written: {error.strerror}; free some space"
        ) from None
