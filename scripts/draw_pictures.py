"""Draw the pictures of the documentation by running the guides on the demo's gallery.

    python -m scripts.draw_pictures           # all except the page's; takes some minutes
    python -m scripts.draw_pictures --page    # the page's, in Debian's Chromium

Each guide is run in a folder with the clips of `footage.py`; the pictures show the results.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scripts.footage import make_footage
from scripts.pages import ROOT, run_page
from scripts.photograph_page import photograph_page

from cleanplate.cli import main as cleanplate
from cleanplate.masks.writing import draw_overlay
from cleanplate.motion.propagation import Propagated, propagate
from cleanplate.types import Box
from cleanplate.video import Picture, open_reader
from cleanplate.video.images import read_image

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

PICTURES = ROOT / "docs" / "pictures"
LARGEST = 60_000
"""Maximum size of a picture in bytes."""
GAP = 6
"""White space in pixels between pictures side by side."""
MOMENT = 27
"""Frame to show: the ball is in front of the cat."""
NEAR = range(7, 48)
"""Frames used for the figures of propagation."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    parser.add_argument("--page", action="store_true", help="only those of the page")
    only_page = parser.parse_args().page
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        footage = Path(folder)
        make_footage(footage)
        if only_page:
            photograph_page(footage / "ride.mp4", ROOT / "docs")
        else:
            draw_demo()
            draw_guides(footage)
            draw_propagation(footage)


@contextlib.contextmanager
def copy_of(footage: Path) -> Iterator[None]:
    """Work in a fresh copy of the clips, without files of other guides."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shutil.copytree(footage, folder, dirs_exist_ok=True)
        yield


def draw_demo() -> None:
    """Write the demo's picture, below the size limit."""
    with tempfile.TemporaryDirectory() as folder:
        run(["demo", folder])
        save("../before-after", read_image(Path(folder) / "before-after.jpg"))


def draw_guides(footage: Path) -> None:
    """Draw frame, mask and result of each guide."""
    for name, source, mask, result in (
        ("moving-object", "ride.mp4", "ball", "without-ball.mp4"),
        ("logo", "talk.mp4", "logo", "without-logo.mp4"),
        ("subtitles", "film.mp4", "text", "without-text.mp4"),
    ):
        with copy_of(footage):
            run_page(ROOT / "docs" / "guides" / f"{name}.md", run, {})
            before, found, after = (take(path) for path in (source, mask, result))
        strip = [before, draw_overlay(before, found[..., 0] > 127), after]
        save(name, beside(strip, 320))
    with copy_of(footage):
        run_page(ROOT / "docs" / "guides" / "fixed-box.md", run, {})
        before, after = take("talk.mp4"), take("without-corner.mp4")
    save("fixed-box", beside([outline(before, box_mask(before)), after], 400))


def box_mask(frame: Frame) -> Mask:
    mask = np.zeros(frame.shape[:2], np.bool_)
    mask[Box(376, 22, 34, 34).slices] = True
    return mask


def draw_propagation(footage: Path) -> None:
    """Draw the input and the steps of propagation on one frame."""
    frames = [picture.rgb for picture in read(footage / "frames")][NEAR.start : NEAR.stop]
    masks = [picture.rgb[..., 0] > 127 for picture in read(footage / "masks")][
        NEAR.start : NEAR.stop
    ]
    done: Propagated = propagate(frames, masks)
    at = MOMENT - NEAR.start
    save("how-hole", outline(blank(frames[at], masks[at]), masks[at]))
    save("how-flow", outline(colour_flow(done.motion.flows.ahead[at]), masks[at]))
    guessed = np.repeat((done.guessed[at] * 255).astype(np.uint8)[..., None], 3, 2)
    save("how-guessed", outline(guessed, masks[at]))
    save("how-filled", done.frames[at])
    save("how-truth", take(footage / "truth"))


def run(arguments: list[str]) -> None:
    """Run a `cleanplate` command; show its output."""
    try:
        cleanplate(arguments)
    except SystemExit as left:
        if left.code:
            raise RuntimeError(f"cleanplate {' '.join(arguments)} ended with {left.code}") from None


def read(path: str | Path) -> Iterator[Picture]:
    with open_reader(path) as reader:
        yield from reader


def take(path: str | Path, index: int = MOMENT) -> Frame:
    """Read one frame of a video or folder."""
    return next(picture.rgb for picture in read(path) if picture.index == index)


def blank(frame: Frame, mask: Mask) -> Frame:
    """Draw the frame with its hole in grey: the input of propagation."""
    return np.where(mask[..., None], np.uint8(128), frame)


def outline(frame: Frame, mask: Mask) -> Frame:
    """Draw the outline of the hole into the frame."""
    rims, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(frame.copy(), rims, -1, (0, 255, 160), 2, cv2.LINE_AA)


def colour_flow(flow: npt.NDArray[np.float32]) -> Frame:
    """Draw flow: direction as hue, speed as saturation relative to the fastest."""
    length, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1], angleInDegrees=True)
    share = (length / max(float(length.max()), 1e-6) * 255).astype(np.uint8)
    colours = np.stack([(angle / 2).astype(np.uint8), share, np.full_like(share, 235)], -1)
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB))


def beside(pictures: Sequence[Frame], width: int) -> Frame:
    """Arrange pictures of one size side by side, each `width` pixels wide."""
    height = round(pictures[0].shape[0] * width / pictures[0].shape[1])
    gap = np.full((height, GAP, 3), 255, np.uint8)
    cells: list[Frame] = []
    for picture in pictures:
        cells += [cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), gap]
    return np.hstack(cells[:-1])


def save(name: str, picture: Frame) -> None:
    """Write `docs/pictures/NAME.jpg` with the best quality that fits into LARGEST bytes."""
    for quality in range(92, 40, -4):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        data = cv2.imencode(".jpg", picture[..., ::-1], options)[1].tobytes()
        if len(data) <= LARGEST:
            break
    (PICTURES / f"{name}.jpg").write_bytes(data)
    print(f"{name}.jpg: {len(data) / 1000:.0f} kB, quality {quality}")


if __name__ == "__main__":
    main()
