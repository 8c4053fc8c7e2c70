"""Render the clips of the guides, based on the demo's gallery.

    python -m scripts.footage FOLDER

writes `ride.mp4` (a ball to track), `talk.mp4` (a logo in the corner), `film.mp4` (subtitles), the
folders `frames` and `masks` of the ride, `truth` (the ground truth), `mask.mp4` (the masks as a
video) and `logo.png` (a mask of the logo). The public-domain photographs are scikit-image's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cleanplate.scene import make_demo_clip
from cleanplate.types import Box, Size
from cleanplate.video import open_reader, open_writer, probe

Frame = npt.NDArray[np.uint8]
Overlay = Callable[[float], Image.Image]
"""Maps the elapsed fraction of the clip, 0 to 1, to an RGBA picture over the frame."""

CAPTIONS = ("What was in that room?", "A ball, I think.", "Well, it is gone.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the clips of the guides.")
    parser.add_argument("folder", type=Path)
    make_footage(parser.parse_args().folder)


def make_footage(folder: Path, frames: int = 60, size: Size | None = None) -> None:
    """Write all files into `folder`; `size` defaults to 432x240."""
    clip = make_demo_clip(folder, frames, size)
    film(clip.frames, folder / "ride.mp4")
    film(clip.masks, folder / "mask.mp4")
    film(clip.truth, folder / "talk.mp4", lambda _: draw_logo(clip.size))
    film(clip.truth, folder / "film.mp4", lambda share: draw_caption(clip.size, share))
    shown = np.asarray(draw_logo(clip.size))[..., 3] > 0
    Image.fromarray(shown.astype(np.uint8) * 255).save(folder / "logo.png")


def film(source: Path, target: Path, overlay: Overlay | None = None) -> None:
    """Make a video of a folder of images, with `overlay` drawn over them."""
    info = probe(source)
    with (
        open_reader(source, info) as reader,
        open_writer(target, info, crf=10, overwrite=True) as writer,
    ):
        for picture in reader:
            frame = picture.rgb
            if overlay:
                frame = lay(overlay(picture.index / max((info.frame_count or 1) - 1, 1)), frame)
            writer.write(picture, frame, np.ones(info.size.shape, np.bool_))


def lay(layer: Image.Image, frame: Frame) -> Frame:
    """Draw `layer` over `frame`, uint8 RGB `(h, w, 3)`."""
    picture = Image.fromarray(frame).convert("RGBA")
    return np.asarray(Image.alpha_composite(picture, layer).convert("RGB"))


def place_logo(size: Size) -> Box:
    """Place the logo: a ninth of the height, in the top right corner."""
    side = size.height // 9
    return Box(size.width - 2 * side, side, side, side)


def draw_logo(size: Size) -> Image.Image:
    """Draw the logo: a disc with a play sign in it."""
    box = place_logo(size)
    x, y, side = box.x, box.y, box.width
    layer = Image.new("RGBA", (size.width, size.height))
    pen = ImageDraw.Draw(layer)
    pen.ellipse((x, y, x + side, y + side), fill=(250, 250, 250, 255))
    corners = [(0.36, 0.24), (0.36, 0.76), (0.8, 0.5)]
    pen.polygon([(x + side * u, y + side * v) for u, v in corners], fill=(200, 30, 60, 255))
    return layer


def draw_caption(size: Size, share: float) -> Image.Image:
    """Draw the caption after the fraction `share` of the clip."""
    layer = Image.new("RGBA", (size.width, size.height))
    ImageDraw.Draw(layer).text(
        (size.width / 2, size.height * 0.94),
        CAPTIONS[min(int(share * len(CAPTIONS)), len(CAPTIONS) - 1)],
        font=ImageFont.load_default(round(size.height * 0.085)),
        anchor="ms",
        fill="white",
        stroke_width=max(round(size.height * 0.008), 1),
        stroke_fill="black",
    )
    return layer


if __name__ == "__main__":
    main()
