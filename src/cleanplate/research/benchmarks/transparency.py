"""Compare solving half-transparent overlays with filling them, on real clips and real encoders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import click
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cleanplate.overlays import Profile, Solver, estimate_overlay, place
from cleanplate.removal.learning import collect_samples
from cleanplate.research.benchmarks.overlays import Frames, Layer
from cleanplate.research.benchmarks.pasting import read_frames
from cleanplate.types import Box, Size
from cleanplate.video import probe
from cleanplate.video.quantiser import estimate_coding_noise

CODINGS: dict[str, dict[str, str]] = {
    "lossless": {"qp": "0", "preset": "ultrafast"},
    "crf 18": {"crf": "18"},
    "crf 23": {"crf": "23"},
}
BLENDS = ("RGB", "YUV")
OTHERS = ("CINE 7", "ARTE", "K2", "LIVE", "SPORT1", "o", "TV PLUS", "XX", "NEWS", "MUSIC+")
"""Logos that are not the learned one."""
_SIZE = Size(432, 240)
_LENGTH = 48
_ORIGINALS = Path("../shared/data/eval/originals")
_CLIPS = ("tennis", "bmx-trees", "schoolgirls")
"""The camera of the last one is at rest."""
_SEEN = 0.01
"""Opacity from which a pixel counts."""
_SHADOW = 0.5
"""Opacity of a logo's shadow, as a fraction of the logo's."""


def draw_logo(shape: tuple[int, int], text: str, opacity: float) -> Layer:
    """Draw a logo with a disc, letters and a soft shadow, for a picture of `shape`, `(h, w)`."""
    height, width = shape
    points = max(10, round(0.11 * height))
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    x, y = round(0.62 * width), round(0.12 * height)
    font = ImageFont.truetype("DejaVuSans-Bold.ttf", points)
    pen.text((x, y), text, font=font, fill=255)
    pen.ellipse((x - 1.3 * points, y, x - 0.3 * points, y + points), outline=255, width=points // 4)
    letters = cv2.GaussianBlur(np.asarray(image, np.float32) / 255, (0, 0), 0.5)
    move = np.array([[1, 0, 2], [0, 1, 2]], np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(letters, move, (width, height)), (0, 0), 1.5) * _SHADOW
    alpha = letters + shadow * (1 - letters)
    colour = (letters / np.maximum(alpha, 1e-3))[..., None] * np.array([250, 245, 235], np.float32)
    return np.dstack([colour, alpha * opacity]).astype(np.float32)


def find_place(layer: Layer, margin: int = 3) -> Box:
    """The rectangle that holds an overlay."""
    x, y, width, height = cv2.boundingRect((layer[..., 3] > _SEEN).astype(np.uint8))
    return Box(x - margin, y - margin, width + 2 * margin, height + 2 * margin)


def code(frames: Frames, layer: Layer | None, blend: str, coding: str, path: Path) -> None:
    """Encode `frames` with an overlay that is blended in "RGB" or "YUV" 4:2:0."""
    if layer is not None and blend == "RGB":
        frames = _blend(frames, layer)
    height, width = frames.shape[1:3]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = CODINGS[coding]
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture = picture.reformat(format="yuv420p")
            if layer is not None and blend == "YUV":
                _blend_planes(picture, layer)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))


def _blend(frames: Frames, layer: Layer) -> Frames:
    share = layer[..., 3:]
    return np.rint(frames * (1 - share) + layer[..., :3] * share).astype(np.uint8)


def _blend_planes(picture: av.VideoFrame, layer: Layer) -> None:
    """Blend a layer into the planes of a YUV 4:2:0 picture of limited range."""
    colour = np.rint(layer[..., :3]).astype(np.uint8)
    drawn = av.VideoFrame.from_ndarray(colour, format="rgb24").reformat(format="yuv444p")
    for plane, own in zip(picture.planes, drawn.planes, strict=True):
        size = (plane.width, plane.height)
        share = cv2.resize(layer[..., 3], size, interpolation=cv2.INTER_AREA)
        solid = _samples(own).astype(np.float32) * layer[..., 3]
        solid = cv2.resize(solid, size, interpolation=cv2.INTER_AREA)
        samples = _samples(plane)
        samples[...] = np.rint(samples * (1 - share) + solid).astype(np.uint8)


def _samples(plane: av.video.plane.VideoPlane) -> npt.NDArray[np.uint8]:
    lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return lines[:, : plane.width]


@dataclass(frozen=True)
class Filled:
    """A clip with an overlay, its fill, and the truth, in a box around the overlay.

    Frames are uint8 RGB (t, h, w, 3); `known` (t, h, w) says what other frames show.
    """

    truth: Frames
    shown: Frames
    filled: Frames
    known: npt.NDArray[np.bool_]
    box: Box
    noise: float | None


def fill_clip(frames: Frames, layer: Layer, blend: str, coding: str) -> Filled:
    """Encode a clip with an overlay, and fill what it covers."""
    with TemporaryDirectory() as name:
        plain, marked = Path(name) / "plain.mp4", Path(name) / "marked.mp4"
        code(frames, None, blend, "lossless", plain)
        code(frames, layer, blend, coding, marked)
        truth, noise = read_frames(plain, len(frames)), estimate_coding_noise(probe(marked))
        samples = collect_samples([probe(marked)], layer[..., 3] > _SEEN)
    part = (slice(None), *samples.box.slices)
    return Filled(truth[part], *samples.stack(), samples.box, noise)


def measure_psnr(found: Frames, truth: Frames, where: npt.NDArray[np.bool_]) -> float:
    """PSNR in dB where the overlay was."""
    apart = (found.astype(np.float32) - truth)[:, where]
    return float(10 * np.log10(255**2 / max(1e-9, float(np.mean(apart**2)))))


def read_original(name: str, folder: Path) -> Frames:
    """The first frames of an evaluation sequence, 432x240."""
    path = folder / name
    source = path / "frames" if (path / "frames").is_dir() else path / "video.mp4"
    frames = read_frames(source, _LENGTH)
    size = (_SIZE.width, _SIZE.height)
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in frames])


def measure_setting(
    clips: dict[str, Frames], opacity: float, blend: str, coding: str
) -> tuple[list[str], Profile]:
    """Learn from the moving clips, solve all; returns rows of the table and the profile."""
    layer = draw_logo(_SIZE.shape, "NEWS 24", opacity)
    done = {name: fill_clip(frames, layer, blend, coding) for name, frames in clips.items()}
    moving = [done[name] for name in list(clips)[:-1]]
    box = moving[0].box
    profile = estimate_overlay(
        np.concatenate([one.shown for one in moving]),
        np.concatenate([one.filled for one in moving]),
        np.concatenate([one.known for one in moving]),
        box,
        _SIZE,
    )
    where = layer[box.slices][..., 3] > _SEEN
    hole = np.ones(where.shape, np.bool_)
    rows = []
    for name, one in done.items():
        solver = Solver(profile, one.noise)
        began = time.monotonic()
        solved = np.stack(
            [
                solver.solve(box, shown, filled, hole)[0]
                for shown, filled in zip(one.shown, one.filled, strict=True)
            ]
        )
        spent = 1000 * (time.monotonic() - began) / len(solved)
        fill, best = (measure_psnr(found, one.truth, where) for found in (one.filled, solved))
        rows.append(
            f"| {blend} | {coding} | {opacity} | {name} | {fill:.1f} | {best:.1f} |"
            f" {best - fill:+.1f} | {spent:.1f} |"
        )
    return rows, profile


def count_refused(clips: dict[str, Frames], profile: Profile, opacity: float) -> tuple[int, int]:
    """How many clips with another logo are refused, and how many with the same one are not."""
    refused = accepted = 0
    for at, text in enumerate(OTHERS):
        frames = list(clips.values())[at % len(clips)]
        shown = _blend(frames, draw_logo(_SIZE.shape, text, opacity))
        refused += not place(profile, shown, _SIZE).fits
    layer = draw_logo(_SIZE.shape, "NEWS 24", opacity)
    for frames in clips.values():
        accepted += place(profile, _blend(frames, layer), _SIZE).fits
    return refused, accepted


@click.command()
@click.option("--originals", type=click.Path(path_type=Path), default=_ORIGINALS)
@click.option("--blend", "blends", multiple=True, type=click.Choice(BLENDS), default=BLENDS)
@click.option("--coding", "codings", multiple=True, default=tuple(CODINGS))
@click.option("--opacity", "opacities", multiple=True, type=float, default=(0.3, 0.6, 0.8))
def overlays(
    originals: Path,
    blends: Sequence[str],
    codings: Sequence[str],
    opacities: Sequence[float],
) -> None:
    """Draw half-transparent logos on clips, and compare solving them with filling them."""
    clips = {name: read_original(name, originals) for name in _CLIPS}
    click.echo("| blended | coding | opacity | clip | fill | solved | gain | ms a frame |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for blend in blends:
        for coding in codings:
            for opacity in opacities:
                rows, profile = measure_setting(clips, opacity, blend, coding)
                click.echo("\n".join(rows))
                refused, accepted = count_refused(clips, profile, opacity)
                click.echo(
                    f"|  |  |  | other logos refused: {refused} of {len(OTHERS)}, its own found:"
                    f" {accepted} of {len(clips)} |  |  |  |  |"
                )
