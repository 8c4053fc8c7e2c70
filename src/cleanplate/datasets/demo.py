"""A clip with something to remove and known truth, made where it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cleanplate.datasets.scene import Gallery
from cleanplate.errors import OutputError
from cleanplate.types import Size


@dataclass(frozen=True)
class DemoClip:
    """Three folders of PNGs with the same names.

    Attributes:
        frames: the clip as a camera would see it.
        masks: white where the ball or its shadow is seen; frames and truth are equal elsewhere.
        truth: the clip without the ball.
        count: number of frames.
        size: their size.
    """

    frames: Path
    masks: Path
    truth: Path
    count: int
    size: Size


def make_demo_clip(
    folder: Path | str, frames: int = 60, size: Size | None = None, seed: int = 0
) -> DemoClip:
    """Draw a ball bouncing through a gallery into `folder/{frames,masks,truth}`.

    The pictures on the wall are photographs in the public domain from scikit-image where it is
    installed, else drawn. Equal arguments give equal files. `size` is 432x240 when not given.
    Raises OutputError when the folder cannot be written.
    """
    if frames < 1:
        raise ValueError("frames must be positive")
    folder, size = Path(folder), size or Size(432, 240)
    clip = DemoClip(folder / "frames", folder / "masks", folder / "truth", frames, size)
    gallery = Gallery(size, seed)
    for part in (clip.frames, clip.masks, clip.truth):
        _make_folder(part)
    for index in range(frames):
        shot = gallery.shoot(index / max(frames - 1, 1))
        name = f"{index:05d}.png"
        _write(clip.frames / name, shot.frame[..., ::-1])
        _write(clip.truth / name, shot.truth[..., ::-1])
        _write(clip.masks / name, shot.mask.astype(np.uint8) * 255)
    return clip


def _make_folder(folder: Path) -> None:
    """A folder without the frames of an earlier clip; other files stay."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[0-9]" * 5 + ".png"):
            old.unlink()
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}; name another one") from error


def _write(path: Path, pixels: np.typing.NDArray[np.uint8]) -> None:
    """Write pixels, grey or BGR, as PNG."""
    try:
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; free some space") from error
