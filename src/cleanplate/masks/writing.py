"""Write masks so that people can look at them, mend them, and give them back.

A folder gets one PNG a frame, of 0 and 255; a video is written without loss and with the frames'
own timestamps. Both are as people see the video: upright.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, OccupiedError, OutputError
from cleanplate.files import find_place
from cleanplate.masks.preview import describe_upright, open_preview, turn_upright
from cleanplate.masks.source import Mask, MaskSource, list_paths
from cleanplate.places import check_places
from cleanplate.video import Picture, VideoInfo, Writer, open_reader, open_writer, probe
from cleanplate.video.destination import Destination
from cleanplate.video.images import PICTURES
from cleanplate.video.writer import check_picture

Progress = Callable[[int, int | None], None]


class MaskWriter:
    """A context manager that takes one mask a frame, in order.

    Leaving it normally puts the masks in place; leaving it by an exception leaves nothing.
    Raises EncodeError when the disk is full.
    """

    def __init__(self, path: Path, info: VideoInfo, *, overwrite: bool) -> None:
        self._info = info
        self._film: Writer | None = None
        self._folder: Destination | None = None
        if path.suffix:
            result = replace(describe_upright(info), pixel_format="gray")
            self._film = open_writer(path, result, lossless=True, overwrite=overwrite)
        else:
            self._folder = _claim_folder(path, info.path, overwrite)
        stems = [file.stem for file in info.files]
        self._stems = stems if len(set(stems)) == len(stems) else []

    def write(self, picture: Picture, mask: Mask) -> None:
        """Write the hole of `picture`, bool `(h, w)`, coded orientation."""
        shown = np.asarray(turn_upright(mask, self._info), np.uint8) * np.uint8(255)
        if self._film is not None:
            rgb = cv2.merge([shown, shown, shown])
            upright = Picture(picture.index, picture.pts, picture.time, np.asarray(rgb, np.uint8))
            self._film.write(upright, upright.rgb, np.zeros(shown.shape, np.bool_))
        if self._folder is not None:
            number = picture.index
            stem = self._stems[number] if self._stems else f"{number:05d}"
            _write_gray(self._folder.partial / f"{stem}.png", shown)

    def __enter__(self) -> MaskWriter:
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
            # When another output of the run found its place taken, this one is still wanted.
            if error is None or isinstance(error, OccupiedError):
                self._folder.commit()
            else:
                self._folder.discard()

    def finish(self) -> None:
        """See `video.Writer.finish`."""
        for output in (self._film, self._folder):
            if isinstance(output, Writer):
                output.finish()
            elif output is not None:
                output.seal()


def open_mask_writer(
    path: str | PathLike[str], info: VideoInfo, *, overwrite: bool = False
) -> MaskWriter:
    """Open `path` for the masks of `info`'s frames: a video, or without suffix a folder of PNGs.

    Raises OutputError.
    """
    return MaskWriter(Path(path), info, overwrite=overwrite)


@dataclass(frozen=True)
class Recorded:
    """What `record_masks` wrote.

    Attributes:
        frames: number of masks.
        frames_with_hole: number of masks that mark something.
        hole_share: mean share of the picture that is marked, 0 to 1.
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
    """Write the masks of a video, and if wanted a preview of them over its frames.

    Args:
        path: a video file or a folder of images.
        source: says what is marked; it is not closed.
        output: a video file, or a path without extension for a folder of PNGs.
        preview: a video file, a `.png` for one sheet of frames, or a folder.
        overwrite: replace what is there.
        progress: called with the frames done and their number.

    Raises:
        InputError: what was asked for cannot be done (exit code 2).
        OccupiedError: something appeared at an output path meanwhile; the finished result has
            another name, which the message says.
        CleanplateError: it failed on the way; all outputs are as they were before.

    An error that `progress` raises arrives unchanged, and all outputs are as they were before.
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
        # Complete before the preview takes its place: then both are there, or none.
        writer.finish()
    return Recorded(frames, with_hole, marked / max(1, frames * info.size.width * info.size.height))


def check_outputs(
    path: str | PathLike[str],
    *outputs: Path | None,
    preview: Path | None = None,
    reads: Iterable[str | PathLike[str]] = (),
    overwrite: bool,
) -> None:
    """Raise OutputError for an output of `path` that could not be written, before long work.

    `reads` are all other paths that the work reads: masks, corrections, models. None of them, nor
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
    """Where masks go as images; OutputError when it cannot be made."""
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


def _write_gray(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write `(h, w)` as a PNG with one channel."""
    try:
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise EncodeError(
            f"'{path.name}' could not be written: {error.strerror}; free some space"
        ) from None
