"""The clip that is measured with: the demo's, as long as asked for."""

from __future__ import annotations

import os
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cleanplate.datasets.demo import make_demo_clip
from cleanplate.masks import open_mask
from cleanplate.types import Size
from cleanplate.video import open_reader, probe

_DRAWN = 60


def draw_clip(folder: Path, size: Size, frames: int) -> tuple[Path, Path]:
    """Folders of images and of masks: the demo's clip, forwards and backwards in turn."""
    clip = make_demo_clip(folder / "drawn", min(frames, _DRAWN), size)
    targets = folder / "frames", folder / "masks"
    for source, target in zip((clip.frames, clip.masks), targets, strict=True):
        images = sorted(source.iterdir())
        target.mkdir()
        turn = [*images, *images[-2:0:-1]]
        for index, image in enumerate(islice(cycle(turn), frames)):
            os.link(image, target / f"{index:05d}{image.suffix}")
    return targets


def read_clip(source: Path, mask: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """All frames `(t, h, w, 3)` and masks `(t, h, w)`."""
    info, marked = probe(source), open_mask(mask)
    marked.prepare(info)
    with open_reader(source, info) as reader:
        pairs = [(picture.rgb, marked.mask(picture.index, picture.time)) for picture in reader]
    marked.close()
    frames, masks = zip(*pairs, strict=True)
    return np.stack(frames), np.stack(masks)
