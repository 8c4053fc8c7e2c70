"""Clean plates of a clip: shown on the page, replaced by edited pictures."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from cleanplate.arguments import describe_bytes
from cleanplate.page.limits import TooLarge
from cleanplate.plates.album import EXPORTED, Album, read_picture, replace_plate
from cleanplate.plates.given import find_edit
from cleanplate.video.images import read_image

_PER_PIXEL = 8
"""Most bytes of an uploaded picture for each pixel of the video; PNG takes 3 or 4."""
_SPARE = 1 << 20


@dataclass
class PlateSet:
    """The plates that a removal exported into `folder`.

    Attributes:
        version: number of the removal's job.
        folder: as `plates.album` describes it.
        entries: of each plate: its `frame`, names of `picture` and `origin`, and the share
            `made_up`.
        replaced: numbers of the plates that were replaced by an edited picture.
        edits: number of changes so far.
    """

    version: int
    folder: Path
    entries: list[dict[str, Any]]
    replaced: set[int] = field(default_factory=set)
    edits: int = 0

    def find(self, number: int) -> dict[str, Any]:
        """The entry of a plate; raises HTTPException (404) for a number that does not exist."""
        if not 0 <= number < len(self.entries):
            raise HTTPException(404, f"there is no plate {number + 1} of {len(self.entries)}")
        return self.entries[number]

    def note(self, number: int, is_edited: bool) -> None:
        """Note that a plate was replaced, by a picture with or without edits."""
        self.replaced.discard(number)
        if is_edited:
            self.replaced.add(number)
        self.edits += 1

    def restore(self, number: int) -> None:
        """Put back what was exported."""
        name = self.find(number)["picture"]
        shutil.copyfile(self.folder / EXPORTED / name, self.folder / name)
        self.note(number, False)

    def to_json(self) -> dict[str, Any]:
        """Describe the plates for the page."""
        return {
            "version": self.version,
            "edits": self.edits,
            "pictures": [
                {
                    "frame": entry["frame"],
                    "made_up": entry["made_up"],
                    "replaced": number in self.replaced,
                }
                for number, entry in enumerate(self.entries)
            ],
        }


def list_plates(folder: Path) -> list[dict[str, Any]]:
    """List the plates of an album as entries of a `PlateSet`."""
    return [
        {
            "frame": plate.frame,
            "picture": plate.picture,
            "origin": plate.origin,
            "made_up": plate.shares["made_up"],
        }
        for shot in Album.open(folder).shots
        for plate in shot.plates
    ]


def take_picture(folder: Path, name: str, arrived: Path) -> bool:
    """Put an uploaded picture in the place of plate `name`; return whether it was edited.

    Raises InputError for one that is no image, of another size, or of something else.
    """
    album = Album.open(folder)
    exported = read_image(folder / EXPORTED / name)
    picture = read_picture(arrived, album.size, exported, "the picture")
    replace_plate(folder / name, picture)
    return bool(find_edit(exported, picture).any())


async def limit_picture(
    chunks: AsyncIterator[bytes], pixels: int, announced: int
) -> AsyncIterator[bytes]:
    """Pass on the chunks of an upload; raise TooLarge for more than a picture can have."""
    most, count = pixels * _PER_PIXEL + _SPARE, announced
    if count <= most:
        count = 0
        async for chunk in chunks:
            count += len(chunk)
            if count > most:
                break
            yield chunk
    if count > most:
        raise TooLarge(f"the picture is larger than {describe_bytes(most)}; save it as PNG")
