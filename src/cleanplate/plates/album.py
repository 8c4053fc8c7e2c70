"""An album: the clean plates of a video as pictures in a folder, with a manifest.

    DIR/
    ├─ plates.json
    ├─ shot-0001-frame-000123.png             the plate, to be edited
    ├─ shot-0001-frame-000123-origin.png      where its pixels came from, see `provenance.COLOURS`
    └─ exported/shot-0001-frame-000123.png    the plate as it was exported: what differs is an edit

Pictures are in display orientation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, InputError, OutputError
from cleanplate.plates.given import GivenPlate, find_edit, is_another_picture
from cleanplate.plates.provenance import COLOURS, Codes, count_provenance, draw_provenance
from cleanplate.storage.atomic import build_file
from cleanplate.storage.paths import MOST_TEXT, parse_json, read_text
from cleanplate.types import Size
from cleanplate.video import VideoInfo, turn_upright
from cleanplate.video.destination import Destination
from cleanplate.video.images import measure_image, read_image, write_png

Frame = npt.NDArray[np.uint8]

MANIFEST = "plates.json"
SCHEMA, VERSION = "cleanplate-plates", 1
EXPORTED = "exported"
_PICTURE = re.compile(r"shot-\d{4,}-frame-\d{6,}(-origin)?\.png")


@dataclass(frozen=True)
class PlateEntry:
    """A plate in a manifest.

    Attributes:
        frame: number of its reference frame, from 0.
        time: of that frame in seconds.
        picture: name of its file; `exported/` holds one of the same name.
        origin: name of the map of origins.
        shares: fraction of its pixels of each origin.
        alignment: by the number of a frame of the shot, the 3x3 homography (nine numbers by rows)
            that maps pixels of that frame to pixels of the plate.
    """

    frame: int
    time: float
    picture: str
    origin: str
    shares: Mapping[str, float] = field(default_factory=dict)
    alignment: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class ShotEntry:
    """A shot in a manifest: its number from 1, its first and last frame, and its plates."""

    number: int
    first: int
    last: int
    plates: list[PlateEntry] = field(default_factory=list)


def name_plate(shot: int, frame: int) -> str:
    """Name the picture of a plate."""
    return f"shot-{shot:04d}-frame-{frame:06d}.png"


def name_origin(picture: str) -> str:
    """Name the map of origins of a plate."""
    return f"{Path(picture).stem}-origin.png"


class AlbumWriter:
    """Context manager that writes an album: a normal exit moves it into place, an error leaves
    nothing. Raises OutputError when the folder cannot be made, EncodeError if the disk is full.

    Args:
        path: of the folder.
        info: of the video.
        source: SHA-256 of the video.
        overwrite: replace an album that holds no edited plate.
    """

    def __init__(self, path: Path, info: VideoInfo, source: str, *, overwrite: bool) -> None:
        self._info, self._source = info, source
        self._place = find_album_place(path, info.path, overwrite=overwrite)
        self._place.claim()
        try:
            (self._place.partial / EXPORTED).mkdir(parents=True)
        except BaseException as error:
            self._place.discard()
            if not isinstance(error, OSError):
                raise
            raise OutputError(f"'{path}' cannot be written to: {error.strerror}") from None

    def add(
        self, shot: int, frame: int, time: Fraction, picture: Frame, codes: Codes
    ) -> PlateEntry:
        """Write a plate, uint8 (h, w, 3), and its origins (h, w), both in coded orientation."""
        name = name_plate(shot, frame)
        origin = name_origin(name)
        shown = turn_upright(picture, self._info)
        folder = self._place.partial
        write_png(folder / name, shown)
        write_png(folder / EXPORTED / name, shown)
        write_png(folder / origin, draw_provenance(turn_upright(codes, self._info)))
        return PlateEntry(frame, round(float(time), 6), name, origin, count_provenance(codes))

    def finish(self, frames: int, shots: Sequence[ShotEntry]) -> None:
        """Write the manifest of a video of that many frames; then `commit` only has to move it."""
        info = self._info
        content = {
            "schema": SCHEMA,
            "version": VERSION,
            "source": {
                "name": info.path.name,
                "size": list(info.display_size.shape[::-1]),
                "rate": str(info.rate),
                "frames": frames,
                "sha256": self._source,
            },
            "colours": {origin.name.lower(): list(rgb) for origin, rgb in COLOURS.items()},
            "shots": [asdict(shot) for shot in shots],
        }
        text = json.dumps(content, indent=1, ensure_ascii=False)
        try:
            (self._place.partial / MANIFEST).write_text(text, "utf-8", errors="replace")
        except OSError as error:
            raise EncodeError(
                f"'{self._place.path}' could not be written: {error.strerror}; free some space"
            ) from None
        self._place.seal()

    def __enter__(self) -> AlbumWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._place.settle(error)


def find_album_place(path: Path, source: Path, *, overwrite: bool) -> Destination:
    """Check the place of an album; raise OutputError if it may not be written there."""
    if path.suffix:
        raise OutputError(
            f"'{path}' must be a folder for plates; name one without '{path.suffix}' at its end"
        )
    if overwrite and path.is_dir() and (path / MANIFEST).exists() and _has_edit(path):
        raise OutputError(
            f"'{path}' holds plates that were edited, and is not replaced; choose another name"
        )
    return Destination(path, source, overwrite=overwrite, is_ours=_is_of_album)


def _is_of_album(path: Path) -> bool:
    """Whether we write a file or folder of this name into an album."""
    if path.name == EXPORTED:
        return path.is_dir() and all(_PICTURE.fullmatch(one.name) for one in path.iterdir())
    return path.name == MANIFEST or _PICTURE.fullmatch(path.name) is not None


def _has_edit(folder: Path) -> bool:
    """Whether a plate differs from what was exported, or cannot be compared with it."""
    try:
        for exported in (folder / EXPORTED).iterdir():
            before, now = read_image(exported), read_image(folder / exported.name)
            if before.shape != now.shape or find_edit(before, now).any():
                return True
    except (OSError, InputError):
        return True
    return False


@dataclass(frozen=True)
class Album:
    """The manifest of a folder of plates, checked.

    Raises InputError where it does not fit its video.
    """

    folder: Path
    size: Size
    frames: int
    source: str
    shots: tuple[ShotEntry, ...]

    @classmethod
    def open(cls, folder: Path) -> Album:
        """Read the manifest in `folder`; raises InputError."""
        path = folder / MANIFEST
        try:
            content = parse_json(read_text(path, MOST_TEXT))
        except FileNotFoundError:
            raise InputError(
                f"'{folder}' holds no {MANIFEST}; name a folder that `plates_out` wrote"
            ) from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no JSON"
            raise InputError(f"'{path}' cannot be read: {why}; {_AGAIN}") from None
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise InputError(f"'{path}' is no manifest of plates; {_AGAIN}")
        version = content.get("version")
        if type(version) is int and version > VERSION:
            raise InputError(
                f"'{path}' is of format {version}, from a newer version of cleanplate; update"
                f" cleanplate, or {_AGAIN}"
            )
        try:
            return cls(folder, *_parse(content))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            what = str(error) if type(error) is ValueError else "an entry is missing or damaged"
            raise InputError(f"'{path}' is damaged: {what}; {_AGAIN}") from None

    def check(self, name: str, size: Size, frames: int | None, source: str | None) -> None:
        """Raise InputError unless these are plates of a video with this name and properties.

        Args:
            name: for messages.
            size: as displayed.
            frames: number of frames, None if not known.
            source: SHA-256, None if not known.
        """
        what = None
        if self.size != size:
            what = f"are {self.size}, but '{name}' is {size}"
        elif frames is not None and self.frames > frames:
            what = f"are of {self.frames} frames, but '{name}' has {frames}"
        elif source is not None and self.source != source:
            what = f"were exported from another video than '{name}', or it has changed since"
        if what is not None:
            raise InputError(
                f"the plates in '{self.folder}' {what}; export them again, or give a single picture"
                " as `clean`"
            )

    def read(self, shot: ShotEntry, plate: PlateEntry) -> tuple[Frame, Frame]:
        """The picture of a plate as exported and as it is now, both uint8 (h, w, 3)."""
        before, now = self.folder / EXPORTED / plate.picture, self.folder / plate.picture
        for path in (before, now):
            if not path.exists():
                raise InputError(
                    f"'{path}' is missing; put it back, or remove its entry from {MANIFEST}"
                )
        exported = read_picture(before, self.size, None, f"'{before}'")
        what = f"plate '{now}' of shot {shot.number}"
        return exported, read_picture(now, self.size, exported, what)


_AGAIN = "export the plates again"


def read_picture(path: Path, size: Size, exported: Frame | None, what: str) -> Frame:
    """Read the picture of a plate; raise InputError unless it has this size and shows the same.

    `exported` is the picture before it was edited, `what` names the new one in messages.
    """
    found = measure_image(path)
    if found != size:
        raise InputError(f"{what} is {found}, but the video is {size}; save it in that size")
    picture = read_image(path)
    if exported is not None and is_another_picture(exported, picture):
        raise InputError(
            f"{what} shows something else than the plate that was exported; edit that one, and keep"
            " the names of files"
        )
    return picture


def replace_plate(path: Path, picture: Frame) -> None:
    """Replace the picture of a plate, atomically; raises EncodeError."""
    with build_file(path) as partial:
        write_png(partial, picture)


def read_edits(album: Album, info: VideoInfo | None = None) -> list[GivenPlate]:
    """Read the plates of an album that were edited; raises InputError.

    They are turned to the coded orientation of `info`, if given.
    """
    found = []
    for shot in album.shots:
        for plate in shot.plates:
            exported, picture = album.read(shot, plate)
            if info is not None:
                exported, picture = turn_picture(exported, info), turn_picture(picture, info)
            frames = range(shot.first, shot.last + 1)
            edited = GivenPlate.edited(plate.frame, exported, picture, frames)
            if edited is not None:
                found.append(edited)
    return found


def turn_picture(picture: Frame, info: VideoInfo) -> Frame:
    """Rotate a picture (h, w, 3) from display to coded orientation."""
    return np.ascontiguousarray(np.rot90(picture, info.rotation // 90))


def _parse(content: Mapping[str, Any]) -> tuple[Size, int, str, tuple[ShotEntry, ...]]:
    """Check the entries of a manifest; raises KeyError, TypeError or ValueError."""
    source = content["source"]
    width, height = (_to_count(side) for side in source["size"])
    frames = _to_count(source["frames"])
    shots = [_parse_shot(shot) for shot in content["shots"]]
    at = -1
    for shot in shots:
        if not at < shot.first <= shot.last < frames:
            raise ValueError(f"shot {shot.number} does not follow the one before, or goes on")
        at = shot.last
        for plate in shot.plates:
            if not shot.first <= plate.frame <= shot.last:
                raise ValueError(f"frame {plate.frame} is not in shot {shot.number}")
    return Size(width, height), frames, str(source["sha256"]), tuple(shots)


def _parse_shot(shot: Mapping[str, Any]) -> ShotEntry:
    number, first, last = (_to_count(shot[name]) for name in ("number", "first", "last"))
    plates = []
    for plate in shot["plates"]:
        frame = _to_count(plate["frame"])
        picture = plate["picture"]
        # Only names that we give: a path could lead to any file.
        if picture != name_plate(number, frame):
            raise ValueError(f"the plate of frame {frame} is not {name_plate(number, frame)}")
        origin = plate["origin"]
        if origin != name_origin(picture):
            raise ValueError(f"the map of frame {frame} is not {name_origin(picture)}")
        shares = {str(name): float(share) for name, share in plate["shares"].items()}
        plates.append(PlateEntry(frame, float(plate["time"]), picture, origin, shares))
    return ShotEntry(number, first, last, plates)


def _to_count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise TypeError
    return value
