"""Masks of some frames, mended by hand: files named by the frame's number."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from cleanplate.errors import MaskError, VideoError
from cleanplate.masks.images import read_marked
from cleanplate.masks.source import Mask
from cleanplate.video.images import list_images

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo


def read_corrections(folder: str | PathLike[str], info: VideoInfo) -> dict[int, Mask]:
    """Frame number → mask, bool `(h, w)`, from images named as `record_masks` names them.

    That is the frame's number from 0 (`00042.png`), or for a folder of images the image's own name.
    Raises MaskError when there are none or a name says no frame of the video.
    """
    numbers = {file.stem: number for number, file in enumerate(info.files)}
    try:
        files = list_images(Path(folder))
    except VideoError as error:
        raise MaskError(f"corrections: {error}") from None
    corrections: dict[int, Mask] = {}
    for file in files:
        number = numbers.get(file.stem, int(file.stem) if file.stem.isdecimal() else -1)
        if not 0 <= number < info.frame_count:
            raise MaskError(
                f"correction {file} belongs to no frame; name it by the frame's number, from"
                f" 00000 to {info.frame_count - 1:05d}"
            )
        corrections[number] = read_marked(file)
    return corrections
