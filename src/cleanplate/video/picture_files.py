"""Write finished pictures as a folder of images, or as a single one."""

from __future__ import annotations

from pathlib import Path

from cleanplate.errors import OutputError
from cleanplate.video.compositing import Compositor, WriteTask, to_rgb
from cleanplate.video.images import JPEG_SUFFIXES, write_image
from cleanplate.video.info import Picture, VideoInfo, turn_upright


class PictureFolder:
    """Folder of images, named like the source's or numbered; upright, as they have no such tag."""

    def __init__(self, folder: Path, info: VideoInfo, suffix: str = ".png") -> None:
        self._info, self._folder, self._suffix = info, folder, suffix
        self._compositor = Compositor(info, info)
        stems = [file.stem for file in info.files]
        # `a.png` and `a.jpg` would overwrite each other: then number all of them.
        self._stems = stems if len(set(stems)) == len(stems) else []
        try:
            folder.mkdir()
        except OSError as error:
            raise OutputError(f"'{folder.parent}' cannot be written to: {error.strerror}") from None

    def write(self, work: WriteTask) -> None:
        """Write the next picture."""
        image = self._compositor.to_image(work)
        write_image(self.name(work.picture), turn_upright(image, self._info))

    def name(self, picture: Picture) -> Path:
        """Name the file of a picture."""
        index = picture.index
        stem = self._stems[index] if self._stems else f"{index:05d}"
        return self._folder / f"{stem}{self._suffix}"

    def finish(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing; no file is open."""


class PictureFile:
    """Single picture: a PNG or TIFF, which keeps untouched samples, or a JPEG."""

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self._path, self._info = path, info
        self._compositor = Compositor(info, info)

    def write(self, work: WriteTask) -> None:
        """Write the picture."""
        is_jpeg = self._path.suffix.lower() in JPEG_SUFFIXES
        image = to_rgb(work) if is_jpeg else self._compositor.to_image(work)
        write_image(self._path, turn_upright(image, self._info))

    def finish(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing; no file is open."""
