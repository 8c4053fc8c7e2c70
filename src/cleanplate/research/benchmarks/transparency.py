"""Compare solving half-transparent overlays with filling them, on real clips and real encoders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cleanplate.research.benchmarks.overlays import Frames, Layer
from cleanplate.types import Box

CODINGS: dict[str, dict[str, str]] = {
    "lossless": {"qp": "0", "preset": "ultrafast"},
    "crf 18": {"crf": "18"},
    "crf 23": {"crf": "23"},
}
BLENDS = ("RGB", "YUV")
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
    x, y, width, height = cv2.boundingRect((layer[..., 3] > 0.01).astype(np.uint8))
    return Box(x - margin, y - margin, width + 2 * margin, height + 2 * margin)


def code(frames: Frames, layer: Layer | None, blend: str, coding: str, path: Path) -> None:
    """Encode `frames` with an overlay that is blended in "RGB" or "YUV" 4:2:0."""
    if layer is not None and blend == "RGB":
        share = layer[..., 3:]
        frames = np.rint(frames * (1 - share) + layer[..., :3] * share).astype(np.uint8)
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
