"""Write what a removal made as a layer with alpha."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from cleanplate.options import RemoveOptions
from cleanplate.removal.engine import Finished
from cleanplate.video import Picture, VideoInfo
from cleanplate.video.patch import PatchWriter


class PatchLog(PatchWriter):
    """A `PatchWriter` that takes finished frames."""

    def watch(self, picture: Picture, finished: Finished) -> None:
        """Take the next finished frame."""
        self.write(picture, finished.frame, finished.touched)


def open_patch(
    path: Path | None, info: VideoInfo, options: RemoveOptions
) -> AbstractContextManager[PatchLog | None]:
    """Open the output for the layer, if requested."""
    overwrite, codec = options.overwrite, options.codec
    return (
        PatchLog(path, info, feather=options.feather, codec=codec, overwrite=overwrite)
        if path
        else nullcontext()
    )
