"""Plates as files: read those that a user gives, write those of a run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError, name_count
from cleanplate.masks import parse_time
from cleanplate.motion.areas import shrink_mask
from cleanplate.options import RemoveOptions, split_clean
from cleanplate.plates import (
    GivenPlate,
    GivenPlates,
    Provenance,
    Registration,
    SmallPicture,
    register,
)
from cleanplate.plates.album import (
    Album,
    AlbumWriter,
    PlateEntry,
    ShotEntry,
    find_album_place,
    read_edits,
    turn_picture,
)
from cleanplate.plates.registration import enlarge_points
from cleanplate.removal.engine import Finished
from cleanplate.removal.report import digest_source
from cleanplate.removal.shots import ShotDetector
from cleanplate.storage.paths import check_places
from cleanplate.types import Size
from cleanplate.video import Excerpt, Picture, VideoInfo, open_reader, read_timeline, turn_upright
from cleanplate.video.images import read_image

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ExportTuning:
    """Constants of the choice of exported plates."""

    step: int = 8
    """Frames with a hole from one check to the next."""
    covered: float = 0.9
    """Fraction of a hole that a plate must show, so that no other is written."""
    apart: int = 32
    """Fewest frames from one plate to the next where registration fails."""
    compared: int = 8
    """Latest plates of a shot that a frame is registered with."""
    grid: int = 9
    """Points per side that an exported homography is fitted to."""


_TUNING = ExportTuning()


def open_given(
    options: RemoveOptions, info: VideoInfo, *, decode: bool = True
) -> GivenPlates | None:
    """Read what `plates` and `clean` give for a video; None for neither. Raises InputError.

    `decode`: compare clean frames with the source. Without, the result only shows that all can be
    read.
    """
    if info.excerpt is not None:
        given = open_given(options, info.excerpt.whole, decode=decode)
        return None if given is None else given.renumber(info.excerpt.frames.start)
    plates: list[GivenPlate] = []
    name = info.path.name
    if options.plates is not None:
        album = Album.open(Path(options.plates))
        album.check(name, info.display_size, info.frame_count, digest_source(info))
        plates += read_edits(album, info)
    cleans = [
        (_find_number(text, info), _read_clean(Path(path), info.display_size))
        for text, path in split_clean(options.clean)
    ]
    numbers = {number for number, _ in cleans if decode}
    sources = _read_frames(info, numbers, options.keep_going)
    for number, picture in cleans:
        picture = turn_picture(picture, info)
        plates.append(GivenPlate.clean(number, sources.get(number, picture), picture))
    return _unite(plates, options)


def _read_frames(info: VideoInfo, numbers: set[int], keep_going: bool) -> dict[int, Frame]:
    """Decode frames (h, w, 3) by their numbers; damaged ones are missing if it may `keep_going`."""
    found: dict[int, Frame] = {}
    if not numbers:
        return found
    with open_reader(info.path, info, keep_going=keep_going) as reader:
        for picture in reader:
            if picture.index in numbers:
                found[picture.index] = picture.rgb
            if picture.index >= max(numbers):
                break
    return found


def open_given_for_clip(options: RemoveOptions, frames: Frame) -> GivenPlates | None:
    """The same for a clip in memory (t, h, w, 3); it has no times."""
    plates: list[GivenPlate] = []
    count, height, width, _ = frames.shape
    size = Size(width, height)
    if options.plates is not None:
        album = Album.open(Path(options.plates))
        album.check("frames", size, count, None)
        plates += read_edits(album)
    for text, path in split_clean(options.clean):
        if not _is_number(text):
            raise InputError(f"`clean` names the time '{text}', but frames have numbers only")
        number = _check_number(int(text), "the clip", count)
        picture = _read_clean(Path(path), size)
        plates.append(GivenPlate.clean(number, frames[number], picture))
    return _unite(plates, options)


def _unite(plates: Sequence[GivenPlate], options: RemoveOptions) -> GivenPlates | None:
    return GivenPlates(plates) if options.plates is not None or options.clean else None


def _find_number(text: str, info: VideoInfo) -> int:
    """The number of the frame that `text` names by its number or its time."""
    if _is_number(text):
        return _check_number(int(text), f"'{info.path.name}'", info.frame_count)
    time = parse_time(text)
    if info.end is not None and time >= info.end:
        raise InputError(
            f"`clean` names {float(time):g} s, but '{info.path.name}' ends at"
            f" {float(info.end):.2f} s; name an earlier time"
        )
    return read_timeline(info).find_shown(time)


def _is_number(text: str) -> bool:
    """Whether it is the number of a frame; Python refuses to read very long ones."""
    return text.isdecimal() and len(text) < 20


def _check_number(number: int, name: str, count: int) -> int:
    if number >= count:
        raise InputError(
            f"`clean` names frame {number}, but {name} has {name_count(count, 'frame')}, numbered"
            " from 0; name an earlier one"
        )
    return number


def _read_clean(path: Path, size: Size) -> Frame:
    if not path.exists():
        raise InputError(f"image '{path}', given as `clean`, does not exist; check its name")
    picture = read_image(path)
    if picture.shape[:2] != size.shape:
        own = Size(picture.shape[1], picture.shape[0])
        raise InputError(
            f"image '{path}', given as `clean`, is {own}, but the video is {size}; save it in that"
            " size"
        )
    return picture


def list_given_paths(options: RemoveOptions) -> list[Path]:
    """Files and folders that `plates` and `clean` read."""
    folder = [] if options.plates is None else [Path(options.plates)]
    return [*folder, *(Path(path) for _, path in split_clean(options.clean))]


def digest_given(plates: GivenPlates | None) -> str | None:
    """SHA-256 of all that decides what is painted; None without plates."""
    if plates is None:
        return None
    digest = hashlib.sha256()
    for plate in plates.plates:
        digest.update(repr((plate.frame, plate.shot, plate.box)).encode())
        for part in (plate.colours, plate.weight, plate.small.colours):
            digest.update(part.tobytes())
    return digest.hexdigest()


@dataclass
class PaintLog:
    """Notes what came of given pictures; call `watch` with the finished frames in order."""

    plates: GivenPlates | None
    folder: str | os.PathLike[str] | None
    excerpt: Excerpt | None = None
    painted: int = 0
    """Number of frames with painted pixels."""
    _count: int = 0
    _whole: set[int] = field(default_factory=set)

    def watch(self, picture: Picture, finished: Finished) -> None:
        """Take the next finished frame."""
        if self.plates is not None:
            self.painted += bool((finished.provenance == Provenance.PAINTED).any())
            if not finished.provenance.any():
                self._whole.add(self._count)
        self._count += 1

    def describe(self) -> list[str]:
        """Notes for the report."""
        if self.plates is None:
            return []
        first = 0 if self.excerpt is None else self.excerpt.frames.start
        cleans = [plate.frame for plate in self.plates.plates if plate.shot is None]
        notes = [
            f"frame {first + number} has no hole, so the picture given as `clean` changes nothing"
            " in it"
            for number in cleans
            if number in self._whole
        ]
        notes += [
            f"frame {first + number} is not between `start` and `end`, so the picture given as"
            " `clean` is not used"
            for number in cleans
            if not 0 <= number < self._count
        ]
        if (
            not any(plate.shot is not None for plate in self.plates.plates)
            and self.folder is not None
        ):
            notes.append(f"no plate in '{self.folder}' was edited, so `plates` changes nothing")
        if self.painted:
            notes.append(
                f"pictures that were given are used in {name_count(self.painted, 'frame')}"
            )
        elif self.plates.plates:
            notes.append("no hole shows any of what was painted")
        return notes


def check_plates_out(
    path: Path | None,
    source: Path,
    outputs: Sequence[Path],
    reads: Sequence[str | os.PathLike[str]],
    *,
    overwrite: bool,
) -> None:
    """Raise OutputError in advance if plates cannot be written to `path`.

    `outputs` are the others of the run, `reads` all that it reads besides `source`.
    """
    if path is not None:
        check_places([path, *outputs], [source, *reads])
        find_album_place(path, source, overwrite=overwrite)


class PlateExport:
    """Choose finished frames as plates, and write them into an album as they pass by.

    A finished frame is a plate of the scene as its camera saw it. Another one is written as soon as
    none so far shows what lies behind the holes: one is enough for a camera at rest.

    Args:
        path: folder of the album.
        info: of the video, or an excerpt; frames have the numbers and times of the whole video.
        source: SHA-256 of the video.
        overwrite: replace an album that is there.
    """

    def __init__(self, path: Path, info: VideoInfo, source: str, *, overwrite: bool) -> None:
        self._info = info
        self._source, self._first = info, 0
        self._time = Fraction(0)
        if info.excerpt is not None:
            self._source = info.excerpt.whole
            self._first, self._time = info.excerpt.frames.start, info.excerpt.time
            source = digest_source(self._source)
        self._album = AlbumWriter(path, info, source, overwrite=overwrite)
        self._cuts = ShotDetector()
        self._shots: list[ShotEntry] = []
        self._plates: list[tuple[PlateEntry, SmallPicture]] = []  # of this shot
        self._count = self._first
        self._checked: int | None = None  # last frame with a hole that was looked at
        self._had_hole = False

    def watch(self, picture: Picture, finished: Finished) -> None:
        """Take the next finished frame."""
        number = self._count
        self._count += 1
        if self._cuts.begins_shot(picture.rgb) or number == self._first:
            self._end_shot(number)
            self._shots.append(ShotEntry(len(self._shots) + 1, number, number))
        hole = finished.touched
        is_due = self._checked is None or number - self._checked >= _TUNING.step
        has_hole = bool(hole.any())
        if has_hole and (is_due or not self._had_hole):
            self._checked = number
            self._look(number, picture, finished)
        self._had_hole = has_hole

    def finish(self) -> None:
        """Complete the album, so that it only has to be moved into place."""
        self._end_shot(self._count)
        is_part = self._source is not self._info
        self._album.finish(self._source.frame_count if is_part else self._count, self._shots)

    def __enter__(self) -> PlateExport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._album.__exit__(kind, error, trace)

    def _end_shot(self, number: int) -> None:
        """Complete the shot before frame `number`."""
        if self._shots:
            plates = [entry for entry, _ in self._plates]
            self._shots[-1] = replace(self._shots[-1], last=number - 1, plates=plates)
        self._plates = []
        self._checked, self._had_hole = None, False

    def _look(self, number: int, picture: Picture, finished: Finished) -> None:
        """Write a finished frame with a hole as a plate, if no plate shows what is behind it."""
        source = turn_upright(picture.rgb, self._info)
        hole = turn_upright(finished.touched, self._info)
        small = SmallPicture.of(source, hole)
        is_lost = True  # no plate can be registered
        for entry, plate in reversed(self._plates[-_TUNING.compared :]):
            way = register(small, plate)
            if way is None:
                continue
            is_lost = False
            if _find_covered(way, shrink_mask(hole, small.size)) >= _TUNING.covered:
                entry.alignment[str(number)] = _fit_homography(way)
                return
        if self._plates and is_lost and number - self._plates[-1][0].frame < _TUNING.apart:
            return
        made = turn_upright(finished.frame, self._info)
        whole = SmallPicture.of(made, np.zeros(hole.shape, np.bool_))
        shot = self._shots[-1].number
        time = picture.time + self._time
        entry = self._album.add(shot, number, time, finished.frame, finished.provenance)
        self._plates.append((entry, whole))


def _find_covered(way: Registration, hole: Mask) -> float:
    """Fraction of a hole (h', w') that lies inside the plate a frame is registered with."""
    height, width = hole.shape
    x, y = way.x[hole], way.y[hole]
    return float(((x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)).mean())


def _fit_homography(way: Registration) -> list[float]:
    """The homography nearest to a registration, by rows, in pixels of the whole pictures."""
    rows, columns = (
        np.linspace(0, side - 1, _TUNING.grid).round().astype(int) for side in way.x.shape
    )
    at = np.ix_(rows, columns)
    x, y = np.meshgrid(columns.astype(np.float64), rows.astype(np.float64))
    one = np.stack(enlarge_points(x.ravel(), y.ravel(), way.shape, way.x.shape), axis=1)
    other = np.stack(
        enlarge_points(way.x[at].ravel(), way.y[at].ravel(), way.shape, way.x.shape), axis=1
    )
    matrix, _ = cv2.findHomography(one, other, 0)
    if matrix is None:
        return [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    return [round(float(value), 9) for value in matrix.ravel()]


def open_export(
    path: Path | None, info: VideoInfo, source: str, *, overwrite: bool
) -> AbstractContextManager[PlateExport | None]:
    """Open the output for plates, if requested; raises OutputError."""
    return nullcontext() if path is None else PlateExport(path, info, source, overwrite=overwrite)
